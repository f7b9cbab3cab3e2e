"""Events to hooks: a class to subclass, for programs that react rather than iterate."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeAlias, get_args

from asyncruns.events import (
    ErrorEvent,
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
    ToolCallDeltaObject,
    ToolCallsStepDetails,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from asyncruns.accumulator import Accumulator
    from asyncruns.events import Event
    from asyncruns.models import (
        ErrorObject,
        ImageFile,
        Message,
        MessageDelta,
        MessageDeltaEvent,
        Run,
        RunStep,
        RunStepDelta,
        RunStepDeltaEvent,
        Text,
        TextDelta,
        ToolCall,
        ToolCallDelta,
    )

__all__ = ["RunHandler"]


class RunHandler:
    """The hooks of a run: override those you need, as plain or as async methods.

    A hook is called after its event was folded and before the event is yielded. It gets the delta,
    where there is one, and the snapshot. An exception in a hook reaches the caller as it is. Hooks
    that are not overridden cost nothing, and no snapshot is built for them. A handler keeps no
    state of a stream, so that one may serve many streams at once.
    """

    def on_event(self, event: Event) -> Awaitable[None] | None:
        """Any event of the stream, before the hooks for what is in it."""

    def on_run_created(self, run: Run) -> Awaitable[None] | None:
        """The run has been seen for the first time."""

    def on_run_updated(self, run: Run) -> Awaitable[None] | None:
        """The run's status has changed, and it has not ended."""

    def on_run_done(self, run: Run) -> Awaitable[None] | None:
        """The run has ended; its status says how."""

    def on_requires_action(self, run: Run) -> Awaitable[None] | None:
        """The run waits for its required action."""

    def on_step_created(self, step: RunStep) -> Awaitable[None] | None:
        """A step has been seen for the first time."""

    def on_step_delta(self, delta: RunStepDelta, step: RunStep) -> Awaitable[None] | None:
        """A step has changed."""

    def on_step_done(self, step: RunStep) -> Awaitable[None] | None:
        """A step has ended; its status says how."""

    def on_tool_call_created(self, call: ToolCall) -> Awaitable[None] | None:
        """A tool call has been seen for the first time; its first delta follows."""

    def on_tool_call_delta(self, delta: ToolCallDelta, call: ToolCall) -> Awaitable[None] | None:
        """A tool call has changed; its first delta counts."""

    def on_tool_call_done(self, call: ToolCall) -> Awaitable[None] | None:
        """The step of a tool call has ended; the call is complete, its output included."""

    def on_message_created(self, message: Message) -> Awaitable[None] | None:
        """A message has been seen for the first time."""

    def on_message_delta(self, delta: MessageDelta, message: Message) -> Awaitable[None] | None:
        """A message has changed."""

    def on_message_done(self, message: Message) -> Awaitable[None] | None:
        """A message has ended; its status says how."""

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
        """The stream is over; no hook follows."""


_HOOKS: Final = [name for name in vars(RunHandler) if name.startswith("on_")]

Due: TypeAlias = tuple[Any, ...]
"""A hook that is due, by its name, and its arguments."""


