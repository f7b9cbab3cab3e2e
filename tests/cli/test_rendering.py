"""The tree, the lines and the console, on what a server may send and the demo does not."""

from __future__ import annotations

import time
from io import StringIO
from typing import Any

import pytest
from rich.console import Console
from rich.text import Text

from asyncruns import (
    CodeInterpreter,
    CodeInterpreterToolCall,
    CodeOutputImage,
    CodeOutputLogs,
    EventDecoder,
    FileSearchCall,
    FileSearchResult,
    FileSearchToolCall,
    Function,
    FunctionToolCall,
    LastError,
    Message,
    MessageCreation,
    MessageCreationStepDetails,
    RefusalContentBlock,
    Run,
    RunStep,
    TextContentBlock,
    ToolCallsStepDetails,
    Unknown,
    UnknownAnnotation,
    UnknownCodeOutput,
    UnknownContentBlock,
    UnknownStepDetails,
    UnknownToolCall,
    Usage,
    events_for,
    to_json,
)
from asyncruns import Text as TextOfMessage
from asyncruns.cli.console import Ragged, is_live, printable
from asyncruns.cli.lines import Lines
from asyncruns.cli.times import Stopwatch
from asyncruns.cli.tree import FRAMES, draw


def console_of(file: StringIO, width: int = 80) -> Console:
    return Console(file=file, width=width, highlight=False, markup=False, emoji=False)


def drawn(run: Run, *steps: RunStep, messages: tuple[Message, ...] = ()) -> list[str]:
    file = StringIO()
    console_of(file).print(Ragged(draw(run, steps, messages, Stopwatch())))
    return file.getvalue().splitlines()


def printed(*frames: tuple[str, bytes], width: int = 80) -> list[str]:
    """The lines that the events of these frames are printed as."""
    decoder, file = EventDecoder(), StringIO()
    with Lines(console_of(file, width)) as lines:
        for name, data in frames:
            for event in decoder.feed(b"event: %b\ndata: %b\n\n" % (name.encode(), data)):
                lines.take(event)
    return file.getvalue().splitlines()


def step_with(*calls: Any, **fields: Any) -> RunStep:
    details = ToolCallsStepDetails(tool_calls=list(calls))
    fields.setdefault("status", "completed")
    return RunStep(id="s", type="tool_calls", step_details=details, **fields)


def unknown(kind: type[Unknown], name: str) -> Any:
    return kind(unknown_type=name, id="x_1", raw=b"{}")


def test_the_headings_have_mark_status_duration_tokens_and_error() -> None:
    usage = Usage(prompt_tokens=3, completion_tokens=4, total_tokens=7)
    error = LastError(code="server_error", message="Sorry.")
    run = Run(id="r", status="failed", created_at=10, failed_at=12.5, last_error=error)
    step = step_with(status="cancelled", cancelled_at=11, created_at=10, usage=usage)
    assert drawn(run, step) == [
        "✗ run · failed · 2.50 s · server_error: Sorry.",
        "└── - tool calls · cancelled · 1.00 s · 7 tokens (3 in, 4 out)",
    ]


def test_what_goes_on_has_a_spinner() -> None:
    function = Function(name="f", arguments='{"a":')
    call = FunctionToolCall(id="c", function=function)
    lines = drawn(Run(id="r", status="requires_action"), step_with(call, status="in_progress"))
    assert lines[0][0] in FRAMES
    assert lines[-1][-1] in FRAMES
    assert [line.strip(f"{FRAMES}└── →") for line in lines] == [
        "run · requires_action",
        "tool calls · in_progress",
        'f {"a":',
        "",
    ]


def test_a_call_without_output_in_a_step_that_ended_does_not_spin() -> None:
    call = FunctionToolCall(id="c", function=Function(name="f", arguments="{}"))
    assert drawn(Run(id="r", status="expired"), step_with(call, status="expired"))[-1] == (
        "    └── f {}"
    )


def test_code_is_shown_with_its_outputs() -> None:
    outputs = [
        CodeOutputLogs(logs="one\ntwo\n"),
        CodeOutputImage(),
        unknown(UnknownCodeOutput, "video"),
    ]
    code = CodeInterpreter(input="if x:\n    y()\n", outputs=outputs)
    call = CodeInterpreterToolCall(id="c", code_interpreter=code)
    assert drawn(Run(id="r", status="completed"), step_with(call))[2:] == [
        "    └── code interpreter",
        "        if x:",
        "            y()",
        "        → one",
        "          two",
        "        → image None",
        "        → video",
    ]


