"""The life of a run: its states, and the events that their changes cause.

A run is changed from three sides: by its script (performance.py), by requests, and by the clock.
Each change is one synchronous step, so that nobody sees a half-changed run, and an end is final:
whatever the script still does after it changes nothing.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from asyncruns.emulator import records
from asyncruns.emulator.drafts import Draft
from asyncruns.emulator.errors import bad_request
from asyncruns.emulator.streams import Subscription
from asyncruns.emulator.tokens import estimate

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping, Sequence
    from typing import Any

    from asyncruns.emulator.records import Json
    from asyncruns.emulator.stage import Stage
    from asyncruns.emulator.store import Thread


@dataclass(frozen=True, slots=True)
class Ending:
    """What the end of a run does to it and to what it has left open."""

    stamp: str | None
    """The field of run and step that takes the time."""
    step: str
    """The status of an open step."""


ENDINGS = {
    "completed": Ending("completed_at", "completed"),
    "incomplete": Ending("completed_at", "completed"),
    "failed": Ending("failed_at", "failed"),
    "cancelled": Ending("cancelled_at", "cancelled"),
    "expired": Ending(None, "expired"),
}
MESSAGE_REASONS = {"max_completion_tokens": "max_tokens", "max_prompt_tokens": "max_tokens"}
"""Why a message is incomplete, by the reason why its run is, where the words differ."""

PERFORMING = frozenset({"queued", "in_progress"})
CANCELLABLE = PERFORMING | {"requires_action"}
EVENTS_PER_TURN = 32
"""How many deltas a run without a token rate emits before others get their turn."""
CATCH_UP_SECONDS = 0.1
"""How late a delta may be for the next ones to make up for it."""


class LiveRun:
    """A run: the record that clients see, its steps, and who listens."""

    def __init__(
        self,
        stage: Stage,
        thread: Thread,
        assistant: Json,
        record: Json,
        *,
        include_content: bool = False,
    ) -> None:
        self.stage = stage
        self.thread = thread
        self.assistant = assistant
        self.record = record
        self.steps: dict[str, Json] = {}
        self.settled = asyncio.Event()
        """Set while the run waits for a client or the clock, and when its script is over."""
        self._include_content = include_content
        self._subscriptions: list[Subscription] = []
        self._step: Draft | None = None
        self._message: Draft | None = None
        self._calls: list[Json] = []
        self._answers: asyncio.Future[list[Any]] | None = None
        self._asked = ""
        self._task: asyncio.Task[None] | None = None
        self._timer = stage.clock.call_at(record["expires_at"], partial(self.end, "expired"))
        self._prompt_tokens = 0
        self._step_deltas = 0
        self._emitted = 0
        self._due = 0.0

    # What others see

    @property
    def live(self) -> bool:
        """Whether the run has not ended."""
        return self.record["status"] not in ENDINGS

    @property
    def performing(self) -> bool:
        """Whether the script may go on."""
        return self.record["status"] in PERFORMING

    def settle(self) -> None:
        """Bring the records up to date with the deltas sent; call it before they are read."""
        for draft in (self._step, self._message):
            if draft is not None:
                draft.settle()

    def subscribe(self) -> Subscription:
        """Return the events from now to the next end or pause."""
        subscription = Subscription(content=self._include_content)
        self._subscriptions.append(subscription)
        return subscription

    # What requests and the clock do

    def start(self, performance: Coroutine[Any, Any, None]) -> None:
        """Begin the run; `performance` is its script at work."""
        self._task = self.stage.spawn(performance)
        self._task.add_done_callback(lambda _task: self.settled.set())

    def submit(self, outputs: Sequence[tuple[str, str]], *, stream: bool) -> Subscription | None:
        """Answer the calls that the run waits for: pairs of call id and output, each call once.

        Returns the events from here on if `stream`. Raises ApiError (400).
        """
        self._check_answers("tool_outputs", outputs)
        answers = dict(outputs)
        for call in self._calls:
            call["function"]["output"] = answers[call["id"]]
        return self._go_on_with(answers, stream=stream)

    def approve(
        self, approvals: Sequence[tuple[str, bool]], *, stream: bool
    ) -> Subscription | None:
        """Say of each call that the run asks about whether it is approved; as `submit`."""
        self._check_answers("tool_approvals", approvals)
        return self._go_on_with(dict(approvals), stream=stream)

    def _check_answers(self, param: str, answers: Sequence[tuple[str, object]]) -> None:
        words = param.replace("_", " ")
        if self._asked != param or self.record["status"] != "requires_action":
            raise bad_request(f"Runs in status '{self.record['status']}' do not accept {words}.")
        expected = [call["id"] for call in self._calls]
        got = [call_id for call_id, _ in answers]
        if sorted(expected) != sorted(got):
            raise bad_request(f"Expected {words} for call_ids {expected}, got {got}.", param=param)

    def _go_on_with(self, answers: Mapping[str, object], *, stream: bool) -> Subscription | None:
        events = self.subscribe() if stream else None
        self.settled.clear()
        self.record["required_action"] = None
        if self._asked == "tool_outputs":
            self.end_step()
        self._asked = ""
        self._enter("queued")
        if self._answers is not None:
            self._answers.set_result([answers[call["id"]] for call in self._calls])
        return events

    def cancel(self) -> None:
        """Begin to cancel; the end follows at the loop's next turn. Raises ApiError (400)."""
        if self.record["status"] not in CANCELLABLE:
            raise bad_request(f"Cannot cancel run with status '{self.record['status']}'.")
        self.record["required_action"] = None
        self._enter("cancelling")
        self._stop()
        asyncio.get_running_loop().call_soon(self.end, "cancelled")

    def abandon(self) -> None:
        """Forget the run where it is: its thread or its server goes away."""
        self._stop()
        self._timer.cancel()
        for subscription in self._subscriptions:
            subscription.close()

    # What the script does

    def begin(self) -> None:
        """Go from created to in progress."""
        self.emit("thread.run.created", self.record)
        self._enter("queued")
        self._go_on()

    def begin_step(self, details: Json, step_id: str | None) -> Draft:
        """Open a step."""
        stage = self.stage
        step = records.step(self.record, step_id or stage.ids.new("step"), details, stage.now())
        self.steps[step["id"]] = step
        self._step = Draft(step)
        self._prompt_tokens = self._estimate_prompt()
        self._step_deltas = 0
        self.emit("thread.run.step.created", step)
        self.emit("thread.run.step.in_progress", step)
        return self._step

    def begin_message(self, message_id: str) -> Draft:
        """Open the message of the open step."""
        message = records.said(self.record, message_id, self.stage.now())
        self.thread.messages[message_id] = message
        self._message = Draft(message)
        self.emit("thread.message.created", message)
        self.emit("thread.message.in_progress", message)
        return self._message

    async def emit_delta(self, draft: Draft, delta: Json) -> None:
        """Send a delta of a step or message, when its time has come."""
        self._step_deltas += 1
        record = draft.record
        kind = f"{record['object']}.delta"
        self.emit(kind, {"id": record["id"], "object": kind, "delta": delta})
        await self._pace()

    def end_message(self) -> None:
        """Complete the open message."""
        if self._message is not None:
            self._message.settle()
            self._message.record.update(status="completed", completed_at=self.stage.now())
            self.emit("thread.message.completed", self._message.record)
            self._message = None

    def end_step(self) -> None:
        """Complete the open step."""
        self._close_step("completed")

    async def ask(self, calls: list[Json]) -> list[str]:
        """Wait for the client to answer these calls of the open step; return the outputs."""
        self.settle()
        asked = [{**call, "function": _asked(call["function"])} for call in calls]
        return await self._pause("submit_tool_outputs", "tool_outputs", calls, asked)

    async def ask_approval(self, calls: list[Json]) -> list[bool]:
        """Wait for the client to approve these calls of the open step; return what it says."""
        asked = [{name: call[name] for name in call if name != "output"} for call in calls]
        return await self._pause("submit_tool_approval", "tool_approvals", calls, asked)

    async def _pause(
        self, action: str, param: str, calls: list[Json], asked: list[Json]
    ) -> list[Any]:
        self._calls, self._asked = calls, param
        self._answers = asyncio.get_running_loop().create_future()
        self.record["required_action"] = {"type": action, action: {"tool_calls": asked}}
        self._enter("requires_action")
        self._finish_streams()
        self.settled.set()
        answers = await self._answers
        self._go_on()
        return answers

    async def wait(self, seconds: float) -> None:
        """Let so many seconds of the emulator's clock pass."""
        self.settled.set()
        await self.stage.clock.sleep(seconds)
        self.settled.clear()

    def end(self, status: str, *, error: Json | None = None, reason: str | None = None) -> None:
        """End the run, and first what it has left open; a run that is over stays as it is."""
        if not self.live:
            return
        self._close_message(status, reason)
        self._close_step(status, error)
        ending = ENDINGS[status]
        self.record.update(
            required_action=None,
            expires_at=None,
            last_error=error,
            incomplete_details=None if reason is None else {"reason": reason},
            usage=records.total_usage(self.steps.values()),
        )
        if ending.stamp is not None:
            self.record[ending.stamp] = self.stage.now()
        self._enter(status)
        self._finish_streams()
        self._timer.cancel()
        self._stop()

    def emit(self, name: str, record: Json) -> None:
        """Send an event with the record as it is now to all who listen."""
        for subscription in self._subscriptions:
            subscription.put(name, record)

    # Below these

    def _enter(self, status: str) -> None:
        self.record["status"] = status
        self.emit(f"thread.run.{status}", self.record)

    def _go_on(self) -> None:
        self.record["started_at"] = self.stage.now()
        self._enter("in_progress")

    def _close_message(self, status: str, reason: str | None) -> None:
        if self._message is None:
            return
        self._message.settle()
        why = f"run_{status}" if reason is None else MESSAGE_REASONS.get(reason, reason)
        self._message.record.update(
            status="incomplete",
            incomplete_details={"reason": why},
            incomplete_at=self.stage.now(),
        )
        self.emit("thread.message.incomplete", self._message.record)
        self._message = None

    def _close_step(self, status: str, error: Json | None = None) -> None:
        if self._step is None:
            return
        ending = ENDINGS[status]
        step = self._step.record
        self._step.settle()
        step.update(
            status=ending.step,
            last_error=error,
            usage=records.usage(self._prompt_tokens, self._step_deltas),
        )
        if ending.stamp is not None:
            step[ending.stamp] = self.stage.now()
        self.emit(f"thread.run.step.{ending.step}", step)
        self._step = None

    def _estimate_prompt(self) -> int:
        spoken = sum(estimate(records.text_of(one)) for one in self.thread.messages.values())
        return spoken + estimate(self.record["instructions"] or "")

    def _finish_streams(self) -> None:
        for subscription in self._subscriptions:
            subscription.finish()
        self._subscriptions.clear()

    def _stop(self) -> None:
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()

    async def _pace(self) -> None:
        """Wait until the next delta is due; without a rate, give others a turn now and then."""
        rate = self.stage.token_rate
        if rate is None:
            self._emitted += 1
            if self._emitted % EVENTS_PER_TURN == 0:
                await asyncio.sleep(0)
            return
        now = asyncio.get_running_loop().time()
        since = self._due if self._due > now - CATCH_UP_SECONDS else now
        self._due = since + 1 / rate
        await asyncio.sleep(max(0.0, self._due - now))


def _asked(function: Json) -> Json:
    return {"name": function["name"], "arguments": function["arguments"]}
