"""Frames to events: the names of the protocol, each with its type.

An event's name is the frame's `event` field; a frame without one may carry the envelope
`{"event": name, "data": {…}}` instead. Every name of the protocol has a class here, whose `data` is
the typed object. Any other name gives an `UnknownEvent`; it is never an error.

The ordinary frame, one `event: name` line and one `data: {…}` line, is recognised by its first line
as it stands and decoded in one step. Everything else takes the slow path, which reads the frame by
the rules of `sse` and the object by the lenient decode.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, TypeAlias, TypeVar, get_args

import msgspec

from asyncruns.errors import SNIPPET, StreamError
from asyncruns.models import (
    DECODE_FAILURES,
    ErrorObject,
    Message,
    MessageDeltaEvent,
    ObjectDecoder,
    Run,
    RunStep,
    RunStepDeltaEvent,
    Thread,
    decode_json,
    remember,
)
from asyncruns.sse import MAX_FRAME, BlockSplitter, parse_block

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = [
    "EVENTS",
    "DoneEvent",
    "ErrorEvent",
    "Event",
    "EventDecoder",
    "MessageEvent",
    "RunEvent",
    "RunStepEvent",
    "ThreadCreated",
    "ThreadMessageCompleted",
    "ThreadMessageCreated",
    "ThreadMessageDelta",
    "ThreadMessageInProgress",
    "ThreadMessageIncomplete",
    "ThreadRunCancelled",
    "ThreadRunCancelling",
    "ThreadRunCompleted",
    "ThreadRunCreated",
    "ThreadRunExpired",
    "ThreadRunFailed",
    "ThreadRunInProgress",
    "ThreadRunIncomplete",
    "ThreadRunQueued",
    "ThreadRunRequiresAction",
    "ThreadRunStepCancelled",
    "ThreadRunStepCompleted",
    "ThreadRunStepCreated",
    "ThreadRunStepDelta",
    "ThreadRunStepExpired",
    "ThreadRunStepFailed",
    "ThreadRunStepInProgress",
    "UnknownEvent",
    "decode_block",
]


class _Event(msgspec.Struct, gc=False):
    data: Any
    """The decoded object."""
    raw: bytes
    """The object's JSON."""
    recovered: bool = False
    """Whether the library made the event up, from what a look at the run has shown."""
    replaced: bool = False
    """Whether a text in the object does not continue what its deltas have given so far."""


class ThreadCreated(_Event):
    """The thread that `create_and_run` makes."""

    event: ClassVar[Literal["thread.created"]] = "thread.created"
    data: Thread


class _RunEvent(_Event):
    data: Run


class ThreadRunCreated(_RunEvent):
    """The run exists."""

    event: ClassVar[Literal["thread.run.created"]] = "thread.run.created"


class ThreadRunQueued(_RunEvent):
    """The run waits to be started, or to go on after its tool outputs came."""

    event: ClassVar[Literal["thread.run.queued"]] = "thread.run.queued"


class ThreadRunInProgress(_RunEvent):
    """The run is being worked on."""

    event: ClassVar[Literal["thread.run.in_progress"]] = "thread.run.in_progress"


class ThreadRunRequiresAction(_RunEvent):
    """The run waits for what its `required_action` says."""

    event: ClassVar[Literal["thread.run.requires_action"]] = "thread.run.requires_action"


class ThreadRunCompleted(_RunEvent):
    """The run is over; its `status` says how."""

    event: ClassVar[Literal["thread.run.completed"]] = "thread.run.completed"


class ThreadRunIncomplete(_RunEvent):
    """The run has reached a limit; its `incomplete_details` say which."""

    event: ClassVar[Literal["thread.run.incomplete"]] = "thread.run.incomplete"


class ThreadRunFailed(_RunEvent):
    """The run has failed; its `last_error` says why."""

    event: ClassVar[Literal["thread.run.failed"]] = "thread.run.failed"


