"""Events to lines of plain text: what comes, as it comes, for pipes and files."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Final, NamedTuple, Self

from rich.cells import cell_len
from rich.text import Text

from asyncruns import (
    ENDED_MESSAGE,
    ENDED_RUN,
    ENDED_STEP,
    CodeInterpreterLogs,
    CodeInterpreterOutputImage,
    CodeInterpreterToolCallDelta,
    FileSearchToolCall,
    FileSearchToolCallDelta,
    FunctionToolCall,
    FunctionToolCallDelta,
    Message,
    MessageDeltaEvent,
    RefusalContentBlock,
    RefusalDeltaBlock,
    Run,
    RunStep,
    RunStepDeltaEvent,
    TextContentBlock,
    TextDeltaBlock,
    ToolCallDeltaObject,
    ToolCallsStepDetails,
)
from asyncruns.cli.console import printable
from asyncruns.cli.tree import facts

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType
    from typing import Any

    from rich.console import Console

    from asyncruns import Event
    from asyncruns.cli.times import Stopwatch

__all__ = ["Lines"]

INDENT: Final = 15
"""How wide the column is that says what a line is part of."""

_WORDS: Final = re.compile(r"\n| ?[^ \n]+| +")


class _Piece(NamedTuple):
    part: object
    """What the piece is part of: those of one part share a line, one of None has its own."""
    label: str
    text: str


class Lines:
    """Prints pieces of text and of tool calls as they come.

    What continues the line before goes on there; what belongs to another part, such as the
    arguments of a call that grows at the same time, begins a line with its name.
    """

    def __init__(self, console: Console, times: Stopwatch | None = None) -> None:
        self._console = console
        self._times = times
        self._part: object = None
        self._column = 0
        self._gap = ""  # spaces that are written once a word follows: no line ends in one
        self._status: str | None = None
        self._names: dict[object, str] = {}
        self._ended: set[str] = set()
        self._written: Counter[tuple[str, int | None]] = Counter()  # characters, by part

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end_line()

    def take(self, event: Event) -> None:
        """Print what an event brings."""
        for piece in self._pieces(event):
            if piece.text:
                self._print(piece)

    def _pieces(self, event: Event) -> Iterator[_Piece]:
        match event.data:
            case Run(status=status) as run if status != self._status:
                self._status = status
                yield _Piece(None, "run", self._said_of(run))
            case RunStep(id=step_id, status=status) as step if status in ENDED_STEP:
                if step_id not in self._ended:
                    self._ended.add(step_id)
                    yield from self._results(step)
            case Message(status=status) as message if status in ENDED_MESSAGE:
                yield from self._rest(message, anew=event.replaced)
            case MessageDeltaEvent(id=message_id, delta=delta):
                for part in delta.content or ():
                    text = _content(part)
                    self._written[message_id, part.index] += len(text)
                    yield _Piece((message_id, part.index), "message", text)
            case RunStepDeltaEvent(id=step_id, delta=delta):
                if isinstance(delta.step_details, ToolCallDeltaObject):
                    for call in delta.step_details.tool_calls or ():
                        yield from self._call((step_id, call.index), call)
            case _:
                pass

    def _said_of(self, item: Run | RunStep) -> str:
        """How it stands; once it has ended, with its time, its tokens and why it ended so."""
        if item.status not in ENDED_RUN:
            return item.status
        seconds = None if self._times is None else self._times.seconds(item)
        return " · ".join(facts(item, seconds))

    def _results(self, step: RunStep) -> Iterator[_Piece]:
        """What a step has brought that no delta has, and how it ended, unless that was well."""
        if isinstance(step.step_details, ToolCallsStepDetails):
            for call in step.step_details.tool_calls:
                for name, result in _results_of(call):
                    yield _Piece(None, "output", f"{name} → {result}")
        if step.status != "completed":
            yield _Piece(None, "step", self._said_of(step))

    def _rest(self, message: Message, *, anew: bool) -> Iterator[_Piece]:
        """What a message ends with beyond its deltas; all of it where it does not continue them."""
        for index, part in enumerate(message.content):
            text = _text(part)
            key = (message.id, index)
            missing = text if anew else text[self._written[key] :]
            self._written[key] = len(text)
            yield _Piece(None if anew else key, "message", missing)

    def _call(self, key: object, call: Any) -> Iterator[_Piece]:
        match call:
            case FunctionToolCallDelta(function=function) if function is not None:
                name = self._names.setdefault(key, function.name or "function")
                yield _Piece(key, name, function.arguments or "")
            case CodeInterpreterToolCallDelta(code_interpreter=code) if code is not None:
                yield _Piece(key, "code", code.input or "")
                for output in code.outputs or ():
                    yield _Piece((key, output.index), "output", _output(output))
            case FileSearchToolCallDelta() if call.id is not None:
                yield _Piece(key, "file search", "searching")
            case _ if call.id is not None:
                yield _Piece(key, call.type, call.id)
            case _:
                pass

    def _print(self, piece: _Piece) -> None:
        if piece.part is None or piece.part != self._part:
            self._end_line()
            self._part = piece.part
            self._write(f"{printable(piece.label):<{INDENT - 1}} ", "dim")
        for word in _WORDS.findall(printable(piece.text)):
            self._write_word(word)
        if piece.part is None:
            self._end_line()

    def _write_word(self, word: str) -> None:
        if word == "\n":
            self._column = self._column or INDENT  # an empty line is a line, too
            self._end_line()
            return
        if word.isspace():
            self._gap += word
            return
        if self._column + cell_len(self._gap + word) > self._console.width:
            self._end_line()
            word = word.lstrip()
        if self._column == 0:
            self._gap = " " * INDENT + self._gap
        self._write(self._gap + word)

    def _end_line(self) -> None:
        self._gap = ""
        if self._column:
            self._write("\n")
        self._column = 0

    def _write(self, text: str, style: str = "") -> None:
        self._console.print(Text(text, style), end="", soft_wrap=True)
        self._column += cell_len(text)
        self._gap = ""


def _content(part: Any) -> str:
    match part:
        case TextDeltaBlock(text=text) if text is not None:
            return text.value or ""
        case RefusalDeltaBlock(refusal=refusal):
            return refusal or ""
        case _:
            return ""


def _text(part: Any) -> str:
    match part:
        case TextContentBlock(text=text):
            return text.value
        case RefusalContentBlock(refusal=refusal):
            return refusal
        case _:
            return ""


def _results_of(call: Any) -> Iterator[tuple[str, str]]:
    match call:
        case FunctionToolCall(function=function) if function.output is not None:
            yield function.name or "function", function.output
        case FileSearchToolCall(file_search=search):
            for result in search.results or ():
                score = "" if result.score is None else f" {result.score:.2f}"
                yield "file search", f"{result.file_name or result.file_id}{score}"
        case _:
            pass


def _output(output: Any) -> str:
    match output:
        case CodeInterpreterLogs(logs=logs):
            return logs or ""
        case CodeInterpreterOutputImage(image=image) if image is not None:
            return f"image {image.file_id}"
        case _:
            return ""
