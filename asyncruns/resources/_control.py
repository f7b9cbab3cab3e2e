"""What streams and polling ask the server for, with the options of the call that made them."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from asyncruns.attach import SETTLED, poll
from asyncruns.errors import MaxRoundsExceeded, RunTimeoutError, ToolError
from asyncruns.models import Message, ObjectDecoder, Run, RunStep, to_dict
from asyncruns.pages import MESSAGE_PAGE, RUN_PAGE, RUN_STEP_PAGE, Paginator, read_answer
from asyncruns.resources._base import request_of
from asyncruns.resources._creation import DEDUPE_KEY, Creator, with_dedupe_key
from asyncruns.stream import RunStream, StreamOptions
from asyncruns.toolset import calls_of
from asyncruns.transport import Request, Response, Transport, path_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping

    from asyncruns.stream import ByteStream, RunService

__all__ = [
    "RUN",
    "Polling",
    "RunControl",
    "RunCreation",
    "creator_of",
    "run_path",
    "runs_path",
    "stream_of",
    "submission",
]

RUN: Final[ObjectDecoder[Run]] = ObjectDecoder(Run)

_FULL_PAGE: Final = 100
"""The longest page that servers give."""

_KEPT: Final = ("extra_headers", "extra_query", "timeout")
"""The options of a call that hold for the requests that follow from it, too."""

_TOOL_OPTIONS: Final = {
    "max_parallel_tools": "max_parallel",
    "tool_timeout": "timeout",
    "on_tool_error": "on_error",
}

ThingT = TypeVar("ThingT")


class RunControl:
    """The requests of one run; `start` is the one that begins it."""

    def __init__(self, transport: Transport, start: Request, params: Mapping[str, Any]) -> None:
        self.transport = transport
        self.start = start
        self.params = params
        self._options = {name: params[name] for name in _KEPT if name in params}
        self._include = {"include": params["include"]} if "include" in params else {}

    async def open(self) -> ByteStream | Run:
        """Send the request that starts the stream."""
        return await self.transport.open(self.start)

    async def retrieve(self, thread_id: str, run_id: str) -> tuple[Run, float | None]:
        """Look the run up; with it, the seconds that the server asks to wait."""
        request = request_of("GET", run_path(thread_id, run_id), self._options)
        response = await self.transport.send(request)
        return read_answer(RUN, response, request), _poll_after(response)

    async def list_steps(self, thread_id: str, run_id: str) -> list[RunStep]:
        """Give all steps of the run, oldest first."""
        params = {"order": "asc", "limit": _FULL_PAGE, **self._include, **self._options}
        request = request_of("GET", run_path(thread_id, run_id) + "/steps", params)
        return [step async for step in Paginator(self.transport, request, RUN_STEP_PAGE)]

    async def list_messages(self, thread_id: str, run_id: str) -> list[Message]:
        """Give all messages of the run, oldest first."""
        path = path_of("/threads/{thread_id}/messages", thread_id=thread_id)
        params = {"run_id": run_id, "order": "asc", "limit": _FULL_PAGE, **self._options}
        request = request_of("GET", path, params)
        messages = Paginator(self.transport, request, MESSAGE_PAGE)
        # Servers that do not know the filter send the thread's other messages, too.
        return [message async for message in messages if message.run_id in {run_id, None}]

    async def submit(self, thread_id: str, run_id: str, answer: Mapping[str, object]) -> ByteStream:
        """Submit what the run waits for, and open the stream that goes on from there."""
        params = {**self._options, **answer, "stream": True}
        return await self.transport.open(submission(thread_id, run_id, params))

    async def submit_and_leave(
        self, thread_id: str, run_id: str, answer: Mapping[str, object]
    ) -> None:
        """Submit what the run waits for, without a stream."""
        await self.transport.send(submission(thread_id, run_id, {**self._options, **answer}))

    async def cancel(self, thread_id: str, run_id: str) -> Run:
        """Begin to cancel the run."""
        request = request_of("POST", run_path(thread_id, run_id) + "/cancel", self._options)
        return read_answer(RUN, await self.transport.send(request), request)


class RunCreation(RunControl):
    """The requests of a run that is to be created on a thread.

    Raises ValueError for a `dedupe_key` that the metadata have no room for.
    """

    def __init__(self, transport: Transport, thread_id: str, params: Mapping[str, Any]) -> None:
        self._thread_id = thread_id
        self._key: str | None = params.get("dedupe_key")
        body = with_dedupe_key(params, self._key)
        path = runs_path(thread_id)
        start = request_of("POST", path, body, has_body=True, repeatable=False)
        super().__init__(transport, start, params)
        self._creator = creator_of(self, thread_id)

    async def open(self) -> ByteStream | Run:
        """Create the run and open its stream; gives the run where only that could be found."""
        return await self.create(partial(self.transport.open, self.start))

    async def create(self, send: Callable[[], Awaitable[ThingT]]) -> ThingT | Run:
        """Send the create by the rules of its `on_active_run` and `dedupe_key`."""
        return await self._creator.create(send, None if self._key is None else self._find)

    async def _find(self) -> Run | None:
        """The newest runs' one with the key; None where there is none."""
        params = {"order": "desc", "limit": _FULL_PAGE, **self._options}
        request = request_of("GET", runs_path(self._thread_id), params)
        page = await Paginator(self.transport, request, RUN_PAGE)
        return next((r for r in page.data if (r.metadata or {}).get(DEDUPE_KEY) == self._key), None)


