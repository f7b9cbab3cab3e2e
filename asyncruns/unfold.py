"""Snapshots to events: the way back, for repair, for polling and for late subscribers.

`events_for` gives the events that lead from one snapshot of an object to a later one, so that
folding them gives the later one: a `created` where there was nothing, one delta with what strings
have grown by and with the parts that are new, and the whole object wherever deltas cannot say it
all: at an end, and where a string does not continue what was there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from msgspec import json
from msgspec.structs import replace

from asyncruns.accumulator import Accumulator
from asyncruns.events import (
    EVENTS,
    Event,
    ThreadMessageCreated,
    ThreadMessageDelta,
    ThreadMessageInProgress,
    ThreadRunCreated,
    ThreadRunInProgress,
    ThreadRunStepCreated,
    ThreadRunStepDelta,
    ThreadRunStepInProgress,
)
from asyncruns.models import (
    ENDED_MESSAGE,
    ENDED_RUN,
    ENDED_STEP,
    CodeInterpreterDelta,
    CodeInterpreterLogs,
    CodeInterpreterOutputImage,
    CodeInterpreterToolCall,
    CodeInterpreterToolCallDelta,
    CodeOutputImage,
    CodeOutputImageFileDelta,
    CodeOutputLogs,
    FileCitationAnnotation,
    FileCitationDelta,
    FileCitationDeltaAnnotation,
    FilePathAnnotation,
    FilePathDeltaAnnotation,
    FileSearchToolCall,
    FileSearchToolCallDelta,
    FunctionDelta,
    FunctionToolCall,
    FunctionToolCallDelta,
    ImageFileContentBlock,
    ImageFileDeltaBlock,
    ImageURLContentBlock,
    ImageURLDeltaBlock,
    Message,
    MessageCreationStepDetails,
    MessageDelta,
    MessageDeltaEvent,
    RefusalContentBlock,
    RefusalDeltaBlock,
    Run,
    RunStep,
    RunStepDelta,
    RunStepDeltaEvent,
    RunStepDeltaMessageDelta,
    TextContentBlock,
    TextDelta,
    TextDeltaBlock,
    ToolCallDeltaObject,
    ToolCallsStepDetails,
    Unknown,
    UnknownAnnotation,
    UnknownAnnotationDelta,
    UnknownCodeOutput,
    UnknownCodeOutputDelta,
    UnknownContentBlock,
    UnknownContentDelta,
    UnknownStepDetails,
    UnknownStepDetailsDelta,
    UnknownToolCall,
    UnknownToolCallDelta,
    to_json,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = ["events_for"]

ObjectT = TypeVar("ObjectT", Run, RunStep, Message)


def events_for(after: ObjectT, before: ObjectT | None = None) -> list[Event]:
    """Give the events that lead from `before` (None: from nothing) to `after`.

    The events are marked `recovered`. There are none where nothing has changed, and none that
    would lead an ended object back to life. Costs what reading both objects costs.
    """
    ended, lead = _LEADS[type(after)]
    if after == before or (before and before.status in ended and after.status not in ended):
        return []
    return lead(after, before)


def _lead_run(after: Run, before: Run | None) -> list[Event]:
    kind = EVENTS.get(f"thread.run.{after.status}", ThreadRunInProgress)
    change = _made(kind, after)
    if before is not None:
        return [change]
    return [_made(ThreadRunCreated, _reopened(after, "queued")), change]


def _lead_step(after: RunStep, before: RunStep | None) -> list[Event]:
    events: list[Event] = []
    if before is None:
        before = replace(_reopened(after), step_details=_bare(after.step_details))
        events.append(_made(ThreadRunStepCreated, before))
    details = _details_delta(after.step_details, before.step_details)
    if details is not None:
        change = RunStepDeltaEvent(id=after.id, delta=RunStepDelta(step_details=details))
        events.append(_made(ThreadRunStepDelta, change))
    kind = EVENTS.get(f"thread.run.step.{after.status}", ThreadRunStepInProgress)
    opening = _made(ThreadRunStepInProgress, before)
    if after.status not in ENDED_STEP and after in _folded(opening, *events).steps:
        return events
    return [*events, _made(kind, after)]


def _lead_message(after: Message, before: Message | None) -> list[Event]:
    events: list[Event] = []
    if before is None:
        before = replace(_reopened(after), content=[])
        events.append(_made(ThreadMessageCreated, before))
    if pieces := _pieces(after.content, before.content):
        change = MessageDeltaEvent(id=after.id, delta=MessageDelta(content=pieces))
        events.append(_made(ThreadMessageDelta, change))
    kind = EVENTS.get(f"thread.message.{after.status}", ThreadMessageInProgress)
    opening = _made(ThreadMessageInProgress, before)
    if after.status not in ENDED_MESSAGE and after in _folded(opening, *events).messages:
        return events
    return [*events, _made(kind, after, replaced=_has_other_text(after, before))]


def _has_other_text(after: Message, before: Message) -> bool:
    """Whether a text is not what it was, with more at its end."""
    return any(
        isinstance(old, TextContentBlock)
        and not (isinstance(new, TextContentBlock) and new.text.value.startswith(old.text.value))
        for new, old in zip(after.content, before.content, strict=False)
    )


def _made(kind: Callable[..., Event], data: Any, *, replaced: bool = False) -> Event:
    return kind(data, to_json(data), recovered=True, replaced=replaced)


def _reopened(after: ObjectT, status: str = "in_progress") -> ObjectT:
    """The object as it may have been when it was created."""
    unset = dict.fromkeys(_SET_LATER.intersection(after.__struct_fields__))
    return replace(after, status=status, **unset)


_SET_LATER = {
    "cancelled_at",
    "completed_at",
    "expired_at",
    "failed_at",
    "incomplete_at",
    "incomplete_details",
    "last_error",
    "required_action",
    "started_at",
    "usage",
}


def _bare(details: Any) -> Any:
    """The details of a step that has only been created."""
    return ToolCallsStepDetails() if isinstance(details, ToolCallsStepDetails) else details


def _folded(*events: Event) -> Accumulator:
    accumulator = Accumulator()
    for event in events:
        accumulator.apply(event)
    return accumulator


def _details_delta(after: Any, before: Any) -> Any:
    """The delta of a step's details; None where there is none."""
    match after, before:
        case ToolCallsStepDetails(), _:
            known = before.tool_calls if isinstance(before, ToolCallsStepDetails) else ()
            pieces = _pieces(after.tool_calls, known)
            return ToolCallDeltaObject(tool_calls=pieces) if pieces else None
        case MessageCreationStepDetails(), _ if after != before:
            return RunStepDeltaMessageDelta(message_creation=after.message_creation)
        case UnknownStepDetails(), _ if after != before:
            return UnknownStepDetailsDelta(unknown_type=after.type, id=after.id, raw=after.raw)
        case _:
            return None


