"""Events to hooks: a class to subclass, for programs that react rather than iterate."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeAlias, TypeVar, get_args

from asyncruns.events import (
    ErrorEvent,
    Event,
    MessageEvent,
    RunEvent,
    RunStepEvent,
    ThreadMessageDelta,
    ThreadRunStepDelta,
)
from asyncruns.models import (
    ENDED_MESSAGE,
    ENDED_RUN,
    ENDED_STEP,
    ImageFileContentBlock,
    TextContentBlock,
    TextDeltaBlock,
    ToolCallsStepDetails,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Container, Iterable, Iterator

    from asyncruns.accumulator import Accumulator
    from asyncruns.models import (
        ErrorObject,
        ImageFile,
        Message,
        MessageContentDelta,
        MessageDelta,
        RequiredAction,
        Run,
        RunStep,
        RunStepDelta,
        Text,
        TextDelta,
        ToolCall,
        ToolCallDelta,
    )
    from asyncruns.parts import Part

__all__ = ["RunHandler"]


class RunHandler:
    """The hooks of a run: override those you need, as plain or as async methods.

    A hook is called after its event was folded and before the event is yielded. It gets the delta,
    where there is one, and the snapshot, which is built for it: hooks that are not overridden cost
    nothing, and where none is overridden that is due at deltas, `until_done()` leaves the deltas
    undecoded. An exception in a hook reaches the caller as it is.

    Each object and each of its parts is created once and done once, in this order and over all
    tool rounds, and every delta between them is told as the server sent it. Only a delta that the
    server sends after the end comes after it here, too. A handler keeps no state of a stream, so
    that one may serve many streams at once.
    """

    def on_event(self, event: Event) -> Awaitable[None] | None:
        """Any event of the stream, before the hooks for what is in it."""

    def on_run_created(self, run: Run) -> Awaitable[None] | None:
        """The run has been seen for the first time."""

    def on_run_updated(self, run: Run) -> Awaitable[None] | None:
        """The run's status has changed, and it has not ended: queued, in_progress, and the like."""

    def on_run_done(self, run: Run) -> Awaitable[None] | None:
        """The run has ended; its status says how."""

    def on_requires_action(self, run: Run) -> Awaitable[None] | None:
        """The run waits for its required action; called for each pause, after on_run_updated."""

    def on_step_created(self, step: RunStep) -> Awaitable[None] | None:
        """A step has been seen for the first time."""

    def on_step_delta(self, delta: RunStepDelta, step: RunStep) -> Awaitable[None] | None:
        """A step has changed."""

    def on_step_done(self, step: RunStep) -> Awaitable[None] | None:
        """A step has ended, as its status says, or the run has and left the step as it was."""

    def on_tool_call_created(self, call: ToolCall) -> Awaitable[None] | None:
        """A tool call has been seen for the first time; its first delta, if any, follows."""

    def on_tool_call_delta(self, delta: ToolCallDelta, call: ToolCall) -> Awaitable[None] | None:
        """A tool call has changed; its first delta counts."""

    def on_tool_call_done(self, call: ToolCall) -> Awaitable[None] | None:
        """The step of a tool call has ended; the call is complete, its output included."""

    def on_message_created(self, message: Message) -> Awaitable[None] | None:
        """A message has been seen for the first time."""

    def on_message_delta(self, delta: MessageDelta, message: Message) -> Awaitable[None] | None:
        """A message has changed."""

    def on_message_done(self, message: Message) -> Awaitable[None] | None:
        """A message has ended, as its status says, or the run has and left it as it was."""

    def on_text_created(self, text: Text) -> Awaitable[None] | None:
        """A part of a message that is text has been seen for the first time."""

    def on_text_delta(self, delta: TextDelta, text: Text) -> Awaitable[None] | None:
        """A text has grown; its first delta counts."""

    def on_text_done(self, text: Text) -> Awaitable[None] | None:
        """The message of a text has ended; the text is complete."""

    def on_image_file_done(self, image_file: ImageFile) -> Awaitable[None] | None:
        """The message of an image has ended."""

    def on_error(self, error: ErrorObject) -> Awaitable[None] | None:
        """The server has reported an error in the stream."""

    def on_end(self) -> Awaitable[None] | None:
        """The iteration is over; no hook follows, unless outputs are submitted after it."""