def test_a_message_is_shown_with_every_part_and_annotation() -> None:
    annotation = unknown(UnknownAnnotation, "url_citation")
    message = Message(
        id="m",
        content=[
            TextContentBlock(text=TextOfMessage(value="Hi.", annotations=[annotation])),
            RefusalContentBlock(refusal="No."),
            unknown(UnknownContentBlock, "audio"),
        ],
    )
    details = MessageCreationStepDetails(message_creation=MessageCreation(message_id="m"))
    step = RunStep(id="s", type="message_creation", status="completed", step_details=details)
    run = Run(id="r", status="completed")
    heading = "└── ✓ message creation · completed"
    assert drawn(run, step, messages=(message,))[1:] == [
        heading,
        "    Hi.",
        "    url_citation",
        "    No.",
        "    audio",
    ]
    assert drawn(run, step)[1:] == [heading]


def test_what_the_reference_does_not_have_is_shown_by_its_type() -> None:
    run = Run(id="r", status="completed")
    foreign = RunStep(
        id="s",
        type="activities",
        status="completed",
        step_details=unknown(UnknownStepDetails, "activities"),
    )
    calls = step_with(unknown(UnknownToolCall, "mcp"), FileSearchToolCall(id="c"))
    assert drawn(run, foreign, calls)[1:] == [
        "├── ✓ activities · completed",
        "└── ✓ tool calls · completed",
        "    ├── mcp x_1",
        "    └── file search",
    ]


def test_control_codes_of_a_server_do_not_reach_the_terminal() -> None:
    evil = "a\x1b[2Jb\x9b1mc\u202ed\te\r\nf"
    assert printable(evil) == "a\ufffd[2Jb\ufffd1mc\ufffdd\te\nf"
    call = FunctionToolCall(id="c", function=Function(name="f\x1b[31m", output="\x07"))
    lines = drawn(Run(id="r", status="\x1b"), step_with(call))
    assert not set("".join(lines)) & {"\x1b", "\x07"}


def test_a_picture_that_is_too_high_shows_its_end() -> None:
    file = StringIO()
    console_of(file).print(Ragged(Text("one  \ntwo\n\nfour  "), height=3))
    assert file.getvalue() == "two\n\nfour\n"


def test_the_stopwatch_measures_what_it_has_seen_end() -> None:
    times, decoder = Stopwatch(), EventDecoder()
    step = RunStep(id="s", status="in_progress", created_at=1)
    assert times.seconds(step) is None
    frame = b"event: thread.run.step.%b\ndata: %b\n\n"
    for name, status in ((b"created", "in_progress"), (b"completed", "completed")):
        data = to_json(RunStep(id="s", status=status, created_at=1, completed_at=9))
        for event in decoder.feed(frame % (name, data)):
            times.take(event)
    seconds = times.seconds(step)
    assert seconds is not None
    assert seconds < 8
    assert times.seconds(step) == seconds


def test_lines_wrap_at_words_under_their_column() -> None:
    text = b'{"id":"m","delta":{"content":[{"index":0,"type":"text","text":{"value":"%b"}}]}}'
    frames = [
        ("thread.message.delta", text % piece) for piece in (b"one two ", b" three", b" four")
    ]
    assert printed(*frames, width=25) == [
        "message        one two",
        "               three four",
    ]


def test_lines_keep_indentation_and_empty_lines() -> None:
    code = b"if x:\\n    y()\\n\\n\\nz()\\n"
    call = b'{"index":0,"type":"code_interpreter","code_interpreter":{"input":"%b"}}' % code
    data = b'{"id":"s","delta":{"step_details":{"type":"tool_calls","tool_calls":[%b]}}}' % call
    assert printed(("thread.run.step.delta", data)) == [
        "code           if x:",
        "                   y()",
        "",
        "",
        "               z()",
    ]


@pytest.mark.parametrize(
    ("call", "lines"),
    [
        (b'"type":"mcp","id":"call_1"', ["mcp            call_1"]),
        (b'"type":"mcp"', []),
        (b'"type":"function"', []),
        (b'"type":"function","function":{"arguments":"{}"}', ["function       {}"]),
        (
            b'"type":"code_interpreter","code_interpreter":{"outputs":[{"index":0,"type":"odd"}]}',
            [],
        ),
    ],
)
def test_lines_take_every_kind_of_call(call: bytes, lines: list[str]) -> None:
    data = b'{"id":"s","delta":{"step_details":{"type":"tool_calls","tool_calls":[{%b}]}}}' % call
    assert printed(("thread.run.step.delta", data)) == lines


@pytest.mark.parametrize(
    ("part", "lines"),
    [
        (b'"type":"refusal","refusal":"No."', ["message        No."]),
        (b'"type":"text"', []),
        (b'"type":"image_file"', []),
    ],
)
def test_lines_take_every_part_of_a_message(part: bytes, lines: list[str]) -> None:
    data = b'{"id":"m","delta":{"content":[{"index":0,%b}]}}' % part
    assert printed(("thread.message.delta", data)) == lines