def _pieces(after: Sequence[Any], before: Sequence[Any]) -> list[Any]:
    """The deltas of the parts of a list that are new or have changed."""
    return list(_changes(after, before))


def _changes(after: Sequence[Any], before: Sequence[Any]) -> Iterator[Any]:
    for index, part in enumerate(after):
        known = before[index] if index < len(before) else None
        if known != part:
            kind = type(part)
            if type(known) is not kind and not isinstance(part, Unknown):
                known = kind()
            yield _PIECES[kind](index, part, known)


def _grown(after: str, before: str) -> str | None:
    """What a string has grown by; None where it does not continue what was there."""
    return after[len(before) :] if after.startswith(before) else None


def _function(index: int, after: FunctionToolCall, before: FunctionToolCall) -> Any:
    function = FunctionDelta(
        name=after.function.name,
        arguments=_grown(after.function.arguments, before.function.arguments),
        output=after.function.output,
    )
    new_id = after.id if after.id != before.id else None
    return FunctionToolCallDelta(index=index, id=new_id, function=function)


def _code(index: int, after: CodeInterpreterToolCall, before: CodeInterpreterToolCall) -> Any:
    code = CodeInterpreterDelta(
        input=_grown(after.code_interpreter.input, before.code_interpreter.input),
        outputs=_pieces(after.code_interpreter.outputs, before.code_interpreter.outputs),
    )
    new_id = after.id if after.id != before.id else None
    return CodeInterpreterToolCallDelta(index=index, id=new_id, code_interpreter=code)


