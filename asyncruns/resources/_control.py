"""What streams and polling ask the server for, with the options of the call that made them."""

from __future__ import annotations

import asyncio
import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final, TypeVar

from asyncruns.attach import SETTLED, poll
from asyncruns.cancellation import cancel_run
from asyncruns.dedupe import DEDUPE_KEY, with_dedupe_key
from asyncruns.errors import AsyncRunsError, MaxRoundsExceeded, RunTimeoutError, ToolError
from asyncruns.models import (
    Message,
    MessageCreationStepDetails,
    ObjectDecoder,
    Run,
    RunStep,
    ToolCallsStepDetails,
    to_dict,
)
from asyncruns.options import StreamOptions
from asyncruns.pages import MESSAGE_PAGE, RUN_PAGE, RUN_STEP_PAGE, Paginator, read_answer
from asyncruns.resources._base import request_of
from asyncruns.resources._creation import Creator
from asyncruns.rounds import Rounds
from asyncruns.stream import RunStream
from asyncruns.tracing import Invocation, RunTrace
from asyncruns.transport import Request, Response, Transport, path_of
from asyncruns.watch import Limit

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from contextlib import AbstractContextManager

    import anyio

    from asyncruns.connections import ByteStream

__all__ = [
    "RUN",
    "Polling",
    "RunAttachment",
    "RunControl",
    "RunCreation",
    "RunSubmission",
    "creator_of",
    "run_path",
    "runs_path",
    "stream_of",
    "submission",
]

RUN: Final[ObjectDecoder[Run]] = ObjectDecoder(Run)

_FULL_PAGE: Final = 100
"""The longest page that servers give."""

CLOCK_STEP: Final = 1.0
"""Seconds by which a server's timestamps are rounded."""

_KEPT: Final = ("extra_headers", "extra_query", "timeout")
"""The options of a call that hold for the requests that follow from it, too."""

_TOOL_OPTIONS: Final = ("max_rounds", "max_parallel_tools", "tool_timeout", "on_tool_error")

ThingT = TypeVar("ThingT")


class RunControl:
    """The requests of one run; `start` is the one that begins it.

    `thread_id` is used where the server leaves a run's thread out; `run_id` is known of a run that
    goes already.
    """

    def __init__(
        self,
        transport: Transport,
        start: Request,
        params: Mapping[str, Any],
        *,
        thread_id: str = "",
        run_id: str = "",
    ) -> None:
        self.transport = transport
        self._thread_id = thread_id
        self._run_id = run_id
        self.start = start
        self.params = params
        self._options = {name: params[name] for name in _KEPT if name in params}
        self._include = {"include": params["include"]} if "include" in params else {}

    @property
    def invocation(self) -> Invocation:
        """What is known of the run before the server answers."""
        return Invocation(self.transport.settings.base_url, self.params, self._thread_id)

    async def open(self) -> ByteStream | Run:
        """Send the request that starts the stream."""
        return await self.transport.open(self.start)

    async def find(self) -> Run | None:
        """Give the run whose stream broke off before its first event; None if it is not known."""
        if not self._run_id:
            return None
        return Run(id=self._run_id, thread_id=self._thread_id, status="unknown")

    async def retrieve(self, thread_id: str, run_id: str) -> tuple[Run, float | None]:
        """Look the run up; with it, the seconds that the server asks to wait."""
        request = request_of("GET", self._path(thread_id, run_id), self._options)
        response = await self.transport.send(request)
        return read_answer(RUN, response, request), _poll_after(response)

    async def list_steps(self, thread_id: str, run_id: str) -> list[RunStep]:
        """Give all steps of the run, oldest first."""
        params = {"order": "asc", "limit": _FULL_PAGE, **self._include, **self._options}
        request = request_of("GET", self._path(thread_id, run_id) + "/steps", params)
        return [step async for step in Paginator(self.transport, request, RUN_STEP_PAGE)]

    async def list_messages(self, thread_id: str, run_id: str) -> list[Message]:
        """Give all messages of the run, oldest first."""
        path = path_of("/threads/{thread_id}/messages", thread_id=thread_id or self._thread_id)
        params = {"run_id": run_id, "order": "asc", "limit": _FULL_PAGE, **self._options}
        request = request_of("GET", path, params)
        messages = Paginator(self.transport, request, MESSAGE_PAGE)
        return [message async for message in messages if _is_of(message, run_id)]

    async def submit(
        self, thread_id: str, run_id: str, answer: Mapping[str, object]
    ) -> ByteStream | Run:
        """Submit what the run waits for, and open the stream that goes on from there.

        Gives the run alone where all connections for streams are taken: the run must not wait until
        one of them ends, and can be followed by polling.
        """
        if self.transport.connections.are_full:
            return await self.submit_and_leave(thread_id, run_id, answer)
        params = {**self._options, **answer, "stream": True}
        path = self._path(thread_id, run_id)
        return await self.transport.open(submission(path, params))

    async def submit_and_leave(
        self, thread_id: str, run_id: str, answer: Mapping[str, object]
    ) -> Run:
        """Submit what the run waits for, without a stream."""
        request = submission(self._path(thread_id, run_id), {**self._options, **answer})
        return read_answer(RUN, await self.transport.send(request), request)

    async def cancel(self, thread_id: str, run_id: str) -> Run:
        """Begin to cancel the run."""
        request = request_of("POST", self._path(thread_id, run_id) + "/cancel", self._options)
        return read_answer(RUN, await self.transport.send(request), request)

    def _path(self, thread_id: str, run_id: str) -> str:
        return run_path(thread_id or self._thread_id, run_id)


