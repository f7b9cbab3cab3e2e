"""Snapshots to events: the way back, for repair, for polling and for late subscribers.

`events_for` gives the events that lead from one snapshot of an object to a later one, so that
folding them gives the later one: a `created` where there was nothing, one delta with what strings
have grown by and with the parts that are new, and the whole object wherever deltas cannot say it
all: at an end, and where a string does not continue what was there.
"""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING, Any, TypeVar, get_args

from msgspec import json
from msgspec.structs import replace

from asyncruns.accumulator import Accumulator, _with_ids, texts_of
from asyncruns.errors import StreamError
from asyncruns.events import (
    Event,
    MessageEvent,
    RunEvent,
    RunStepEvent,
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

__all__ = ["events_for", "whole_events"]

ObjectT = TypeVar("ObjectT", Run, RunStep, Message)


def events_for(after: ObjectT, before: ObjectT | None = None) -> list[Event]:
    """Give the events that lead from `before` (None: from nothing) to `after`.

    The events are marked `recovered`. There are none where nothing has changed, or where the fold
    rules let nothing change: none that would lead an ended object back to life, or take from an
    object what it has in it. Costs what reading both objects costs.
    """
    ended, lead = _LEADS[type(after)]
    if before is not None:
        after = _with_ids(after, {name: getattr(before, name) or "" for name in _parents(after)})
        if after == before or (before.status in ended and after.status not in ended):
            return []
    return lead(after, before)


def whole_events(after: ObjectT) -> list[Event]:
    """Give the events that make an object what it is, whatever was known of it before.

    They say it whole, so that they help a reader who has half of it, too: where `events_for` has a
    delta, this has the object with everything in it. Marked `recovered` as there.
    """
    created: list[Event] = events_for(after)[:1]
    names, alive = _WHOLES[type(after)]
    return [*created, _made(names.get(after.status, alive), after)]


def _parents(whole: Run | RunStep | Message) -> list[str]:
    """The fields that have the ids of parents, which some servers leave out."""
    names = ("thread_id", "run_id", "assistant_id")
    return [name for name in names if name in whole.__struct_fields__]


def _lead_run(after: Run, before: Run | None) -> list[Event]:
    change = _made(_RUN_EVENTS.get(after.status, ThreadRunInProgress), after)
    if before is not None:
        return [change]
    return [_made(ThreadRunCreated, _reopened(after, "queued")), change]


def _lead_step(after: RunStep, before: RunStep | None) -> list[Event]:
    created: list[Event] = []
    if before is None:
        before = replace(_reopened(after), step_details=_bare(after.step_details))
        created = [_made(ThreadRunStepCreated, before)]
    deltas: list[Event] = []
    details = _details_delta(after.step_details, before.step_details)
    if details is not None:
        change = RunStepDeltaEvent(id=after.id, delta=RunStepDelta(step_details=details))
        deltas = [_made(ThreadRunStepDelta, change)]
    whole = _made(_STEP_EVENTS.get(after.status, ThreadRunStepInProgress), after)
    return created + _way(_made(ThreadRunStepInProgress, before), deltas, whole)


def _lead_message(after: Message, before: Message | None) -> list[Event]:
    created: list[Event] = []
    if before is None:
        before = replace(_reopened(after), content=[])
        created = [_made(ThreadMessageCreated, before)]
    deltas: list[Event] = []
    if pieces := _pieces(after.content, before.content):
        change = MessageDeltaEvent(id=after.id, delta=MessageDelta(content=pieces))
        deltas = [_made(ThreadMessageDelta, change)]
    kind = _MESSAGE_EVENTS.get(after.status, ThreadMessageInProgress)
    whole = _made(kind, after, replaced=has_other_text(after, texts_of(before)))
    return created + _way(_made(ThreadMessageInProgress, before), deltas, whole)


def _way(start: Event, deltas: list[Event], whole: Event) -> list[Event]:
    """The events that lead on from `start` to what `whole` says, as far as the fold rules let them.

    The deltas alone where they say it all; with the whole object where they do not; that alone
    where they are beyond a bound.
    """
    if not whole.replaced and _reached(start, *deltas) == whole.data:
        return deltas
    for way in ([*deltas, whole], [whole]):
        if _reached(start, *way) not in (None, start.data):
            return way
    return []


def _reached(*events: Event) -> RunStep | Message | None:
    """What the events make; None where they cannot be folded."""
    accumulator = Accumulator()
    try:
        for event in events:
            accumulator.apply(event)
    except StreamError:
        return None
    made: list[RunStep | Message] = [*accumulator.steps, *accumulator.messages]
    return made[0]


def has_other_text(after: Message, said: list[str]) -> bool:
    """Whether what the parts of a message have said does not go on in its texts."""
    says = texts_of(after)
    if not says or says == said:
        return False
    return not all(new.startswith(old) for new, old in zip_longest(says, said, fillvalue=""))


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
            if isinstance(part, Unknown):
                if type(known) is kind:
                    continue  # what of it is new cannot be told: the whole object says it
            elif type(known) is not kind:
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

_RUN_EVENTS: dict[str, Any] = {kind.event.rpartition(".")[2]: kind for kind in get_args(RunEvent)}
_STEP_EVENTS: dict[str, Any] = {
    kind.event.rpartition(".")[2]: kind for kind in get_args(RunStepEvent)
}
_MESSAGE_EVENTS: dict[str, Any] = {
    kind.event.rpartition(".")[2]: kind for kind in get_args(MessageEvent)
}

_LEADS: dict[type, tuple[frozenset[str], Callable[[Any, Any], list[Event]]]] = {
    Run: (ENDED_RUN, _lead_run),
    RunStep: (ENDED_STEP, _lead_step),
    Message: (ENDED_MESSAGE, _lead_message),
}

_WHOLES: dict[type, tuple[dict[str, Any], Any]] = {
    Run: (_RUN_EVENTS, ThreadRunInProgress),
    RunStep: (_STEP_EVENTS, ThreadRunStepInProgress),
    Message: (_MESSAGE_EVENTS, ThreadMessageInProgress),
}