_HOOKS: Final = [name for name in vars(RunHandler) if name.startswith("on_")]

Due: TypeAlias = tuple[Any, ...]
"""A hook that is due: its name, what builds its snapshot, and the deltas that it gets, too."""


class Dispatch:
    """Calls the hooks of one handler for one stream, each as often as it has to be.

    `accumulator` must have folded an event before it is dispatched.
    """

    __slots__ = ("_hooks", "_leads", "hooked", "takes_deltas")

    def __init__(self, handler: RunHandler, accumulator: Accumulator) -> None:
        self._hooks = {
            name: hook
            for name in _HOOKS
            if getattr(hook := getattr(handler, name), "__func__", None)
            is not vars(RunHandler)[name]
        }
        steps = _Steps(accumulator, tells_ends=bool(_ENDS & _STEP_HOOKS & self._hooks.keys()))
        messages = _Messages(
            accumulator, tells_ends=bool(_ENDS & _MESSAGE_HOOKS & self._hooks.keys())
        )
        run = _Run(accumulator, (messages, steps))
        self._leads: dict[Any, Callable[[Any], Iterable[Due]]] = {
            kind: lead
            for kinds, names, lead in (
                (get_args(RunEvent), _RUN_HOOKS, run.take),
                (get_args(RunStepEvent), _STEP_HOOKS, steps.take),
                ((ThreadRunStepDelta,), _AT_DELTAS & _STEP_HOOKS, steps.change),
                (get_args(MessageEvent), _MESSAGE_HOOKS, messages.take),
                ((ThreadMessageDelta,), _AT_DELTAS & _MESSAGE_HOOKS, messages.change),
                ((ErrorEvent,), {"on_error"}, _report),
            )
            if names & self._hooks.keys()
            for kind in kinds
        }
        hears_all = "on_event" in self._hooks
        self.takes_deltas = hears_all or bool(_AT_DELTAS & self._hooks.keys())
        """Whether a hook is due at deltas; if not, they need not even be decoded."""
        self.hooked: Container[Any] = get_args(Event) if hears_all else self._leads
        """The events at which a hook is due: the others need no dispatch."""

    async def __call__(self, event: Event) -> None:
        """Call the hooks that are due for an event, in their order."""
        hear = self._hooks.get("on_event")
        if hear is not None:
            await _done(hear(event))
        lead = self._leads.get(event.__class__)
        if lead is not None:
            for name, build, *deltas in lead(event.data):
                hook = self._hooks.get(name)
                if hook is not None:
                    await _done(hook(*deltas, build()))

    async def end(self) -> None:
        """Call the hook for the end of the stream."""
        hook = self._hooks.get("on_end")
        if hook is not None:
            await _done(hook())


async def _done(result: Awaitable[None] | None) -> None:
    """Let an async hook finish."""
    if inspect.isawaitable(result):
        await result


def _named(*beginnings: str) -> frozenset[str]:
    return frozenset(name for name in _HOOKS if name.startswith(beginnings))


_STEP_HOOKS: Final = _named("on_step_", "on_tool_call_")
_MESSAGE_HOOKS: Final = _named("on_message_", "on_text_", "on_image_")
_ENDS: Final = frozenset(name for name in _STEP_HOOKS | _MESSAGE_HOOKS if name.endswith("_done"))
_RUN_HOOKS: Final = _named("on_run_", "on_requires_action") | _ENDS
"""Due at an event of the run, whose end is that of whatever is still open."""
_AT_DELTAS: Final = (_STEP_HOOKS | _MESSAGE_HOOKS) - _ENDS
"""Due at a delta, too: it may be the first that is seen of its object."""


def _report(error: ErrorObject) -> Iterable[Due]:
    return [("on_error", lambda: error)]