def _search(index: int, after: FileSearchToolCall, _: object) -> Any:
    return FileSearchToolCallDelta(index=index, id=after.id, file_search=after.file_search)


def _logs(index: int, after: CodeOutputLogs, before: CodeOutputLogs) -> Any:
    return CodeInterpreterLogs(index=index, logs=_grown(after.logs, before.logs))


def _image(index: int, after: CodeOutputImage, _: object) -> Any:
    image = CodeOutputImageFileDelta(file_id=after.image.file_id)
    return CodeInterpreterOutputImage(index=index, image=image)


def _text(index: int, after: TextContentBlock, before: TextContentBlock) -> Any:
    text = TextDelta(
        value=_grown(after.text.value, before.text.value),
        annotations=_pieces(after.text.annotations, before.text.annotations),
    )
    return TextDeltaBlock(index=index, text=text)


def _refusal(index: int, after: RefusalContentBlock, before: RefusalContentBlock) -> Any:
    return RefusalDeltaBlock(index=index, refusal=_grown(after.refusal, before.refusal))


def _image_file(index: int, after: ImageFileContentBlock, _: object) -> Any:
    return ImageFileDeltaBlock(index=index, image_file=after.image_file)


def _image_url(index: int, after: ImageURLContentBlock, _: object) -> Any:
    return ImageURLDeltaBlock(index=index, image_url=after.image_url)


def _citation(index: int, after: FileCitationAnnotation, _: object) -> Any:
    return FileCitationDeltaAnnotation(
        index=index,
        text=after.text,
        file_citation=FileCitationDelta(file_id=after.file_citation.file_id),
        start_index=after.start_index,
        end_index=after.end_index,
    )


def _path(index: int, after: FilePathAnnotation, _: object) -> Any:
    return FilePathDeltaAnnotation(
        index=index,
        text=after.text,
        file_path=after.file_path,
        start_index=after.start_index,
        end_index=after.end_index,
    )


def _unknown(kind: type[Unknown]) -> Callable[[int, Any, object], Any]:
    def change(index: int, after: Unknown, _: object) -> Unknown:
        raw = json.encode({**after.value, "index": index})
        return kind(unknown_type=after.type, id=after.id, index=index, raw=raw)

    return change


_PIECES: dict[type, Callable[[int, Any, Any], Any]] = {
    FunctionToolCall: _function,
    CodeInterpreterToolCall: _code,
    FileSearchToolCall: _search,
    UnknownToolCall: _unknown(UnknownToolCallDelta),
    CodeOutputLogs: _logs,
    CodeOutputImage: _image,
    UnknownCodeOutput: _unknown(UnknownCodeOutputDelta),
    TextContentBlock: _text,
    RefusalContentBlock: _refusal,
    ImageFileContentBlock: _image_file,
    ImageURLContentBlock: _image_url,
    UnknownContentBlock: _unknown(UnknownContentDelta),
    FileCitationAnnotation: _citation,
    FilePathAnnotation: _path,
    UnknownAnnotation: _unknown(UnknownAnnotationDelta),
}

_LEADS: dict[type, tuple[frozenset[str], Callable[[Any, Any], list[Event]]]] = {
    Run: (ENDED_RUN, _lead_run),
    RunStep: (ENDED_STEP, _lead_step),
    Message: (ENDED_MESSAGE, _lead_message),
}
