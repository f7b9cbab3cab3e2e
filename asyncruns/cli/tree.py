"""A run, its steps and its messages to a tree, at any moment of the run."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from rich.console import Group
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from asyncruns import (
    ENDED_RUN,
    ENDED_STEP,
    CodeInterpreterToolCall,
    CodeOutputImage,
    CodeOutputLogs,
    FileCitationAnnotation,
    FilePathAnnotation,
    FileSearchToolCall,
    FunctionToolCall,
    Message,
    MessageCreationStepDetails,
    RefusalContentBlock,
    Run,
    TextContentBlock,
    ToolCallsStepDetails,
)
from asyncruns.cli.console import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from rich.console import RenderableType

    from asyncruns import RunStep
    from asyncruns.cli.times import Stopwatch

__all__ = ["draw", "facts", "mark_of"]

FRAMES: Final = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
FRAME_SECONDS: Final = 0.1
STILL: Final = "…"
MARKS: Final = {"completed": ("✓", "green"), "failed": ("✗", "red")}
"""What an end looks like; any other one is a yellow dash."""


def draw(
    run: Run,
    steps: Sequence[RunStep],
    messages: Sequence[Message],
    times: Stopwatch,
    *,
    still: bool = False,
) -> Tree:
    """Draw a run: status, duration and tokens, and below them what each step has done so far.

    What has not ended has a spinner; in a picture that stays, `still`, it has an ellipsis.
    """
    alive = STILL if still else _spinner()
    tree = Tree(_heading("run", run, times, alive), guide_style="dim")
    by_id = {message.id: message for message in messages}
    for step in steps:
        heading = _heading(step.type.replace("_", " "), step, times, alive)
        match step.step_details:
            case MessageCreationStepDetails(message_creation=creation):
                message = by_id.pop(creation.message_id or "", None)
                tree.add(Group(heading, *(_message(message) if message else ())))
            case ToolCallsStepDetails(tool_calls=calls):
                branch = tree.add(heading)
                for call in calls:
                    pending = "" if step.status in ENDED_STEP else alive
                    branch.add(Group(*_call(call, pending)))
            case _:
                tree.add(heading)
    for message in by_id.values():  # their steps have not come, or never will
        tree.add(Group(_heading("message", message, times, alive), *_message(message)))
    return tree


def mark_of(status: str | None, alive: str = STILL) -> tuple[str, str]:
    """The sign of a status and its style; `alive` is the sign of one that is no end."""
    if status not in ENDED_RUN:
        return alive, "cyan"
    return MARKS.get(status, ("-", "yellow"))


def facts(item: Run | RunStep | Message, seconds: float | None = None) -> Iterator[str]:
    """Say how it stands: its status, how long it has taken, its tokens, and why it ended so."""
    yield item.status or "unknown"
    if seconds is not None:
        yield f"{seconds:.2f} s"
    if isinstance(item, Message):
        return
    if item.usage is not None:
        read, written = item.usage.prompt_tokens, item.usage.completion_tokens
        yield f"{item.usage.total_tokens} tokens ({read} in, {written} out)"
    if item.last_error is not None:
        yield f"{item.last_error.code}: {item.last_error.message}"
    if isinstance(item, Run) and item.incomplete_details is not None:
        yield f"{item.incomplete_details.reason}"


def _heading(name: str, item: Run | RunStep | Message, times: Stopwatch, alive: str) -> Text:
    mark, style = mark_of(item.status, alive)
    said = facts(item, None if isinstance(item, Message) else times.seconds(item))
    return Text.assemble(
        (f"{mark} ", style),
        (printable(name), "bold"),
        (printable("".join(f" · {fact}" for fact in said)), "dim"),
    )


def _spinner() -> str:
    return FRAMES[int(time.monotonic() / FRAME_SECONDS) % len(FRAMES)]


def _message(message: Message) -> Iterator[RenderableType]:
    for part in message.content:
        match part:
            case TextContentBlock(text=text):
                yield Text(printable(text.value))
                for annotation in text.annotations:
                    yield Text(_annotation(annotation), "dim")
            case RefusalContentBlock(refusal=refusal):
                yield Text(printable(refusal), "yellow")
            case _:
                yield Text(printable(part.type), "magenta")


def _annotation(annotation: Any) -> str:
    match annotation:
        case FileCitationAnnotation(text=text, file_citation=citation):
            return printable(f"{text} cites {citation.file_id}")
        case FilePathAnnotation(text=text, file_path=path):
            return printable(f"{text} is {path.file_id}")
        case _:
            return printable(annotation.type)


def _call(call: Any, pending: str) -> Iterator[RenderableType]:
    """Draw a tool call; `pending` stands for an output that is still to come."""
    show = _CALLS.get(type(call))
    if show is not None:
        return show(call, pending)
    return iter((Text(printable(f"{call.type} {call.id or ''}"), "magenta"),))


def _function(call: FunctionToolCall, pending: str) -> Iterator[RenderableType]:
    function = call.function
    name, arguments = printable(function.name or "function"), printable(function.arguments)
    yield Text.assemble((name, "bold cyan"), " ", arguments)
    if function.output is not None:
        yield _result(Text(printable(function.output), "green"))
    elif pending:
        yield _result(Text(pending, "cyan"))


def _code(call: CodeInterpreterToolCall, _pending: str) -> Iterator[RenderableType]:
    yield Text("code interpreter", "bold cyan")
    yield _highlighted(call.code_interpreter.input)
    for output in call.code_interpreter.outputs:
        match output:
            case CodeOutputLogs(logs=logs):
                yield _result(Text(printable(logs).rstrip("\n"), "green"))
            case CodeOutputImage(image=image):
                yield _result(Text(printable(f"image {image.file_id}"), "green"))
            case _:
                yield _result(Text(printable(output.type), "magenta"))


def _search(call: FileSearchToolCall, _pending: str) -> Iterator[RenderableType]:
    yield Text("file search", "bold cyan")
    for result in call.file_search.results or ():
        found = Text.assemble((printable(result.file_name or result.file_id or ""), "green"))
        if result.score is not None:
            found.append(f" {result.score:.2f}", "dim")
        for content in result.content or ():
            found.append(f" {printable(content.text or '')}")
        yield _result(found)


def _result(text: Text) -> RenderableType:
    """What a call has brought, behind an arrow."""
    line = Table.grid()
    line.add_row(Text("→ ", "dim"), text)
    return line


def _highlighted(code: str) -> Text:
    text = Syntax("", "python", theme="ansi_dark").highlight(printable(code))
    text.rstrip()
    return text


_CALLS: Final[Mapping[type, Callable[[Any, str], Iterator[RenderableType]]]] = {
    FunctionToolCall: _function,
    CodeInterpreterToolCall: _code,
    FileSearchToolCall: _search,
}
