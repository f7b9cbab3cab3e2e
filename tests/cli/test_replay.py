"""`asyncruns replay`: what a recording has built, and everything that is odd in one."""

from __future__ import annotations

import json
import re
import sys
from typing import TYPE_CHECKING, Any

import pytest

from asyncruns import Accumulator, EventDecoder, to_dict
from asyncruns.cli.oddities import Oddities, Oddity
from asyncruns.cli.replay import _read

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from tests.cli.conftest import OnTerminal, Recorded, Run

RUN = '{"id":"run_1","status":"%s"}'
STEP = '{"id":"step_1","type":"tool_calls","status":"%s","step_details":%s}'
CALL = '{"index":0,"id":"call_1","type":"function","function":{"name":"f","arguments":"%s"}}'
MESSAGE = '{"id":"msg_1","status":"%s","content":%s}'
TEXT = '[{"type":"text","text":{"value":"%s","annotations":[]}}]'
DELTA = '{"id":"msg_1","delta":{"content":[{"index":0,"type":"text","text":{"value":"%s"}}]}}'

BEGIN = [
    ("thread.run.created", RUN % "queued"),
    ("thread.run.in_progress", RUN % "in_progress"),
    ("thread.message.created", MESSAGE % ("in_progress", "[]")),
    ("thread.message.delta", DELTA % "Hi"),
]
END = [
    ("thread.message.completed", MESSAGE % ("completed", TEXT % "Hi")),
    ("thread.run.completed", RUN % "completed"),
    ("done", "[DONE]"),
]


def body_of(frames: Iterable[tuple[str, str]]) -> bytes:
    return "".join(f"event: {name}\ndata: {data}\n\n" for name, data in frames).encode()


def recorded_body(recorded: Recorded) -> bytes:
    return body_of((event.event, event.raw.decode()) for event in recorded.events)


def odd(body: bytes, tmp_path: Path) -> list[Oddity]:
    """What is odd in a body."""
    path = tmp_path / "body.sse"
    path.write_bytes(body)
    accumulator = Accumulator()
    with path.open("rb") as file:
        return _read(file, accumulator, Oddities(accumulator))


@pytest.fixture(name="file")
def fixture_file(recorded: Recorded, tmp_path: Path) -> Path:
    path = tmp_path / "run.sse"
    path.write_bytes(recorded_body(recorded))
    return path


def test_a_whole_recording_is_drawn_and_nothing_is_odd(
    run: Run, file: Path, recorded: Recorded
) -> None:
    ended = run("replay", str(file))
    lines = ended.stdout.splitlines()
    assert re.match(r"✓ run · completed · \d+\.\d\d s · \d+ tokens \(\d+ in, \d+ out\)$", lines[0])
    assert '│   ├── get_time {"city": "Oslo"}\n│   │   → 17:40 in Oslo\n' in ended.stdout
    assert "→ notes.txt 0.87 Dinner: 20:30, Café Sør.\n" in ended.stdout
    assert lines[-1] == f"nothing odd in {len(recorded.events)} events"
    assert (ended.code, ended.stderr) == (0, "")


def test_json_is_what_the_server_sent_and_the_rest_goes_to_stderr(
    run: Run, file: Path, recorded: Recorded
) -> None:
    ended = run("replay", "--json", str(file))
    objects = json.loads(ended.stdout)
    assert objects["steps"] == recorded.sent.steps
    assert objects["messages"] == recorded.sent.messages
    assert objects["run"]["status"] == "completed"
    assert objects["thread"] is None
    assert ended.stderr == f"nothing odd in {len(recorded.events)} events\n"
    assert ended.code == 0


def test_a_dash_is_standard_input(run: Run, file: Path) -> None:
    shell = f"{sys.executable} -m asyncruns.cli replay - < {file}"
    ended = run(start=("sh", "-c", shell))
    assert ended.stdout.startswith("✓ run · completed")
    assert ended.code == 0


def test_a_file_that_is_not_there_is_exit_2(run: Run) -> None:
    ended = run("replay", "nowhere.sse")
    assert "'nowhere.sse': No such file or directory" in ended.stderr.splitlines()[-1]
    assert (ended.code, ended.stdout) == (2, "")


def test_a_recording_that_is_cut_shows_what_came_and_exits_1(run: Run, file: Path) -> None:
    body = file.read_bytes()
    cut = body[: body.index(b'"20:00\\n"')]
    file.write_bytes(cut)
    ended = run("replay", str(file))
    assert ended.stdout.startswith("… run · in_progress\n")
    assert "    └── code interpreter\n        rain = {" in ended.stdout
    left_over = len(cut) - cut.rindex(b"\n\n") - 2
    *_, lost, alive, unclosed = ended.stdout.splitlines()
    assert lost.startswith(f"damaged: {left_over} bytes left over at the end make no event: 'event")
    assert re.match(r"damaged: run_\w+ neither ends nor pauses: it is in_progress$", alive)
    assert unclosed == "odd: it does not close with done"
    assert (ended.code, ended.stderr) == (1, "")