class _Told:
    """Which parts of an object a handler has been told of: by index, and by id if they have one."""

    __slots__ = ("_ids",)

    def __init__(self) -> None:
        self._ids: dict[int, str] = {}

    def is_new(self, index: int, part_id: str | None) -> bool:
        """Take note of the part that a delta went to."""
        is_new = index not in self._ids
        if is_new or part_id:
            self._ids[index] = part_id or ""
        return is_new

    def untold(self, parts: dict[int, Any]) -> list[Any]:
        """Take note of the parts that came whole, by their places, and give the new ones.

        The whole object numbers its parts anew. They are known by their ids; of the others, as
        many are known as have been told of without an id.
        """
        ids = set(self._ids.values())
        nameless = sum(not part_id for part_id in self._ids.values())
        new: list[Any] = []
        for part in parts.values():
            if not (part_id := _id(part)) or part_id not in ids:
                nameless -= 1
                if nameless < 0:
                    new.append(part)
        self._ids = {place: _id(part) for place, part in parts.items()}
        return new


def _id(part: Any) -> str:
    return getattr(part, "id", None) or ""


class _Objects(ABC):
    """What a handler has been told of the objects of one kind.

    A hook's snapshot is given as what builds it, so that only a hook that is there costs it.
    """

    __slots__ = ("_accumulator", "_done", "_tells_ends", "_told")

    ended: ClassVar[frozenset[str]]
    created: ClassVar[str]
    delta: ClassVar[str]
    done: ClassVar[str]

    def __init__(self, accumulator: Accumulator, *, tells_ends: bool) -> None:
        self._accumulator = accumulator
        self._tells_ends = tells_ends
        self._told: dict[str, _Told] = {}
        self._done: set[str] = set()

    def take(self, whole: Any) -> Iterator[Due]:
        """The hooks due for a whole object."""
        if whole.id in self._done:
            return
        yield from self._open(whole.id)
        if parts := self._parts(whole):
            yield from self._create(self._told[whole.id].untold(parts))
        if whole.status in self.ended:
            yield from self._end(whole.id)

    def change(self, event: Any) -> Iterator[Due]:
        """The hooks due for a delta."""
        yield from self._open(event.id)
        yield self.delta, partial(self._snapshot, event.id), event.delta
        told, is_late = self._told[event.id], event.id in self._done
        for piece, index, part in self._accumulator.changed_parts(event):
            yield from self._change(piece, part, told, index, is_late=is_late)

    def close(self) -> Iterator[Due]:
        """The hooks due at the run's end, for objects whose own end never came."""
        if self._tells_ends:
            for whole in self._snapshots():
                if whole.id not in self._done:
                    yield from self._open(whole.id)
                    yield from self._end(whole.id)

    def _open(self, object_id: str) -> Iterator[Due]:
        if object_id not in self._told:
            self._told[object_id] = _Told()
            yield self.created, partial(self._snapshot, object_id)

    def _end(self, object_id: str) -> Iterator[Due]:
        self._done.add(object_id)
        if self._tells_ends:
            snapshot = self._snapshot(object_id)
            yield from self._finish(snapshot)
            yield self.done, partial(_same, snapshot)

    @abstractmethod
    def _snapshot(self, object_id: str) -> Any:
        """The object as it is now."""

    @abstractmethod
    def _snapshots(self) -> Iterable[Any]:
        """All objects as they are now."""

    @abstractmethod
    def _parts(self, whole: Any) -> dict[int, Any]:
        """The parts of a whole object that have hooks of their own, by their places."""

    @abstractmethod
    def _create(self, parts: Iterable[Any]) -> Iterator[Due]:
        """The hooks due for parts that came whole."""

    @abstractmethod
    def _change(
        self, piece: Any, part: Part, told: _Told, index: int, *, is_late: bool
    ) -> Iterator[Due]:
        """The hooks due for a delta's piece; after the object's end, it is late."""

    @abstractmethod
    def _finish(self, snapshot: Any) -> Iterator[Due]:
        """The hooks due for the parts of an object that has ended."""