class RunAttachment(RunControl):
    """The requests of a run that is going already: there is nothing to send first."""

    async def open(self) -> ByteStream | Run:
        """Give the run, to be followed by polling."""
        return Run(id=self._run_id, thread_id=self._thread_id, status="unknown")


class RunSubmission(RunControl):
    """The requests of a run that goes on with the outputs of its calls.

    The stream that a submit opens tells nothing from before it, and neither do these lists: they
    begin with the step whose calls are answered.
    """

    def __init__(
        self, transport: Transport, params: Mapping[str, Any], *, thread_id: str, run_id: str
    ) -> None:
        start = submission(run_path(thread_id, run_id), params)
        super().__init__(transport, start, params, thread_id=thread_id, run_id=run_id)
        self._calls = {to_dict(output).get("tool_call_id") for output in params["tool_outputs"]}
        self._earlier: set[str | None] = set()

    async def list_steps(self, thread_id: str, run_id: str) -> list[RunStep]:
        """Give the run's steps from the answered one on, oldest first."""
        steps = await super().list_steps(thread_id, run_id)
        first = next((n for n, step in enumerate(steps) if self._answers(step)), 0)
        details = [step.step_details for step in steps[:first]]
        self._earlier = {
            detail.message_creation.message_id
            for detail in details
            if isinstance(detail, MessageCreationStepDetails)
        }
        return steps[first:]

    async def list_messages(self, thread_id: str, run_id: str) -> list[Message]:
        """Give the run's messages but for those of earlier steps, oldest first."""
        messages = await super().list_messages(thread_id, run_id)
        return [message for message in messages if message.id not in self._earlier]

    def _answers(self, step: RunStep) -> bool:
        details = step.step_details
        calls = details.tool_calls if isinstance(details, ToolCallsStepDetails) else ()
        return any(call.id in self._calls for call in calls)


class RunCreation(RunControl):
    """The requests of a run that is to be created on a thread.

    Raises ValueError for a `dedupe_key` that the metadata have no room for.
    """

    def __init__(self, transport: Transport, thread_id: str, params: Mapping[str, Any]) -> None:
        self._key: str | None = params.get("dedupe_key")
        self._assistant_id: str = params["assistant_id"]
        # When the server answered, by its own clock, and how many seconds that took.
        self._answered_at = ""
        self._took = 0.0
        body = with_dedupe_key(params, self._key)
        path = runs_path(thread_id)
        start = request_of("POST", path, body, has_body=True, repeatable=False)
        super().__init__(transport, start, params, thread_id=thread_id)
        self._creator = creator_of(self, thread_id)

    async def open(self) -> ByteStream | Run:
        """Create the run and open its stream; gives the run where only that could be found."""
        return await self.create(self._open)

    async def create(self, send: Callable[[], Awaitable[ThingT]]) -> ThingT | Run:
        """Send the create by the rules of its `on_active_run` and `dedupe_key`."""
        return await self._creator.create(send, None if self._key is None else self._find)

    async def find(self) -> Run | None:
        """Find the run whose stream broke off before its first event.

        By its `dedupe_key`, or else by what is certain: a run holds its thread, so ours is the
        newest, if that was created for our assistant while the server carried out our request.
        """
        if self._key is not None:
            return await self._find()
        for run in (await self._newest(1))[:1]:
            if run.assistant_id == self._assistant_id and self._was_created_then(run):
                return run
        return None

    async def _open(self) -> ByteStream:
        began = time.monotonic()
        stream = await self.transport.open(self.start)
        self._answered_at = stream.headers.get("date", "")
        self._took = time.monotonic() - began
        return stream

    def _was_created_then(self, run: Run) -> bool:
        at, created = _date(self._answered_at), run.created_at
        if at is None or created is None:
            return False
        return at - self._took - CLOCK_STEP <= created <= at + CLOCK_STEP

    async def _find(self) -> Run | None:
        """The newest runs' one with the key; None where there is none."""
        newest = await self._newest(_FULL_PAGE)
        return next((r for r in newest if (r.metadata or {}).get(DEDUPE_KEY) == self._key), None)

    async def _newest(self, count: int) -> list[Run]:
        params = {"order": "desc", "limit": count, **self._options}
        request = request_of("GET", runs_path(self._thread_id), params)
        return (await Paginator(self.transport, request, RUN_PAGE)).data


