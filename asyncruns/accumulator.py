"""Events to snapshots: folds deltas by index into complete objects.

The rules, for every function below:

1.  Everything is keyed by the id of its step or message, never by "the current one": deltas of
    different objects interleave.
2.  Within an object, parts (tool calls, content parts, outputs, annotations) are keyed by `index`.
    Indexes may come in any order and with gaps; the snapshot lists the parts by rising index. A
    part without an index is found by its id, or else by its place in the delta. A negative index,
    or one over `MAX_INDEX`, is an error.
3.  Text `value`, `refusal`, function `arguments`, code `input` and `logs` are concatenated. Of
    everything else the last value that is not null wins.
4.  A delta that gives the id of its call once more, and as arguments or input all that has come so
    far, repeats the call: nothing is added, and outputs that it tells stand for those so far.
5.  An object that is not there yet (its `created` came late, or never) is opened by its delta.
6.  A whole object (created, in_progress, every end) replaces the snapshot. If it has no details (no
    calls, no content) and the snapshot has, the snapshot's details stay.
7.  An end is an end: the same object, still alive, changes nothing later. A delta after the end
    still counts, but a string that the end gave is complete and takes no more pieces.
8.  A part whose type changes starts anew.
9.  Parent ids that a server leaves out are filled in from the run.

A delta may be handed in undecoded, for readers who only want the end: it is folded when a snapshot
is read, and dropped when the end that replaces its object comes first.

Strings are lists of pieces, joined when a snapshot is read, and the joined string replaces the
pieces: folding a delta costs the same however large the object is. A snapshot that was handed out
is never changed; reading one again costs nothing until the object changes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from operator import attrgetter
from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic, TypeVar, get_args

from msgspec.structs import replace

from asyncruns.events import (
    MessageEvent,
    RunEvent,
    RunStepEvent,
    ThreadCreated,
    ThreadMessageDelta,
    ThreadRunStepDelta,
    decode_block,
)
from asyncruns.models import (
    ENDED_MESSAGE,
    ENDED_RUN,
    ENDED_STEP,
    Message,
    MessageCreationStepDetails,
    MessageDelta,
    MessageDeltaEvent,
    Run,
    RunStep,
    RunStepDelta,
    RunStepDeltaEvent,
    RunStepDeltaMessageDelta,
    TextContentBlock,
    Thread,
    ToolCallDeltaObject,
    ToolCallsStepDetails,
    UnknownStepDetailsDelta,
    remember,
)
from asyncruns.parts import CALLS, CONTENT, MessageCreationPart, Part, Parts, UnknownDetailsPart

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import msgspec

    from asyncruns.events import Event
    from asyncruns.models import ToolCall

__all__ = ["Accumulator", "texts_of"]


class Accumulator:
    """Folds the events of a stream into a run, its steps and its messages. It does no I/O.

    Feed it each event once, in the order of the stream, and read the snapshots at any time.
    """

    __slots__ = ("_deferred", "_messages", "_steps", "run", "thread")

    def __init__(self) -> None:
        self.run: Run | None = None
        """The run as the last run event gave it; None before the first."""
        self.thread: Thread | None = None
        """The thread, where the stream created it; None otherwise."""
        self._steps: dict[str, _StepBuilder] = {}
        self._messages: dict[str, _MessageBuilder] = {}
        self._deferred: dict[bytes, list[bytes]] = {}

    @property
    def steps(self) -> list[RunStep]:
        """The run's steps so far, in the order of their appearance."""
        self.fold_deferred()
        return [builder.snapshot() for builder in self._steps.values()]

    @property
    def messages(self) -> list[Message]:
        """The run's messages so far, in the order of their appearance."""
        self.fold_deferred()
        return [builder.snapshot() for builder in self._messages.values()]

    def step(self, step_id: str) -> RunStep | None:
        """One step as it is now; None if nothing of it has come."""
        self.fold_deferred()
        builder = self._steps.get(step_id)
        return None if builder is None else builder.snapshot()

    def message(self, message_id: str) -> Message | None:
        """One message as it is now; None if nothing of it has come."""
        self.fold_deferred()
        builder = self._messages.get(message_id)
        return None if builder is None else builder.snapshot()

    def texts(self, message_id: str) -> list[str]:
        """What each part of a message says so far, empty for what is no text; costs no snapshot."""
        self.fold_deferred()
        builder = self._messages.get(message_id)
        return [] if builder is None else builder.texts()

    @property
    def is_open(self) -> bool:
        """Whether a step or a message has not ended, as far as has been told."""
        builders: list[_StepBuilder | _MessageBuilder]
        builders = [*self._steps.values(), *self._messages.values()]
        return any(builder.base.status not in builder.ended for builder in builders)

    def find_call(self, call_id: str) -> tuple[Part | ToolCall, bool] | None:
        """A tool call, unbuilt where deltas made it, and whether its step has ended.

        None if nothing of the call has come. The other calls of the step are not built either.
        """
        self.fold_deferred()
        for builder in reversed(self._steps.values()):
            call = builder.find(call_id)
            if call is not None:
                return call, builder.base.status in ENDED_STEP
        return None

    def apply(self, event: Event) -> None:
        """Fold one event; the same cost for every delta, however much has been folded before.

        Raises StreamError for a delta that no snapshot can take, and LimitExceededError for an
        index out of bounds; the snapshots stay readable.
        """
        fold = self.folds.get(type(event))
        if fold is not None:
            fold(self, event.data)

    def defer(self, object_id: bytes, block: bytes) -> None:
        """Keep a delta (see `sse` for blocks) for later, without decoding it.

        The first delta of an object that was never created is folded at once: it opens the object.
        Raises what `apply` raises then.
        """
        deferred = self._deferred.get(object_id)
        if deferred is not None:
            deferred.append(block)
            return
        known = object_id.decode("utf-8", "replace")
        if known in self._steps or known in self._messages:
            self._deferred[object_id] = [block]
        else:
            self._apply_block(block)

    def fold_deferred(self) -> None:
        """Fold all deltas that were deferred; raises StreamError for one that cannot be read."""
        while self._deferred:
            self._fold_deferred_of(next(iter(self._deferred)))

    def _fold_deferred_of(self, object_id: bytes) -> None:
        for block in self._deferred.pop(object_id, ()):
            self._apply_block(block)

    def _apply_block(self, block: bytes) -> None:
        event = decode_block(block)
        if event is not None:
            self.apply(event)

    def changed_parts(
        self, change: RunStepDeltaEvent | MessageDeltaEvent
    ) -> Iterator[tuple[Any, int, Part]]:
        """For a folded delta: each piece of it, its index, and the part that it went to."""
        if isinstance(change, MessageDeltaEvent):
            yield from self._messages[change.id].parts.located(change.delta.content or ())
        elif isinstance(change.delta.step_details, ToolCallDeltaObject):
            pieces = change.delta.step_details.tool_calls or ()
            yield from self._steps[change.id].parts.located(pieces)

    def _take_thread(self, thread: Thread) -> None:
        self.thread = thread

    def _take_run(self, run: Run) -> None:
        known = self.run
        if known is not None and known.id == run.id:
            if known.status in ENDED_RUN and run.status not in ENDED_RUN:
                return
            if not (run.thread_id and run.assistant_id):
                parents = {"thread_id": known.thread_id, "assistant_id": known.assistant_id}
                run = _with_ids(run, parents)
        if self.thread is not None:
            run = _with_ids(run, {"thread_id": self.thread.id})
        self.run = run
        if known is None or _IDS(known) != _IDS(run):
            for step in self._steps.values():
                step.adopt(run)
            for message in self._messages.values():
                message.adopt(run)

    def _take_step(self, step: RunStep) -> None:
        builder = self._steps.get(step.id)
        if builder is None:
            builder = self._steps[step.id] = _StepBuilder(step)
        else:
            if self._deferred:
                self._settle(builder, step)
            builder.take(step)
        if self.run is not None:
            builder.adopt(self.run)

    def _take_message(self, message: Message) -> None:
        builder = self._messages.get(message.id)
        if builder is None:
            builder = self._messages[message.id] = _MessageBuilder(message)
        else:
            if self._deferred:
                self._settle(builder, message)
            builder.take(message)
        if self.run is not None:
            builder.adopt(self.run)

    def _settle(self, builder: _StepBuilder | _MessageBuilder, whole: Any) -> None:
        """Drop the deferred deltas of an object that its end replaces; fold them otherwise."""
        object_id = whole.id.encode()
        if builder.is_replaced_by(whole):
            self._deferred.pop(object_id, None)
        else:
            self._fold_deferred_of(object_id)

    def _begin(self, builders: dict[str, BuilderT], builder: BuilderT, delta: Any) -> None:
        """Open an object that was never created with its first delta (rule 5)."""
        builder.apply(delta)
        # Only now: a delta that cannot be folded leaves no empty object behind.
        builders[builder.base.id] = builder
        if self.run is not None:
            builder.adopt(self.run)

    # Nearly every delta is one piece of one part that is there already. In the two below, that case
    # is folded on the spot: it stands for the builder's `apply` and for `Parts.apply`, whose calls
    # cost more than the fold itself.

    def _fold_step(self, change: RunStepDeltaEvent) -> None:
        builder = self._steps.get(change.id)
        if builder is None:
            whole = RunStep(id=change.id, status="in_progress")
            self._begin(self._steps, _StepBuilder(whole), change.delta)
            return
        details: Any = change.delta.step_details
        try:
            [piece] = details.tool_calls
            part = builder.parts.by_index[piece.index]
        except _NOT_ONE_THAT_IS_THERE:
            builder.apply(change.delta)
            return
        if part.piece is type(piece):
            builder.built = None
            part.apply(piece)
        else:
            builder.apply(change.delta)

    def _fold_message(self, change: MessageDeltaEvent) -> None:
        builder = self._messages.get(change.id)
        if builder is None:
            whole = Message(id=change.id, status="in_progress")
            self._begin(self._messages, _MessageBuilder(whole), change.delta)
            return
        delta: Any = change.delta
        try:
            [piece] = delta.content
            part = builder.parts.by_index[piece.index]
        except _NOT_ONE_THAT_IS_THERE:
            builder.apply(delta)
            return
        if part.piece is type(piece) and delta.role is None:
            builder.built = None
            part.apply(piece)
        else:
            builder.apply(delta)

    folds: ClassVar[dict[Any, Callable[[Accumulator, Any], None]]] = {
        ThreadCreated: _take_thread,
        **dict.fromkeys(get_args(RunEvent), _take_run),
        **dict.fromkeys(get_args(RunStepEvent), _take_step),
        **dict.fromkeys(get_args(MessageEvent), _take_message),
        ThreadRunStepDelta: _fold_step,
        ThreadMessageDelta: _fold_message,
    }