class ThreadRunCancelling(_RunEvent):
    """The run is being cancelled."""

    event: ClassVar[Literal["thread.run.cancelling"]] = "thread.run.cancelling"


class ThreadRunCancelled(_RunEvent):
    """The run is cancelled."""

    event: ClassVar[Literal["thread.run.cancelled"]] = "thread.run.cancelled"


class ThreadRunExpired(_RunEvent):
    """The run has expired."""

    event: ClassVar[Literal["thread.run.expired"]] = "thread.run.expired"


class _RunStepEvent(_Event):
    data: RunStep


class ThreadRunStepCreated(_RunStepEvent):
    """The step exists."""

    event: ClassVar[Literal["thread.run.step.created"]] = "thread.run.step.created"


class ThreadRunStepInProgress(_RunStepEvent):
    """The step is being worked on."""

    event: ClassVar[Literal["thread.run.step.in_progress"]] = "thread.run.step.in_progress"


class ThreadRunStepDelta(_Event):
    """A piece of the step's details."""

    event: ClassVar[Literal["thread.run.step.delta"]] = "thread.run.step.delta"
    data: RunStepDeltaEvent


class ThreadRunStepCompleted(_RunStepEvent):
    """The step is completed."""

    event: ClassVar[Literal["thread.run.step.completed"]] = "thread.run.step.completed"


class ThreadRunStepFailed(_RunStepEvent):
    """The step has failed."""

    event: ClassVar[Literal["thread.run.step.failed"]] = "thread.run.step.failed"


class ThreadRunStepCancelled(_RunStepEvent):
    """The step is cancelled."""

    event: ClassVar[Literal["thread.run.step.cancelled"]] = "thread.run.step.cancelled"


class ThreadRunStepExpired(_RunStepEvent):
    """The step has expired."""

    event: ClassVar[Literal["thread.run.step.expired"]] = "thread.run.step.expired"


class _MessageEvent(_Event):
    data: Message


class ThreadMessageCreated(_MessageEvent):
    """The message exists."""

    event: ClassVar[Literal["thread.message.created"]] = "thread.message.created"


class ThreadMessageInProgress(_MessageEvent):
    """The message is being written."""

    event: ClassVar[Literal["thread.message.in_progress"]] = "thread.message.in_progress"


class ThreadMessageDelta(_Event):
    """A piece of the message."""

    event: ClassVar[Literal["thread.message.delta"]] = "thread.message.delta"
    data: MessageDeltaEvent


class ThreadMessageCompleted(_MessageEvent):
    """The message is complete."""

    event: ClassVar[Literal["thread.message.completed"]] = "thread.message.completed"


class ThreadMessageIncomplete(_MessageEvent):
    """The message was given up."""

    event: ClassVar[Literal["thread.message.incomplete"]] = "thread.message.incomplete"


class ErrorEvent(_Event):
    """The server reports an error; whether the run goes on is not said."""

    event: ClassVar[Literal["error"]] = "error"
    data: ErrorObject


class DoneEvent(_Event):
    """The stream is over: at the run's end, or where it requires an action."""

    event: ClassVar[Literal["done"]] = "done"
    data: None


class UnknownEvent(_Event, kw_only=True):
    """An event whose name the protocol does not have; `data` is its JSON, or its text."""

    event: str


RunEvent: TypeAlias = (
    ThreadRunCreated
    | ThreadRunQueued
    | ThreadRunInProgress
    | ThreadRunRequiresAction
    | ThreadRunCompleted
    | ThreadRunIncomplete
    | ThreadRunFailed
    | ThreadRunCancelling
    | ThreadRunCancelled
    | ThreadRunExpired
)
"""The events whose `data` is a Run."""

RunStepEvent: TypeAlias = (
    ThreadRunStepCreated
    | ThreadRunStepInProgress
    | ThreadRunStepCompleted
    | ThreadRunStepFailed
    | ThreadRunStepCancelled
    | ThreadRunStepExpired
)
"""The events whose `data` is a RunStep."""