def creator_of(control: RunControl, thread_id: str) -> Creator:
    """What creates on a thread by the options of a call."""
    names = ("on_active_run", "active_run_deadline")
    options: Any = {name: control.params[name] for name in names if name in control.params}
    return Creator(control, id(control.transport.connections), thread_id, **options)


class Polling:
    """Drives a run to its end by polling, by the options of a call."""

    def __init__(self, control: RunControl) -> None:
        params = control.params
        self._control = control
        self._trace = RunTrace(control.invocation)
        self.run: Run | None = None
        tools: Any = {name: params[name] for name in _TOOL_OPTIONS if name in params}
        limiter = _thread_limiter(control)
        self._rounds = Rounds(params.get("toolset"), thread_limiter=limiter, **tools)
        until = params.get("until", SETTLED)
        # With a toolset, a run that waits for outputs is not what the caller waits for.
        self._until = until if params.get("toolset") is None else {*until, "requires_action"}
        interval = params.get("poll_interval_ms")
        self._interval = None if interval is None else interval / 1000
        self._rounds.start_clock()
        self._deadline: float | None = params.get("deadline")
        self._deadline_at: float | None = None
        if self._deadline is not None:
            self._deadline_at = asyncio.get_running_loop().time() + self._deadline

    @property
    def messages(self) -> list[Message]:
        """None of the run's: whoever polls a run has not asked for them."""
        return []

    @property
    def outcome(self) -> str | None:
        """How polling has ended; None where that was before the run's end or pause."""
        status = self.run.status if self.run is not None else ""
        return status if status in SETTLED else None

    def traced(self) -> AbstractContextManager[None]:
        """Make one span of the requests that create a run and of polling it."""
        return self._trace.whole(self)

    def in_time(self, run: Run | None = None) -> Limit:
        """Bound an await by the deadline."""

        def too_late() -> RunTimeoutError:
            return RunTimeoutError(f"the run did not end within {self._deadline:g} s", run=run)

        return Limit(self._deadline_at, too_late)

    async def settled(self, thread_id: str, run_id: str) -> Run:
        """Poll until the run has one of the statuses that are waited for."""
        self.run = await poll(
            self._control,
            thread_id,
            run_id,
            until=self._until,
            interval=self._interval,
            deadline_at=self._deadline_at,
        )
        return self.run

    async def finished(self, thread_id: str, run_id: str) -> Run:
        """Poll until there is nothing left to do, answering tool calls on the way."""
        while True:
            run = await self.settled(thread_id, run_id)
            if not self._rounds.due(run):
                return run
            self._rounds.check_refusal(run)
            try:
                async with self.in_time(run):
                    outputs = await self._rounds.outputs(run)
            except (MaxRoundsExceeded, ToolError):
                await cancel_run(self._control, run)
                raise
            self._rounds.check_time(run)
            try:
                async with self.in_time(run):
                    answer = {"tool_outputs": outputs}
                    await self._control.submit_and_leave(thread_id, run_id, answer)
            except AsyncRunsError as exc:
                self._rounds.doubt(exc)
            else:
                self._rounds.forget()


def stream_of(control: RunControl) -> RunStream:
    """The stream of a run, with the options of the call that asks for it."""
    options: Any = {
        name: control.params[name]
        for name in StreamOptions.__annotations__
        if name in control.params
    }
    limiter = _thread_limiter(control)
    return RunStream(control, thread_limiter=limiter, invocation=control.invocation, **options)


def _thread_limiter(control: RunControl) -> anyio.CapacityLimiter | None:
    """The client's places for the worker threads of sync tools; None where there are no tools."""
    return None if control.params.get("toolset") is None else control.transport.thread_limiter()


def runs_path(thread_id: str) -> str:
    """The path of a thread's runs."""
    return path_of("/threads/{thread_id}/runs", thread_id=thread_id)


def run_path(thread_id: str, run_id: str) -> str:
    """The path of a run."""
    return path_of("/threads/{thread_id}/runs/{run_id}", thread_id=thread_id, run_id=run_id)


def submission(path: str, params: Mapping[str, Any]) -> Request:
    """The request that submits what the run at a path waits for."""
    return request_of(
        "POST", f"{path}/submit_tool_outputs", params, has_body=True, repeatable=False
    )


def _is_of(message: Message, run_id: str) -> bool:
    """Whether a run wrote a message: some servers leave the run out, or list the whole thread."""
    return message.run_id == run_id or (message.run_id is None and message.role != "user")


def _date(text: str) -> float | None:
    """The time in a `Date` header, Unix seconds; None where there is none."""
    try:
        return parsedate_to_datetime(text).timestamp()
    except ValueError:
        return None


def _poll_after(response: Response) -> float | None:
    """Seconds to wait before the next look; None where the server does not say."""
    told = response.headers.get("openai-poll-after-ms", "")
    return int(told) / 1000 if told.isdecimal() else None
