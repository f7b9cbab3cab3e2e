"""The benchmarks work and all peers agree; how long they take is never asserted."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest

from benchmarks import bodies, peers
from benchmarks.__main__ import ROWS, main
from benchmarks.bodies import Body, Outcome
from benchmarks.capacity import held
from benchmarks.checking import MismatchError
from benchmarks.first import PEERS as FIRST
from benchmarks.in_process import PEERS, UNTIL_DONE, frame, side_by_side
from benchmarks.loopback import PEERS as WIRE_PEERS
from benchmarks.loopback import at_once, run_on, trickle
from benchmarks.plots import plot
from benchmarks.report import as_json, as_table, as_verdicts
from benchmarks.rounds import Measured, Row, measure
from benchmarks.server import WHOLE
from benchmarks.setting import Setting
from benchmarks.stalls import stall
from benchmarks.starts import FIRST_RUN, output_of
from benchmarks.targets import TARGETS, Target, reached

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from benchmarks.wire import Consume

BODIES: dict[str, Callable[[], Body]] = {
    "text": lambda: bodies.text(20),
    "text without ends": lambda: bodies.text(20, ends=False),
    "parallel calls": lambda: bodies.parallel_calls(3, 5),
    "code": lambda: bodies.code_interpreter(10),
    "code without ends": lambda: bodies.code_interpreter(10, ends=False),
    "mixed": bodies.mixed,
    "mixed without ends": lambda: bodies.mixed(ends=False),
    "big frame": lambda: bodies.big_frame(100_000),
}


@pytest.mark.parametrize("read", [37, 1_000, bodies.READ])
@pytest.mark.parametrize("make_body", BODIES.values(), ids=BODIES)
@pytest.mark.parametrize("peer", PEERS.values(), ids=PEERS)
def test_every_peer_ends_with_the_texts_and_arguments_of_the_body(
    peer: peers.Peer, make_body: Callable[[], Body], read: int
) -> None:
    body, watch = make_body(), peers.Watch()

    async def consumed() -> Outcome:
        return await peer(body, read, watch)

    assert asyncio.run(consumed()) == body.expected
    assert watch.ns > 0


@pytest.mark.parametrize("make_body", BODIES.values(), ids=BODIES)
def test_the_same_call_gives_the_same_bytes(make_body: Callable[[], Body]) -> None:
    body = make_body()
    assert make_body() == body
    assert body.data.count(b"event: ") == body.events
    assert b"".join(body.reads(100)) == body.data


def test_a_mixed_run_has_281_events() -> None:
    assert bodies.mixed().events == 281


def test_a_run_is_as_large_as_servers_send_it() -> None:
    created = bodies.text(1).data.split(b"\n\n")[0]
    assert 2_500 < len(created) < 3_500


def test_the_big_frame_is_one_frame() -> None:
    assert max(map(len, bodies.big_frame(100_000).data.split(b"\n\n"))) > 100_000


@pytest.fixture(scope="module")
def setting() -> Iterator[Setting]:
    with Setting(quick=True) as opened:
        yield opened


@pytest.mark.parametrize(
    "row",
    [
        side_by_side("tiny", "a tiny text", lambda _: bodies.text(3)),
        side_by_side("end", "a tiny text", lambda _: bodies.text(3), UNTIL_DONE),
        frame(10_000, 100),
        trickle(),
        at_once(10),
    ],
    ids=lambda row: row.name,
)
def test_a_row_gives_each_case_a_sample_a_round(row: Row, setting: Setting) -> None:
    measured = measure(row, 2, setting)
    assert {len(samples) for samples in measured.samples.values()} == {2}
    assert all(sample > 0 for samples in measured.samples.values() for sample in samples)
    assert row.base is None or row.base in measured.samples
    table = as_table([measured])
    assert all(case in table for case in measured.samples)
    assert [entry["name"] for entry in as_json([measured], [], 2)["rows"]] == [row.name]


@pytest.mark.parametrize("thread", ["text", "tools", "mixed", "short"])
@pytest.mark.parametrize("case", WIRE_PEERS)
def test_every_peer_over_http_ends_with_the_texts_and_arguments_of_the_body(
    case: str, thread: str, setting: Setting
) -> None:
    async def consumed(consume: Consume) -> list[Outcome | None]:
        return [await consume(thread, None) for _ in range(2)]

    expected = None if case == "bytes only" else WHOLE[thread](setting.part).expected
    assert run_on(case, setting.url, consumed) == [expected, expected]


@pytest.mark.parametrize("case", ["openai", "azure", "naive json", "asyncruns"])
def test_a_delta_that_is_stamped_tells_how_long_it_took(case: str, setting: Setting) -> None:
    assert 0 < held(case, setting.url, 3) < 60


@pytest.mark.parametrize("case", ["naive json", "asyncruns"])
def test_the_memory_of_idle_streams_is_measured(case: str, setting: Setting) -> None:
    printed, _ = output_of(["-m", "benchmarks.idle", case, setting.url, "begun", "5"])
    assert float(printed) < 10_000


@pytest.mark.parametrize("peer", FIRST)
def test_a_fresh_process_ends_its_first_run_with_the_text(peer: str, setting: Setting) -> None:
    printed, milliseconds = output_of([*FIRST_RUN, peer, setting.url])
    assert [printed.removesuffix("\n")] == [*WHOLE["short"](1).expected.texts.values()]
    assert milliseconds > 0


def test_a_process_that_fails_is_an_error_with_what_it_said() -> None:
    with pytest.raises(MismatchError, match="no good"):
        output_of(["-c", "raise SystemExit('no good')"])


@pytest.mark.parametrize("streams", [1, 10])
def test_the_longest_turn_of_a_loop_is_measured(streams: int, setting: Setting) -> None:
    measured = measure(stall(streams), 1, setting)
    assert all(0 < longest < 60_000 for (longest,) in measured.samples.values())


def test_a_peer_that_ends_otherwise_is_an_error(setting: Setting) -> None:
    async def forgetful(body: Body, read: int, watch: peers.Watch) -> Outcome:
        outcome = await peers.asyncruns_stream(body, read, watch)
        return Outcome({name: text[:-1] for name, text in outcome.texts.items()}, outcome.inputs)

    row = side_by_side("tiny", "a tiny text", lambda _: bodies.text(3), {"forgetful": forgetful})
    with pytest.raises(MismatchError, match="forgetful ended with another msg_"):
        measure(row, 1, setting)


def measured_as(samples: dict[str, list[float]], *, is_rate: bool = False) -> Measured:
    return Measured(Row("row", "a row", "ms", lambda _: {}, is_rate=is_rate), samples)


@pytest.mark.parametrize(
    ("target", "is_rate", "rounds", "verdict"),
    [
        (Target("", "row", 3, 5, "peer"), False, [4, 10, 5], "aim met"),
        (Target("", "row", 2, 6, "peer"), False, [4, 10, 5], "must met"),
        (Target("", "row", 6, 9, "peer"), False, [4, 10, 5], "NOT MET"),
        (Target("", "row", 3, 5, "peer"), True, [0.25, 0.1, 0.2], "NOT MET"),
        (Target("", "row", 1, 0.5, "peer", "share"), False, [0.25, 0.1, 0.2], "aim met"),
        (Target("", "row", -12, -20, "peer", "over"), False, [-30, -9, -16], "must met"),
        (Target("", "row", 5, 3, way="value"), False, [10, 1, 4], "must met"),
    ],
)
def test_a_target_is_judged_by_the_median_of_its_rounds(
    target: Target, is_rate: bool, rounds: list[float], verdict: str
) -> None:
    samples: dict[str, list[float]] = {"asyncruns": [10, 1, 4], "peer": [40, 10, 20]}
    (judged,) = reached([measured_as(samples, is_rate=is_rate)], [target])
    assert judged.rounds == rounds
    assert judged.verdict == verdict
    assert verdict in as_verdicts([judged])


def test_every_target_belongs_to_a_row() -> None:
    assert {target.row for target in TARGETS} <= {row.name for row in ROWS}


def test_a_target_whose_cases_were_not_measured_is_left_out() -> None:
    assert reached([measured_as({"asyncruns": [1]})], [Target("", "row", 1, 2, "peer")]) == []


def test_pictures_are_drawn_of_what_was_measured(tmp_path: Path) -> None:
    rows = {row.name: row for row in ROWS}
    samples: dict[str, dict[str, list[float]]] = {
        "text": {"asyncruns": [2], "openai": [200]},
        "trickle": {"asyncruns": [50], "openai": [500]},
        "linear": {"asyncruns 10": [2], "asyncruns 100": [2], "naive json 10": [9]},
        "capacity": {"asyncruns": [300], "openai": [40]},
        "idle": {"asyncruns": [30], "openai": [100]},
    }
    measured = [Measured(rows[name], cases) for name, cases in samples.items()]
    files = plot(measured, tmp_path / "plots")
    assert {file.suffix for file in files} == {".svg"}
    assert len(files) == 5
    assert all("asyncruns" in file.read_text(encoding="utf-8") for file in files)


def test_the_command_prints_a_table_and_writes_every_sample(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "numbers.json"
    plots = tmp_path / "plots"
    rows = ["--only", "mixed", "--only", "trickle"]
    assert main(["--quick", *rows, "--json", str(file), "--plot", str(plots)]) == 0
    printed = capsys.readouterr()
    assert "mixed" in printed.out
    assert printed.err == ""
    assert sorted(plots.iterdir()) == [plots / "in_process.svg", plots / "over_http.svg"]
    numbers = json.loads(file.read_text())
    assert [row["name"] for row in numbers["rows"]] == ["mixed", "trickle"]
    cases = [case for row in numbers["rows"] for case in row["cases"].values()]
    assert {len(case["samples"]) for case in cases} == {1}
    assert "mixed, in process, against openai" in {one["title"] for one in numbers["targets"]}


def test_the_help_names_every_row(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    printed = capsys.readouterr().out
    assert all(row.title in printed for row in ROWS)