def creator_of(control: RunControl, thread_id: str) -> Creator:
    """What creates on a thread by the options of a call."""
    names = ("on_active_run", "active_run_deadline")
    options: Any = {name: control.params[name] for name in names if name in control.params}
    return Creator(control, id(control.transport), thread_id, **options)


class Polling:
    """Drives a run to its end by polling, by the options of a call."""

    def __init__(self, control: RunControl) -> None:
        params = control.params
        self._control = control
        self._toolset = params.get("toolset")
        self._max_rounds: int = params.get("max_rounds", 25)
        self._tools: Any = {
            ours: params[name] for name, ours in _TOOL_OPTIONS.items() if name in params
        }
        self._until = params.get("until", SETTLED)
        interval = params.get("poll_interval_ms")
        self._interval = None if interval is None else interval / 1000
        self._deadline: float | None = params.get("deadline")
        self._deadline_at: float | None = None
        if self._deadline is not None:
            self._deadline_at = asyncio.get_running_loop().time() + self._deadline

    @asynccontextmanager
    async def in_time(self, run: Run | None = None) -> AsyncGenerator[None, None]:
        """Bound an await by the deadline."""
        limit = asyncio.timeout_at(self._deadline_at)
        try:
            async with limit:
                yield
        except TimeoutError as exc:
            if not limit.expired():
                raise
            message = f"the run did not end within {self._deadline:g} s"
            raise RunTimeoutError(message, run=run) from exc

    async def settled(self, thread_id: str, run_id: str) -> Run:
        """Poll until the run has one of the statuses that are waited for."""
        return await poll(
            self._control,
            thread_id,
            run_id,
            until=self._until,
            interval=self._interval,
            deadline_at=self._deadline_at,
        )

    async def finished(self, thread_id: str, run_id: str) -> Run:
        """Poll until there is nothing left to do, answering tool calls on the way."""
        for _ in range(self._max_rounds + 1):
            run = await self.settled(thread_id, run_id)
            calls = calls_of(run)
            if self._toolset is None or not calls:
                return run
            try:
                async with self.in_time(run):
                    outputs = await self._toolset.answer(
                        run, calls, limiter=self._control.transport.thread_limiter, **self._tools
                    )
                    answer = {"tool_outputs": to_dict(outputs)}
                    await self._control.submit_and_leave(thread_id, run_id, answer)
            except ToolError:
                await self._control.cancel(thread_id, run_id)
                raise
        await self._control.cancel(thread_id, run_id)
        raise MaxRoundsExceeded(
            f"the run asked for tool outputs more than {self._max_rounds} times"
        )


def stream_of(control: RunControl, service: RunService | None = None) -> RunStream:
    """The stream of a run, with the options of the call that asks for it."""
    options: Any = {
        name: control.params[name]
        for name in StreamOptions.__annotations__
        if name in control.params
    }
    limiter = control.transport.thread_limiter
    return RunStream(service or control, thread_limiter=limiter, **options)


def runs_path(thread_id: str) -> str:
    """The path of a thread's runs."""
    return path_of("/threads/{thread_id}/runs", thread_id=thread_id)


def run_path(thread_id: str, run_id: str) -> str:
    """The path of a run."""
    return path_of("/threads/{thread_id}/runs/{run_id}", thread_id=thread_id, run_id=run_id)


def submission(thread_id: str, run_id: str, params: Mapping[str, Any]) -> Request:
    """The request that submits what a run waits for."""
    path = run_path(thread_id, run_id) + "/submit_tool_outputs"
    return request_of("POST", path, params, has_body=True, repeatable=False)


def _poll_after(response: Response) -> float | None:
    """Seconds to wait before the next look; None where the server does not say."""
    told = response.headers.get("openai-poll-after-ms", "")
    return int(told) / 1000 if told.isdecimal() else None
