"""The benchmarks work and all peers agree; how long they take is never asserted."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest

from benchmarks import bodies, peers
from benchmarks.__main__ import main
from benchmarks.bodies import Body, Outcome
from benchmarks.in_process import PEERS, ROWS, MismatchError, frame, linear, side_by_side
from benchmarks.report import as_json, as_table
from benchmarks.rounds import Row, measure

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

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


@pytest.mark.parametrize(
    "row",
    [
        side_by_side("tiny", "a tiny text", lambda: bodies.text(3)),
        linear((2, 20)),
        frame(10_000, 100),
    ],
    ids=lambda row: row.name,
)
def test_a_row_gives_each_case_a_sample_a_round(row: Row) -> None:
    measured = measure(row, 2)
    assert {len(samples) for samples in measured.samples.values()} == {2}
    assert row.base in measured.samples
    table = as_table([measured])
    assert all(case in table for case in measured.samples)
    assert [entry["name"] for entry in as_json([measured], 2)["rows"]] == [row.name]


def test_a_peer_that_ends_otherwise_is_an_error() -> None:
    async def forgetful(body: Body, read: int, watch: peers.Watch) -> Outcome:
        outcome = await peers.asyncruns_stream(body, read, watch)
        return Outcome({name: text[:-1] for name, text in outcome.texts.items()}, outcome.inputs)

    row = side_by_side("tiny", "a tiny text", lambda: bodies.text(3), {"forgetful": forgetful})
    with pytest.raises(MismatchError, match="forgetful ended with another msg_"):
        measure(row, 1)


def test_the_command_prints_a_table_and_writes_every_sample(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "numbers.json"
    assert main(["--quick", "--only", "mixed", "--json", str(file)]) == 0
    printed = capsys.readouterr()
    assert "mixed" in printed.out
    assert printed.err == ""
    (row,) = json.loads(file.read_text())["rows"]
    assert {len(case["samples"]) for case in row["cases"].values()} == {3}


def test_the_help_names_every_row(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    printed = capsys.readouterr().out
    assert all(row.title in printed for row in ROWS)