MessageEvent: TypeAlias = (
    ThreadMessageCreated
    | ThreadMessageInProgress
    | ThreadMessageCompleted
    | ThreadMessageIncomplete
)
"""The events whose `data` is a Message."""

Event: TypeAlias = (
    ThreadCreated
    | RunEvent
    | RunStepEvent
    | ThreadRunStepDelta
    | MessageEvent
    | ThreadMessageDelta
    | ErrorEvent
    | DoneEvent
    | UnknownEvent
)
"""Any event of a stream; `event.event` and `isinstance` tell which."""

_DONE: Final = b"[DONE]"
_UNNAMED: Final = "message"  # the name that the specification gives to a frame without one


class EventDecoder:
    """Bytes to events, for people with a transport of their own. It does no I/O.

    ::

        decoder = EventDecoder()
        for chunk in chunks:
            for event in decoder.feed(chunk):
                ...
        for event in decoder.close():
            ...

    `limit` bounds one frame, in bytes.
    """

    __slots__ = ("_blocks", "leftover")

    def __init__(self, *, limit: int = MAX_FRAME) -> None:
        self._blocks = BlockSplitter(limit=limit)
        self.leftover: bytes = b""
        """After `close`: the bytes at the end that made no event; empty where there are none."""

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """Take bytes as read and give the events that they complete.

        Each event is decoded when the iteration comes to it; an iterator that is not used up
        loses its events. Raises LimitExceededError for a frame over the limit at the call, and
        StreamError at the event whose data cannot be read; the iterator goes on behind it.
        """
        return filter(None, map(decode_block, self._blocks.feed(chunk)))

    def close(self) -> Iterator[Event]:
        """Take the end of the stream, and give the event of a frame that it has cut off.

        Such a frame counts only if its data is whole; otherwise its bytes are in `leftover`.
        """
        rest = self._blocks.close()
        try:
            event = decode_block(rest)
        except StreamError:
            event = None
        if event is None or (isinstance(event, UnknownEvent) and not is_json(event.raw)):
            self.leftover = rest
            return iter(())
        self.leftover = b""
        return iter((event,))


def decode_block(block: bytes) -> Event | None:
    """Decode the event of a block (see `sse`); None where there is nothing to dispatch.

    Raises StreamError, naming the event and showing the beginning of its data, where that is not
    JSON, or not the object that the name promises.
    """
    head, _, data = block.partition(b"\ndata: ")
    reader = ORDINARY[head]
    if reader is not None:
        kind, strict, _ = reader
        try:
            return kind(strict(data), data)
        except _FAILURES:
            return _decode_odd_block(block)
    return _decode_odd_block(block)


def _decode_odd_block(block: bytes) -> Event | None:
    """Decode by the rules of the specification and the lenient decode."""
    frame = parse_block(block)
    if frame is None:
        return None
    name, data = frame.event or _UNNAMED, frame.data
    if name == _UNNAMED:
        if not data:
            return None  # only keeps the connection alive
        name, data = _opened(data)
    reader = _READERS[name]
    if reader is None:
        return UnknownEvent(_json_or_text(data), data, event=name)
    kind, _, lenient = reader
    try:
        return kind(lenient(data), data)
    except ValueError as exc:
        start = data[:SNIPPET].decode("utf-8", "replace")
        message = f"the data of a {name} event cannot be read: {exc}; it begins {start!r}"
        raise StreamError(message, event=name) from exc


class _Envelope(msgspec.Struct):
    event: str
    data: msgspec.Raw


def _opened(data: bytes) -> tuple[str, bytes]:
    """The name and the data of a frame without a name."""
    if data == _DONE:
        return DoneEvent.event, data
    try:
        envelope = _decode_envelope()(data)
    except ValueError:
        return _UNNAMED, data
    return envelope.event, bytes(envelope.data)