def test_lines_say_a_status_once() -> None:
    queued, done = (to_json(Run(id="r", status=status)) for status in ("queued", "completed"))
    assert printed(
        ("thread.run.created", queued),
        ("thread.run.queued", queued),
        ("thread.run.completed", done),
        ("thread.run.news", b"{}"),
    ) == ["run            queued", "run            completed"]


@pytest.mark.parametrize(
    ("environ", "live"), [({"TERM": "xterm"}, True), ({"TERM": "dumb"}, False)]
)
def test_only_a_terminal_that_moves_its_cursor_is_redrawn(
    environ: dict[str, str], live: bool
) -> None:
    class Tty(StringIO):
        def isatty(self) -> bool:
            return True

    assert is_live(Console(file=Tty(), _environ=environ)) is live
    assert not is_live(Console(file=StringIO(), _environ={"FORCE_COLOR": "1", **environ}))


def test_what_was_going_already_is_timed_by_the_server() -> None:
    times = Stopwatch()
    ended = Run(id="r", status="completed", created_at=10, completed_at=12)
    alive = RunStep(id="s", status="in_progress", created_at=time.time() - 60)
    for event in (*events_for(ended), *events_for(alive)):  # as a look at the run gives them
        times.take(event)
    assert times.seconds(ended) == 2
    assert 60 <= (times.seconds(alive) or 0) < 120
    assert times.seconds(RunStep(id="other", status="in_progress", created_at=10)) is None


def test_a_picture_that_stays_has_no_spinners() -> None:
    call = FunctionToolCall(id="c", function=Function(name="f", arguments="{}"))
    step = step_with(call, status="in_progress")
    file = StringIO()
    tree = draw(Run(id="r", status="requires_action"), [step], [], Stopwatch(), still=True)
    console_of(file).print(Ragged(tree))
    assert file.getvalue().splitlines() == [
        "… run · requires_action",
        "└── … tool calls · in_progress",
        "    └── f {}",
        "        → …",
    ]


def test_a_message_of_no_step_is_shown_behind_the_steps() -> None:
    text = TextContentBlock(text=TextOfMessage(value="Hi."))
    message = Message(id="m", status="incomplete", content=[text])
    assert drawn(Run(id="r", status="incomplete"), messages=(message,)) == [
        "- run · incomplete",
        "└── - message · incomplete",
        "    Hi.",
    ]


def test_lines_give_the_text_that_no_delta_has_brought() -> None:
    part = b'{"type":"text","text":{"value":"%b","annotations":[]}}'
    delta = b'{"id":"m","delta":{"content":[{"index":0,"type":"text","text":{"value":"One"}}]}}'
    refusal = b'{"type":"refusal","refusal":"No."}'
    content = b"%b,%b" % (part % b"One two", refusal)
    end = b'{"id":"m","status":"completed","content":[%b]}' % content
    assert printed(
        ("thread.message.delta", delta),
        ("thread.message.completed", end),
        ("thread.message.completed", end),
    ) == ["message        One two", "message        No."]


def test_lines_give_a_text_anew_that_does_not_continue_its_deltas() -> None:
    file, before, after = (
        StringIO(),
        *(
            Message(
                id="m",
                status=status,
                content=[TextContentBlock(text=TextOfMessage(value=text))],
            )
            for status, text in (("in_progress", "One two"), ("completed", "Two"))
        ),
    )
    with Lines(console_of(file)) as lines:
        for event in (*events_for(before), *events_for(after, before)):
            lines.take(event)
    assert file.getvalue() == "message        One two\nmessage        Two\n"


def test_lines_say_what_a_step_has_brought_once_and_how_it_ended() -> None:
    found = FileSearchResult(file_name="notes.txt", score=0.5)
    step = step_with(
        FunctionToolCall(id="c", function=Function(name="f", output="42")),
        FileSearchToolCall(id="d", file_search=FileSearchCall(results=[found])),
        CodeInterpreterToolCall(id="e"),
        status="failed",
        last_error=LastError(code="server_error", message="Sorry."),
    )
    frame = ("thread.run.step.failed", to_json(step))
    assert printed(frame, frame) == [
        "output         f → 42",
        "output         file search → notes.txt 0.50",
        "step           failed · server_error: Sorry.",
    ]


def test_a_line_of_its_own_ends_before_the_next_piece_comes() -> None:
    file = StringIO()
    with Lines(console_of(file)) as lines:
        for event in events_for(Run(id="r", status="queued")):
            lines.take(event)
        assert file.getvalue() == "run            queued\n"
