"""A job to its result: what is tried, and tried again, until its run has ended."""

from __future__ import annotations

import math
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import anyio

from asyncruns.dedupe import DEDUPE_KEY, with_dedupe_key
from asyncruns.errors import (
    ActiveRunError,
    AmbiguousRequestError,
    APIConnectionError,
    APIStatusError,
    PoolTimeoutError,
    RateLimitError,
    RunFailedError,
    StreamInterrupted,
)
from asyncruns.follow import Pace, is_transient
from asyncruns.jobs import RunResult
from asyncruns.models import ENDED_RUN, Run

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from asyncruns.brake import Brake
    from asyncruns.client import Client
    from asyncruns.jobs import RunJob
    from asyncruns.stream import RunStream
    from asyncruns.toolset import Toolset

__all__ = ["Attempts", "Terms"]

LONGEST_WAIT: Final = 3600.0
"""Seconds that a rate limit may ask to wait; a job that it asks for more has failed."""

FOREIGN_DEADLINE: Final = 600.0
"""Seconds to wait for a run that somebody else has on the job's thread: the life of a run."""

KEPT: Final = ("extra_headers", "extra_query", "include", "timeout")
"""The parameters of a job that hold for the requests that follow its creation, too."""

FULL_PAGE: Final = 100
"""The longest page that servers give."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What all jobs of a pool have in common."""

    client: Client
    brake: Brake
    retries: int
    """How often each job may be tried again."""
    toolsets: Mapping[str, Toolset]
    """The toolsets that jobs may name."""
    options: Mapping[str, Any]
    """Of every stream; its toolset is for the jobs that name none."""
    on_thread: Callable[[RunJob, str], object] | None
    """Told of each thread that is created for a job, before the run is."""
    on_retry: Callable[[], object]
    """Called before each new attempt."""