_NOT_ONE_THAT_IS_THERE: Final = (AttributeError, KeyError, TypeError, ValueError)
"""What looking for the one part of a delta raises where there is none, or more, or a new one."""

WholeT = TypeVar("WholeT", RunStep, Message)
ObjectT = TypeVar("ObjectT", Run, RunStep, Message)
BuilderT = TypeVar("BuilderT", bound="_Builder[Any]")


def texts_of(message: Message) -> list[str]:
    """What each part of a message says, empty for what is no text."""
    return [part.text.value if type(part) is TextContentBlock else "" for part in message.content]


_IDS: Final = attrgetter("thread_id", "id", "assistant_id")
"""The ids that the objects of a run have from it."""


def _with_ids(whole: ObjectT, ids: dict[str, str]) -> ObjectT:
    """The object with the ids that it lacks; the object itself where it lacks none (rule 9)."""
    missing = {name: id_ for name, id_ in ids.items() if id_ and not getattr(whole, name)}
    if not missing:
        return whole
    return remember(replace(whole, **missing), whole.raw, whole.request_id)


class _Builder(ABC, Generic[WholeT]):
    """One object: as the server last gave it whole, and the parts that deltas made since."""

    __slots__ = ("base", "built", "parts")

    ended: ClassVar[frozenset[str]]
    kinds: ClassVar[dict[type, type[Part]]]

    def __init__(self, whole: WholeT) -> None:
        self.base: WholeT = whole
        self.parts = Parts(self.kinds)
        self.built: WholeT | None = whole

    def take(self, whole: WholeT) -> None:
        """Put a whole object in place of the snapshot (rules 6 and 7)."""
        if self.base.status in self.ended and whole.status not in self.ended:
            return
        if self._has_details(whole) or not (self.parts or self._has_details(self.base)):
            self.base = self.built = whole
            if self.parts.by_index:
                self.parts = Parts(self.kinds)
        else:
            self.seed()
            self.base = self._keeping_details(whole)
            self.built = None

    def is_replaced_by(self, whole: WholeT) -> bool:
        """Whether a whole object leaves nothing of what deltas have made."""
        return whole.status in self.ended and self._has_details(whole)

    def seed(self) -> None:
        """Make parts of the details that came whole, so that deltas go on from there."""
        if listed := self._listed():
            self.parts.seed(listed, complete=self.base.status in self.ended)

    def snapshot(self) -> WholeT:
        if self.built is None:
            self.built = self._build() if self.parts else self.base
        return self.built

    def adopt(self, run: Run) -> None:
        """Fill in the parents' ids that the server left out (rule 9)."""
        base = self.base
        if base.thread_id and base.run_id and base.assistant_id:
            return
        parents = zip(("thread_id", "run_id", "assistant_id"), _IDS(run), strict=True)
        whole = _with_ids(self.base, dict(parents))
        if whole is not self.base:
            self.base = whole
            self.built = None

    @abstractmethod
    def apply(self, delta: Any) -> None:
        """Fold a delta."""

    @abstractmethod
    def _has_details(self, whole: WholeT) -> bool:
        """Whether a whole object says what is in it."""

    @abstractmethod
    def _listed(self) -> Sequence[msgspec.Struct]:
        """The parts of the base, as it lists them."""

    @abstractmethod
    def _keeping_details(self, whole: WholeT) -> WholeT:
        """The whole object, with the details of the base that are no list of parts."""

    @abstractmethod
    def _build(self) -> WholeT:
        """The base with the parts as they are now."""