def test_what_is_odd_but_lost_nothing_is_exit_0(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "odd.sse"
    path.write_bytes(body_of([*BEGIN[:2], *BEGIN[3:], *END]))
    ended = run("replay", str(path))
    assert ended.stdout.splitlines() == [
        "✓ run · completed",
        "└── ✓ message · completed",
        "    Hi",
        "",
        "odd: event 3, thread.message.delta: msg_1 was not created before",
    ]
    assert (ended.code, ended.stderr) == (0, "")


def test_what_is_no_stream_at_all_is_said_to_be_none(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_text('{"object": "thread.run"}')
    ended = run("replay", str(path))
    assert ended.stdout.splitlines() == [
        'damaged: 24 bytes left over at the end make no event: \'{"object": "thread.run"}\'',
        "damaged: no event is in it: is it the body of a text/event-stream?",
    ]
    assert ended.code == 1


def test_on_a_terminal_it_has_colours_and_no_control_codes_of_the_recording(
    on_terminal: OnTerminal, tmp_path: Path
) -> None:
    path = tmp_path / "evil.sse"
    evil = body_of(
        [*BEGIN[:3], ("thread.message.delta", DELTA % r"\u001b[2Jaha"), ("ev\x9bil", "0")]
    )
    path.write_bytes(evil)
    with on_terminal("replay", str(path)) as terminal:
        code, written = terminal.end()
    assert "\x1b[1;31mdamaged: \x1b[0m" in written
    assert "\ufffd[2Jaha" in written
    assert "\x1b[2J" not in written
    assert "not the protocol's: ev\ufffdil" in written
    assert code == 1


def test_without_colour_it_says_the_same(on_terminal: OnTerminal, file: Path) -> None:
    with on_terminal("replay", str(file), NO_COLOR="1") as terminal:
        code, written = terminal.end()
    assert not re.search(r"\x1b\[[0-9;]*[349][0-7]m", written)
    assert "nothing odd" in written
    assert code == 0


def test_the_bodies_of_both_rounds_of_a_run_may_follow_one_another(tmp_path: Path) -> None:
    action = '{"id":"run_1","status":"requires_action"}'
    first = [*BEGIN[:2], ("thread.run.requires_action", action), ("done", "[DONE]")]
    second = [
        ("thread.run.step.completed", STEP % ("completed", "null")),
        ("thread.run.in_progress", RUN % "in_progress"),
        *BEGIN[2:],
        *END,
    ]
    assert odd(body_of([*first, *second[1:]]), tmp_path) == []
    assert odd(body_of(second), tmp_path) == []


def test_a_frame_may_lie_across_what_is_read_at_once(tmp_path: Path) -> None:
    deltas = [("thread.message.delta", DELTA % "0123456789abcdef")] * 2_000
    whole = TEXT % ("Hi" + "0123456789abcdef" * 2_000)
    end = ("thread.message.completed", MESSAGE % ("completed", whole))
    body = body_of([*BEGIN, *deltas, end, *END[1:]])
    assert len(body) > 3 * 64 * 1024
    assert odd(body, tmp_path) == []


def frames(*changes: Callable[[list[Any]], object]) -> bytes:
    """An ordinary recording with changes."""
    ordinary = [*BEGIN, *END]
    for change in changes:
        change(ordinary)
    return body_of(ordinary)


def put(place: int, name: str, data: str) -> Callable[[list[Any]], object]:
    return lambda ordinary: ordinary.insert(place, (name, data))


def swap(place: int, name: str, data: str) -> Callable[[list[Any]], object]:
    return lambda ordinary: ordinary.__setitem__(place, (name, data))


def drop(place: int) -> Callable[[list[Any]], object]:
    return lambda ordinary: ordinary.pop(place)


STEP_DELTA = (
    f'{{"id":"step_1","delta":{{"step_details":{{"type":"tool_calls","tool_calls":[{CALL}]}}}}}}'
)


@pytest.mark.parametrize(
    ("body", "sentences"),
    [
        (frames(), []),
        (
            frames(put(4, "thread.news", "{}"), put(4, "thread.news", "text")),
            ["2 events with a name that is not the protocol's: thread.news"],
        ),
        (
            frames(put(3, *BEGIN[2])),
            ["event 4, thread.message.created: msg_1 is created once more"],
        ),
        (
            frames(put(2, "thread.message.in_progress", MESSAGE % ("in_progress", "[]"))),
            ["event 3, thread.message.in_progress: msg_1 was not created before"],
        ),
        (
            frames(put(5, "thread.message.delta", DELTA % "!")),
            ["event 6, thread.message.delta: msg_1 gets a delta after its end"],
        ),
        (
            frames(put(5, "thread.message.in_progress", MESSAGE % ("in_progress", "[]"))),
            ["event 6, thread.message.in_progress: msg_1 is alive after its end"],
        ),
        (frames(put(5, *END[0])), ["event 6, thread.message.completed: msg_1 ends again"]),
        (
            frames(put(6, "thread.run.in_progress", RUN % "in_progress")),
            ["event 7, thread.run.in_progress: run_1 goes on after its end"],
        ),
        (
            frames(swap(5, "thread.run.completed", RUN % "incomplete")),
            ["event 6, thread.run.completed: run_1 has the status incomplete"],
        ),
        (
            frames(put(5, "thread.run.queued", '{"id":"run_2","status":"queued"}')),
            ["event 6, thread.run.queued: run_2 is another run"],
        ),
        (
            frames(swap(4, "thread.message.completed", MESSAGE % ("completed", "[]"))),
            [
                (
                    "event 5, thread.message.completed: msg_1 ends without content;"
                    " that of its deltas stays"
                )
            ],
        ),
        (
            frames(swap(4, "thread.message.completed", MESSAGE % ("completed", TEXT % "Ho"))),
            ['message 1 (msg_1), content[0].text.value: assembled "Hi", its end has "Ho"'],
        ),
        (frames(drop(4)), ["msg_1 has not ended, though its run has"]),
        (frames(drop(6)), ["it does not close with done"]),
        (
            frames(lambda ordinary: ordinary.extend(END[1:])),
            ["event 8, thread.run.completed: run_1 goes on after its end", "2 events after done"],
        ),
        (
            frames(
                put(4, "thread.run.step.created", STEP % ("in_progress", "null")),
                put(5, "thread.run.step.delta", STEP_DELTA % ""),
                put(6, "thread.run.step.completed", STEP % ("completed", "null")),
            ),
            [
                (
                    "event 7, thread.run.step.completed: step_1 ends without details;"
                    " those of its deltas stay"
                )
            ],
        ),
        (
            frames(
                put(4, "thread.run.step.created", STEP % ("in_progress", "null")),
            ),
            ["step_1 has not ended, though its run has"],
        ),
        (
            frames(
                put(
                    4,
                    "thread.run.step.completed",
                    STEP % ("completed", '{"type":"tool_calls","tool_calls":[{"type":"mcp"}]}'),
                )
            ),
            [
                "event 5, thread.run.step.completed: step_1 was not created before",
                "1 object of a type that is not the reference's: ToolCall mcp",
            ],
        ),
        (
            frames(
                put(
                    4,
                    "thread.run.step.completed",
                    STEP
                    % (
                        "completed",
                        '{"type":"message_creation","message_creation":{"message_id":"msg_2"}}',
                    ),
                )
            ),
            [
                "event 5, thread.run.step.completed: step_1 was not created before",
                "step_1 wrote msg_2, of which nothing has come",
            ],
        ),
        (
            frames(put(4, "error", '{"error":{"message":"Sorry.","code":"server_error"}}')),
            [
                "event 5: the server reported an error in the stream: Sorry. (code server_error)",
            ],
        ),
        (
            frames().removesuffix(b"\n"),
            ["the last event has no blank line behind it; its data is whole, so it counts"],
        ),
    ],
)
def test_everything_odd_is_named_and_is_no_damage(
    body: bytes, sentences: list[str], tmp_path: Path
) -> None:
    found = odd(body, tmp_path)
    assert [oddity.sentence for oddity in found] == sentences
    assert not any(oddity.damaged for oddity in found)


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (
            frames(put(4, "thread.message.delta", "{")),
            (
                "event 5: the data of a thread.message.delta event cannot be read: Input data was "
                "truncated; it begins '{'"
            ),
        ),
        (
            frames(put(4, "thread.message.delta", (DELTA % "").replace("0", "-1"))),
            "event 5: ",
        ),
        (frames(drop(5)), "run_1 neither ends nor pauses: it is in_progress"),
        (body_of([*BEGIN[2:], END[0], END[2]]), "no event of a run is in it, so nothing tells how"),
        (b"", "no event is in it"),
        (frames() + b"data: {", "7 bytes left over at the end make no event: 'data: {'"),
        (b"data: " + b"x" * (17 * 1024 * 1024), "event 1: a frame of "),
    ],
)
def test_what_lost_something_is_damaged(body: bytes, sentence: str, tmp_path: Path) -> None:
    first = odd(body, tmp_path)[0]
    assert first.sentence.startswith(sentence)
    assert first.damaged


def test_many_of_a_kind_are_counted(tmp_path: Path) -> None:
    late = [put(5, "thread.message.delta", DELTA % "!")] * 1_005
    sentences = [oddity.sentence for oddity in odd(frames(*late), tmp_path)]
    assert len(sentences) == 4
    assert sentences[2].startswith("event 8, ")
    assert sentences[3] == "… and 1,002 more like it"


def test_the_events_around_one_that_cannot_be_read_are_folded(tmp_path: Path) -> None:
    body = frames(put(4, "thread.message.delta", "nonsense"))
    accumulator, decoder = Accumulator(), EventDecoder()
    path = tmp_path / "body.sse"
    path.write_bytes(body)
    with path.open("rb") as file:
        _read(file, accumulator, Oddities(accumulator))
    expected = Accumulator()
    for event in decoder.feed(frames()):
        expected.apply(event)
    assert to_dict(accumulator.messages) == to_dict(expected.messages)
    assert accumulator.run == expected.run