class Attempts:
    """One job, over all attempts at it; `result` says how far it has come."""

    def __init__(self, terms: Terms, job: RunJob) -> None:
        self.result = RunResult(job=job, thread_id=job.thread_id)
        self._terms = terms
        self._job = job
        self._pace = Pace()
        # A key of our own where the job has none: no creation that goes unanswered may leave a run
        # behind that nobody knows.
        self._key = job.dedupe_key or _new_key(job.params)
        # Whether the thread may have a run of the job already.
        self._searches = job.dedupe_key is not None and job.thread_id is not None
        # Whether it has the job's messages already.
        self._is_said = False
        self._has_run = False
        self._foreign_until = math.inf
        self._foreign = ""

    async def drive(self) -> RunResult:
        """Try until the run has ended or requires an action, or trying again is no use.

        Every exception but a cancellation becomes part of the result.
        """
        while True:
            failure: Exception | None = None
            self._has_run = False
            try:
                await self._attempt()
                wait = self._wait_of(self.result.run)
            except Exception as exc:  # noqa: BLE001 -- it is the job's, and must not end the others
                failure, wait = exc, self._wait_after(exc)
            if wait is None or self.result.retries == self._terms.retries:
                self.result.exception = failure
                return self.result
            self.result.retries += 1
            self._terms.on_retry()
            await anyio.sleep(wait)

    async def _attempt(self) -> None:
        stream: RunStream | None = None
        try:
            async with AsyncExitStack() as stack:
                stream = await self._enter(stack)
                await stream.until_done()
        finally:
            if stream is not None:
                self._note(stream)

    async def _enter(self, stack: AsyncExitStack) -> RunStream:
        """Open a stream of the job's run: of the one that is there, or of a new one."""
        options: dict[str, Any] = {**self._terms.options, "toolset": self._toolset()}
        found = await self._find() if self._searches else None
        if found is not None:
            self.result.run, self._has_run = found, True
            stream = self._terms.client.runs.attach(
                found.id, thread_id=self._thread_id(), **options, **self._kept()
            )
            return await stack.enter_async_context(stream)
        while True:
            try:
                async with self._terms.brake.creation():
                    await self._create_thread()
                    stream = self._terms.client.runs.stream(
                        thread_id=self._thread_id(),
                        assistant_id=self._job.assistant_id,
                        dedupe_key=self._key,
                        **options,
                        **self._params(),
                    )
                    return await stack.enter_async_context(stream)
            except ActiveRunError as exc:
                await self._wait_for_foreign(exc)

    async def _find(self) -> Run | None:
        """The job's run, if the thread has one; one that the next attempt replaces does not count.

        Costs one request for each full page of the thread's runs.
        """
        async for run in self._terms.client.runs.list(
            self._thread_id(), limit=FULL_PAGE, order="desc", **self._kept(but="include")
        ):
            if (run.metadata or {}).get(DEDUPE_KEY) == self._key:
                self._is_said = True
                return None if _is_rate_limited(run) else run
        return None

    async def _create_thread(self) -> None:
        if self.result.thread_id is None:
            # One that goes unanswered leaves an empty thread behind, which does no harm.
            thread = await self._terms.client.threads.create(
                **(self._job.thread or {}), **self._kept(but="include")
            )
            self.result.thread_id = thread.id
            if self._terms.on_thread is not None:
                self._terms.on_thread(self._job, thread.id)

    async def _wait_for_foreign(self, exc: ActiveRunError) -> None:
        """Wait for the end of a run that somebody else has on the thread."""
        now = anyio.current_time()
        self._foreign_until = min(self._foreign_until, now + FOREIGN_DEADLINE)
        if now >= self._foreign_until:
            raise exc
        if exc.run_id == self._foreign:
            # A lock that outlives its run for a moment.
            await anyio.sleep(self._pace.after(None))
        self._foreign = exc.run_id
        await self._terms.client.runs.poll(
            exc.run_id,
            thread_id=self._thread_id(),
            until=ENDED_RUN,
            deadline=self._foreign_until - now,
            **self._kept(but="include"),
        )

    def _note(self, stream: RunStream) -> None:
        """Take over what a stream has given."""
        result = self.result
        if stream.run is not None:
            self._has_run = self._is_said = True
            result.run, result.steps, result.messages = stream.run, stream.steps, stream.messages
        if self._has_run:
            result.outcome = stream.outcome

    def _wait_of(self, run: Run | None) -> float | None:
        """Seconds to wait before another run is tried; None where the job is done."""
        if run is None or not _is_rate_limited(run):
            return None
        self._searches = False
        return self._held(RunFailedError(run).retry_after)

    def _wait_after(self, exc: Exception) -> float | None:
        """Seconds to wait before the next attempt; None where it is no use, or could do harm."""
        if self._has_run or not _may_pass(exc):
            return None
        if isinstance(exc, RateLimitError):
            return self._held(exc.retry_after)
        if self.result.thread_id is not None and not _has_not_begun(exc):
            if self._key is None:
                return None  # it may have been carried out, and nothing tells
            self._searches = True
        told = exc.retry_after if isinstance(exc, APIStatusError) else None
        return self._pace.after(told)

    def _held(self, told: float | None) -> float | None:
        """Hold the whole pool; then the brake says when the job may go on."""
        wait = self._pace.after(told)
        if wait > LONGEST_WAIT:
            return None
        self._terms.brake.hold(wait)
        return 0.0

    def _toolset(self) -> Toolset | None:
        name, known = self._job.toolset, self._terms.toolsets
        if name is None:
            default: Toolset | None = self._terms.options.get("toolset")
            return default
        if name not in known:
            raise ValueError(f"there is no toolset {name!r}, only: {', '.join(known) or 'none'}")
        return known[name]

    def _params(self) -> dict[str, Any]:
        """What the run is created with; what has been said is not said again."""
        params = dict(self._job.params)
        messages = [*(params.pop("additional_messages", None) or ())]
        if self._job.message is not None:
            messages.insert(0, {"role": "user", "content": self._job.message})
        return {**params, "additional_messages": messages} if self._unsaid(messages) else params

    def _unsaid(self, messages: list[Any]) -> bool:
        return bool(messages) and not self._is_said

    def _kept(self, *, but: str = "") -> dict[str, Any]:
        """The parameters that hold for every request of the job."""
        params = self._job.params
        return {name: params[name] for name in KEPT if name in params and name != but}

    def _thread_id(self) -> str:
        assert self.result.thread_id is not None  # noqa: S101 -- a thread comes first
        return self.result.thread_id


def _new_key(params: Mapping[str, Any]) -> str | None:
    key = uuid4().hex
    try:
        with_dedupe_key(params, key)
    except ValueError:
        return None
    return key


def _is_rate_limited(run: Run) -> bool:
    error = run.last_error
    return run.status == "failed" and error is not None and error.code == "rate_limit_exceeded"


def _may_pass(exc: Exception) -> bool:
    """Whether trying again may help."""
    if isinstance(exc, APIStatusError):
        told = exc.headers.get("x-should-retry", "").lower()
        return is_transient(exc) and exc.code != "insufficient_quota" and told != "false"
    if isinstance(exc, APIConnectionError):
        return exc.retryable or isinstance(exc, AmbiguousRequestError)
    # A stream that broke off before it named its run.
    return isinstance(exc, StreamInterrupted | PoolTimeoutError)


def _has_not_begun(exc: Exception) -> bool:
    """Whether the request that failed certainly was not carried out."""
    return isinstance(exc, APIConnectionError) and exc.retryable