def is_json(data: bytes) -> bool:
    try:
        decode_json(data)
    except ValueError:
        return False
    return True


def _json_or_text(data: bytes) -> Any:
    try:
        return decode_json(data)
    except ValueError:
        return data.decode("utf-8", "replace")


def _error_object(raw: bytes) -> ErrorObject:
    """Read both forms of an error: wrapped in `{"error": …}`, and bare."""
    error = decode_json(raw)
    if not isinstance(error, dict):
        raise ValueError(f"Expected `object`, got `{type(error).__name__}`")  # noqa: TRY004 -- as every decode
    error = error.get("error") or error
    if not isinstance(error, dict):
        return ErrorObject(message=str(error))
    texts = {name: error.get(name) for name in ErrorObject.__struct_fields__}
    return ErrorObject(
        **{name: None if text is None else str(text) for name, text in texts.items()}
    )


def _done(raw: bytes) -> None:
    if raw != _DONE:
        raise ValueError("any data will do, but then the frame must be read as a whole")


def _nothing(_: bytes) -> None:
    return None


_Decode: TypeAlias = "Callable[[bytes], Any]"
_Reader: TypeAlias = "tuple[Callable[..., Event], _Decode, _Decode]"
# the class, the typed decode, the lenient one

KeyT = TypeVar("KeyT")
ValueT = TypeVar("ValueT")


class OnDemand(dict[KeyT, "ValueT | None"]):
    """A dict that makes its values when they are first asked for; a None is not kept.

    All decoders together take longer to make than everything else that is imported here.
    """

    def __init__(self, make: Callable[[KeyT], ValueT | None]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, key: KeyT) -> ValueT | None:
        value = self._make(key)
        if value is not None:
            self[key] = value
        return value


def _reader_of(name: str) -> _Reader | None:
    """How to read the data of an event; None for a name that the protocol does not have."""
    kind = EVENTS.get(name)
    if kind is None:
        return None
    if kind is ErrorEvent:
        return kind, _error_object, _error_object
    if kind is DoneEvent:
        return kind, _done, _nothing
    objects = _decoder_of(_OBJECTS[kind])
    if kind in _DELTAS:
        return kind, objects.strict, objects.lenient
    return kind, _with_raw(objects.strict), _with_raw(objects.lenient)


def _with_raw(decode: _Decode) -> _Decode:
    """A decode whose objects remember their JSON."""

    def decode_with_raw(raw: bytes) -> Any:
        return remember(decode(raw), raw)

    return decode_with_raw


def _ordinary_reader_of(head: bytes) -> _Reader | None:
    name = _NAMES.get(head)
    return None if name is None else _READERS[name]


_decoder_of: Final = cache(ObjectDecoder[Any])
_decode_envelope: Final = cache(lambda: ObjectDecoder[_Envelope](_Envelope))
_FAILURES: Final = (*DECODE_FAILURES, ValueError)
_DELTAS: Final = (ThreadRunStepDelta, ThreadMessageDelta)

_OBJECTS: Final[dict[Any, Any]] = {
    ThreadCreated: Thread,
    **dict.fromkeys(get_args(RunEvent), Run),
    **dict.fromkeys(get_args(RunStepEvent), RunStep),
    **dict.fromkeys(get_args(MessageEvent), Message),
    ThreadRunStepDelta: RunStepDeltaEvent,
    ThreadMessageDelta: MessageDeltaEvent,
}
"""What the data of an event is: its class says it, too, but msgspec takes 0.3 ms to read that."""

EVENTS: Final[dict[str, Any]] = {kind.event: kind for kind in (*_OBJECTS, ErrorEvent, DoneEvent)}
"""Every name of the protocol, and its class."""

_READERS: Final = OnDemand(_reader_of)

_NAMES: Final = {b"event: " + name.encode(): name for name in EVENTS}
ORDINARY: Final = OnDemand(_ordinary_reader_of)
"""For the first line of each ordinary frame, how to read the data of its event."""