class _StepBuilder(_Builder[RunStep]):
    __slots__ = ()

    ended = ENDED_STEP
    kinds = CALLS

    def apply(self, delta: RunStepDelta) -> None:
        details: Any = delta.step_details
        if type(details) is ToolCallDeltaObject:
            self.built = None
            parts = self.parts
            if not parts.by_index:
                self.seed()
            parts.apply(details.tool_calls or ())
        elif details is not None:
            self._apply_other(details)

    def find(self, call_id: str) -> Any:
        """The call of an id, as a part or as it came whole; None where the step has no such."""
        calls: Any = self.parts.by_index.values() if self.parts else self._listed()
        return next((call for call in calls if call.id == call_id), None)

    def _apply_other(self, delta: RunStepDeltaMessageDelta | UnknownStepDetailsDelta) -> None:
        """Fold details that are no list of calls."""
        before = self.base.step_details
        kind: Any = MessageCreationPart
        if isinstance(delta, UnknownStepDetailsDelta):
            kind = UnknownDetailsPart
        part = kind.of(before) if isinstance(before, kind.whole) else kind()
        part.apply(delta)
        after = part.build()
        self.base = replace(self.base, step_details=after, type=self.base.type or after.type)
        self.parts = Parts(self.kinds)
        self.built = self.base

    def _has_details(self, whole: RunStep) -> bool:
        match whole.step_details:
            case ToolCallsStepDetails(tool_calls=calls):
                return bool(calls)
            case MessageCreationStepDetails(message_creation=creation):
                return creation.message_id is not None
            case details:
                return details is not None

    def _listed(self) -> Sequence[msgspec.Struct]:
        details = self.base.step_details
        return details.tool_calls if isinstance(details, ToolCallsStepDetails) else ()

    def _keeping_details(self, whole: RunStep) -> RunStep:
        return whole if self.parts else replace(whole, step_details=self.base.step_details)

    def _build(self) -> RunStep:
        details = ToolCallsStepDetails(tool_calls=self.parts.build())
        return replace(self.base, step_details=details, type=self.base.type or details.type)


class _MessageBuilder(_Builder[Message]):
    __slots__ = ()

    ended = ENDED_MESSAGE
    kinds = CONTENT

    def apply(self, delta: MessageDelta) -> None:
        self.built = None
        parts = self.parts
        if not parts.by_index:
            self.seed()
        parts.apply(delta.content or ())
        if delta.role is not None and delta.role != self.base.role:
            self.base = replace(self.base, role=delta.role)

    def texts(self) -> list[str]:
        """What each part says so far, empty for what is no text."""
        return [part.said() for part in self.parts] if self.parts else texts_of(self.base)

    def _has_details(self, whole: Message) -> bool:
        return bool(whole.content)

    def _listed(self) -> Sequence[msgspec.Struct]:
        return self.base.content

    def _keeping_details(self, whole: Message) -> Message:
        return whole

    def _build(self) -> Message:
        return replace(self.base, content=self.parts.build())