class _Steps(_Objects):
    __slots__ = ()

    ended = ENDED_STEP
    created, delta, done = "on_step_created", "on_step_delta", "on_step_done"

    def _snapshot(self, object_id: str) -> Any:
        return self._accumulator.step(object_id)

    def _snapshots(self) -> Iterable[Any]:
        return self._accumulator.steps

    def _parts(self, whole: RunStep) -> dict[int, Any]:
        details = whole.step_details
        return dict(
            enumerate(details.tool_calls if isinstance(details, ToolCallsStepDetails) else ())
        )

    def _create(self, parts: Iterable[ToolCall]) -> Iterator[Due]:
        for call in parts:
            yield "on_tool_call_created", partial(_same, call)

    def _change(
        self, piece: ToolCallDelta, part: Part, told: _Told, index: int, *, is_late: bool
    ) -> Iterator[Due]:
        is_new = told.is_new(index, piece.id)
        if is_new:
            yield "on_tool_call_created", part.build
        yield "on_tool_call_delta", part.build, piece
        if is_new and is_late:
            yield "on_tool_call_done", part.build

    def _finish(self, snapshot: RunStep) -> Iterator[Due]:
        for call in self._parts(snapshot).values():
            yield "on_tool_call_done", partial(_same, call)


class _Messages(_Objects):
    __slots__ = ()

    ended = ENDED_MESSAGE
    created, delta, done = "on_message_created", "on_message_delta", "on_message_done"

    def _snapshot(self, object_id: str) -> Any:
        return self._accumulator.message(object_id)

    def _snapshots(self) -> Iterable[Any]:
        return self._accumulator.messages

    def _parts(self, whole: Message) -> dict[int, Any]:
        blocks = enumerate(whole.content)
        return {place: block for place, block in blocks if isinstance(block, TextContentBlock)}

    def _create(self, parts: Iterable[TextContentBlock]) -> Iterator[Due]:
        for block in parts:
            yield "on_text_created", partial(_same, block.text)

    def _change(
        self, piece: MessageContentDelta, part: Part, told: _Told, index: int, *, is_late: bool
    ) -> Iterator[Due]:
        if not isinstance(piece, TextDeltaBlock):
            return
        is_new = told.is_new(index, None)
        if is_new:
            yield "on_text_created", partial(_text_of, part)
        if piece.text is not None:
            yield "on_text_delta", partial(_text_of, part), piece.text
        if is_new and is_late:
            yield "on_text_done", partial(_text_of, part)

    def _finish(self, snapshot: Message) -> Iterator[Due]:
        for block in snapshot.content:
            if isinstance(block, TextContentBlock):
                yield "on_text_done", partial(_same, block.text)
            elif isinstance(block, ImageFileContentBlock):
                yield "on_image_file_done", partial(_same, block.image_file)


class _Run:
    """What a handler has been told of the run, whose end is that of its steps and messages."""

    __slots__ = ("_accumulator", "_action", "_objects", "_status")

    def __init__(self, accumulator: Accumulator, objects: Iterable[_Objects]) -> None:
        self._accumulator = accumulator
        self._objects = objects
        self._status: str | None = None
        self._action: RequiredAction | None = None

    def take(self, _: Run) -> Iterator[Due]:
        run, before = self._accumulator.run, self._status
        if run is None or before in ENDED_RUN:
            return
        self._status = run.status
        build = partial(_same, run)
        if before is None:
            yield "on_run_created", build
        if run.status in ENDED_RUN:
            for objects in self._objects:
                yield from objects.close()
            yield "on_run_done", build
            return
        if before is not None and run.status != before:
            yield "on_run_updated", build
        # Two pauses may follow each other without any sign of life between them.
        action = run.required_action if run.status == "requires_action" else None
        if run.status == "requires_action" and (run.status != before or action != self._action):
            yield "on_requires_action", build
        self._action = action


SnapshotT = TypeVar("SnapshotT")


def _same(snapshot: SnapshotT) -> SnapshotT:
    return snapshot


def _text_of(part: Part) -> Text:
    text: Text = part.build().text
    return text