class Dispatch:
    """Calls the hooks of one handler for one stream, each as often as it has to be.

    `accumulator` must have folded an event before it is dispatched.
    """

    __slots__ = ("_accumulator", "_done", "_hooks", "_parts", "_status")

    def __init__(self, handler: RunHandler, accumulator: Accumulator) -> None:
        self._accumulator = accumulator
        kind = type(handler)
        self._hooks: dict[str, Any] = {
            name: getattr(handler, name)
            for name in _HOOKS
            if getattr(kind, name) is not getattr(RunHandler, name)
        }
        # What has been created: each object's id, and the indexes of its parts.
        self._parts: dict[str, set[int]] = {}
        self._done: set[str] = set()
        self._status = ""

    async def __call__(self, event: Event) -> None:
        """Call the hooks that are due for an event, in their order."""
        await self._call("on_event", event)
        lead = self._leads.get(event.__class__)
        if lead is not None:
            for due in lead(self, event.data):
                await self._call(*due)

    async def end(self) -> None:
        """Call the hook for the end of the stream."""
        await self._call("on_end")

    async def _call(self, name: str, *arguments: Any) -> None:
        hook = self._hooks.get(name)
        if hook is not None:
            result = hook(*arguments)
            if inspect.isawaitable(result):
                await result

    def _is_new(self, object_id: str) -> bool:
        if object_id in self._parts:
            return False
        self._parts[object_id] = set()
        return True

    def _take_run(self, _: Run) -> Iterator[Due]:
        run = self._accumulator.run
        if run is None or run.id in self._done:
            return
        if self._is_new(run.id):
            yield "on_run_created", run
        changed, self._status = run.status != self._status, run.status
        if run.status in ENDED_RUN:
            self._done.add(run.id)
            # What the run's end means for objects whose own end never came.
            for step in self._accumulator.steps:
                yield from self._end_step(step)
            for message in self._accumulator.messages:
                yield from self._end_message(message)
            yield "on_run_done", run
        elif changed:
            waits = run.status == "requires_action"
            yield ("on_requires_action" if waits else "on_run_updated"), run

    def _take_step(self, change: RunStep) -> Iterator[Due]:
        step = self._accumulator.step(change.id) or change
        if self._is_new(step.id):
            yield "on_step_created", step
        if step.status in ENDED_STEP:
            yield from self._end_step(step)

    def _end_step(self, step: RunStep) -> Iterator[Due]:
        if step.id in self._done:
            return
        self._done.add(step.id)
        known = len(self._parts.get(step.id, ()))
        details = step.step_details
        calls = details.tool_calls if isinstance(details, ToolCallsStepDetails) else ()
        for position, call in enumerate(calls):
            if position >= known:
                yield "on_tool_call_created", call
            yield "on_tool_call_done", call
        yield "on_step_done", step

    def _change_step(self, change: RunStepDeltaEvent) -> Iterator[Due]:
        is_new = self._is_new(change.id)
        if is_new and "on_step_created" in self._hooks:
            yield "on_step_created", self._accumulator.step(change.id)
        if "on_step_delta" in self._hooks:
            yield "on_step_delta", change.delta, self._accumulator.step(change.id)
        if isinstance(change.delta.step_details, ToolCallDeltaObject):
            for delta, index, part in self._accumulator.changed_parts(change):
                if self._is_new_part(change.id, index) and "on_tool_call_created" in self._hooks:
                    yield "on_tool_call_created", part.build()
                if "on_tool_call_delta" in self._hooks:
                    yield "on_tool_call_delta", delta, part.build()

    def _is_new_part(self, object_id: str, index: int) -> bool:
        indexes = self._parts[object_id]
        # After the end, parts are told by their place: all of them have been created.
        if index in indexes or object_id in self._done:
            return False
        indexes.add(index)
        return True

    def _take_message(self, change: Message) -> Iterator[Due]:
        message = self._accumulator.message(change.id) or change
        if self._is_new(message.id):
            yield "on_message_created", message
        if message.status in ENDED_MESSAGE:
            yield from self._end_message(message)

    def _end_message(self, message: Message) -> Iterator[Due]:
        if message.id in self._done:
            return
        self._done.add(message.id)
        known = len(self._parts.get(message.id, ()))
        for position, block in enumerate(message.content):
            if isinstance(block, TextContentBlock):
                if position >= known:
                    yield "on_text_created", block.text
                yield "on_text_done", block.text
            elif isinstance(block, ImageFileContentBlock):
                yield "on_image_file_done", block.image_file
        yield "on_message_done", message

    def _change_message(self, change: MessageDeltaEvent) -> Iterator[Due]:
        is_new = self._is_new(change.id)
        if is_new and "on_message_created" in self._hooks:
            yield "on_message_created", self._accumulator.message(change.id)
        if "on_message_delta" in self._hooks:
            yield "on_message_delta", change.delta, self._accumulator.message(change.id)
        for delta, index, part in self._accumulator.changed_parts(change):
            is_new_part = self._is_new_part(change.id, index)
            if isinstance(delta, TextDeltaBlock):
                if is_new_part and "on_text_created" in self._hooks:
                    yield "on_text_created", part.build().text
                if delta.text is not None and "on_text_delta" in self._hooks:
                    yield "on_text_delta", delta.text, part.build().text

    def _report_error(self, error: ErrorObject) -> Iterator[Due]:
        yield "on_error", error

    _leads: ClassVar[dict[Any, Callable[[Dispatch, Any], Iterator[Due]]]] = {
        **dict.fromkeys(get_args(RunEvent), _take_run),
        **dict.fromkeys(get_args(RunStepEvent), _take_step),
        **dict.fromkeys(get_args(MessageEvent), _take_message),
        ThreadRunStepDelta: _change_step,
        ThreadMessageDelta: _change_message,
        ErrorEvent: _report_error,
    }
