"""Jobs to results: many runs in one process, so many at a time."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import AsyncIterable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final, Self, Unpack
from weakref import WeakValueDictionary

import anyio
import anyio.lowlevel
import msgspec

from asyncruns.attempts import Attempts, Terms
from asyncruns.brake import Brake
from asyncruns.errors import AsyncRunsError, RateLimitError
from asyncruns.jobs import RunJob, RunResult
from asyncruns.options import StreamOptions
from asyncruns.service import close

if TYPE_CHECKING:
    from collections.abc import (
        AsyncGenerator,
        AsyncIterator,
        Callable,
        Iterable,
        Mapping,
    )
    from types import TracebackType

    from anyio.abc import TaskGroup

    from asyncruns.client import Client
    from asyncruns.hooks import RetryInfo
    from asyncruns.toolset import Toolset

__all__ = ["PoolCounts", "RunPool"]

RETRIES: Final = 5
"""How often a job is tried again unless the pool is told otherwise."""


LOOK_AHEAD: Final = 2
"""How many jobs a `map` may have taken, for each that may run: the others wait for threads."""


class PoolCounts(msgspec.Struct, kw_only=True):
    """How many jobs a pool has, where, at the moment of looking."""

    waiting: int = 0
    """Taken, and waiting for their thread or for one of the pool's places."""
    running: int = 0
    """Being carried out."""
    done: int = 0
    """Over: they have their results."""
    failed: int = 0
    """Of those that are over, the ones whose run is not `completed`."""
    retried: int = 0
    """Attempts beyond the first of each job."""


class RunPool:
    """Carries out jobs with one client, `concurrency` of them at a time.

    ::

        async with RunPool(client, concurrency=200) as pool:
            async for result in pool.map(jobs):
                print(result.outcome, result.run)

    Every job that is taken gets one result, whatever becomes of it. The jobs of one thread are
    carried out one after the other, in the order in which they were taken, and wait for a live run
    that somebody else has there.

    A job is tried again up to `retries` times: where a rate limit refuses or fails its run, and
    where the server is out of reach before there is a run. At a rate limit the whole pool creates
    nothing for the time that the server names, and then begins slowly.

    `toolsets` are those that jobs may name; `toolset`, among the options of `runs.stream` that hold
    for every run, is for the jobs that name none. `on_thread` is told of each thread that is
    created for a job before the run is: a program that keeps it can give the same job with its
    `thread_id` after a crash. The client needs as many connections as there are jobs at a time.

    Leaving the block stops what is still going, as `cancel` does. It does not stop the runs at the
    server, unless there is `cancel_on_exit`.
    """

    def __init__(
        self,
        client: Client,
        *,
        concurrency: int = 200,
        retries: int = RETRIES,
        toolsets: Mapping[str, Toolset] | None = None,
        on_thread: Callable[[RunJob, str], object] | None = None,
        **options: Unpack[StreamOptions],
    ) -> None:
        if concurrency < 1:
            raise ValueError(f"concurrency must be at least 1, not {concurrency}")
        if retries < 0:
            raise ValueError(f"retries must be at least 0, not {retries}")
        unknown = options.keys() - StreamOptions.__annotations__.keys()
        if unknown:
            raise TypeError(f"RunPool() got an unexpected keyword argument {min(unknown)!r}")
        self._concurrency = concurrency
        self._brake = Brake(concurrency)
        self._terms = Terms(
            client=client.with_options(on_retry=self._hear),
            brake=self._brake,
            retries=retries,
            toolsets=toolsets or {},
            options=options,
            on_thread=on_thread,
            on_retry=self._count_retry,
        )
        self._places = anyio.CapacityLimiter(concurrency)
        self._turns: WeakValueDictionary[str, anyio.Lock] = WeakValueDictionary()
        self._taken = self._running = self._done = self._failed = self._retried = 0
        self._blocked = 0  # how many of the taken ones wait for their thread
        self._group: TaskGroup | None = None
        self._takes = False
        self._is_cancelled = False
        self._scopes: set[anyio.CancelScope] = set()
        self._pulls: set[anyio.CancelScope] = set()
        self._changed = anyio.Event()

    @property
    def counts(self) -> PoolCounts:
        """How many jobs the pool has, now."""
        return PoolCounts(
            waiting=self._taken - self._running,
            running=self._running,
            done=self._done,
            failed=self._failed,
            retried=self._retried,
        )

    @property
    def paused_for(self) -> float:
        """Seconds until runs are created again after a rate limit; 0 without one."""
        return self._brake.closed_for

    async def __aenter__(self) -> Self:
        if self._group is not None:
            raise AsyncRunsError("a pool is entered once: make another one")
        self._group = await anyio.create_task_group().__aenter__()
        self._takes = True
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.cancel()
        if self._group is not None:
            # What left the block goes on as it is: the group would wrap it.
            await self._group.__aexit__(None, None, None)

    async def map(
        self, jobs: Iterable[RunJob] | AsyncIterable[RunJob]
    ) -> AsyncGenerator[RunResult, None]:
        """Carry out jobs and give their results as they come.

        Jobs are taken one by one, as places become free; where some must wait for their threads,
        others are taken instead, until there are twice as many as may run at a time. None is taken
        while `concurrency` results wait to be read. An exception of `jobs` is raised once the
        results of the jobs before it have been given.
        """
        group = self._checked()
        feed = _Feed(jobs)
        group.start_soon(self._feed, feed)
        try:
            while feed.results or not feed.is_over:
                if feed.results:
                    result = feed.results.popleft()
                    self._notify()
                    yield result
                else:
                    await self._change()
            if feed.failure is not None:
                raise feed.failure
        finally:
            feed.scope.cancel()

    async def run(self, job: RunJob) -> RunResult:
        """Carry out one job under the pool's rules, and give its result."""
        self._checked()
        self._taken += 1
        return await self._finish(Attempts(self._terms, job))

    async def drain(self) -> None:
        """Take no more jobs, and wait until those that have been taken are over.

        Their results are given by `map` as ever, which ends then.
        """
        self._stop_taking()
        while self._taken:
            await self._change()

    def cancel(self) -> None:
        """Stop at once: what has been taken and is not over gets a result with an exception.

        The runs go on at the server, unless there is `cancel_on_exit`.
        """
        self._stop_taking()
        self._is_cancelled = True
        for scope in [*self._scopes]:
            scope.cancel()

    def _checked(self) -> TaskGroup:
        if self._group is None:
            raise AsyncRunsError("the pool is not open: enter it with `async with` first")
        if not self._takes:
            raise AsyncRunsError("the pool takes no more jobs: it was drained, cancelled or left")
        return self._group

    def _stop_taking(self) -> None:
        self._takes = False
        for pull in [*self._pulls]:
            pull.cancel()
        self._notify()

    async def _feed(self, feed: _Feed) -> None:
        """Take the jobs of a `map`, and start them."""
        try:
            with feed.scope:
                async with anyio.create_task_group() as workers:
                    try:
                        await self._start_all(feed, workers)
                    except Exception as exc:  # noqa: BLE001 -- whoever gave the jobs gets it
                        feed.failure = exc
        finally:
            feed.is_over = True
            self._notify()

    async def _start_all(self, feed: _Feed, workers: TaskGroup) -> None:
        async with feed.opened() as jobs:
            while (job := await self._take(jobs, feed)) is not None:
                self._taken += 1
                feed.taken += 1
                workers.start_soon(self._work, job, feed)
                # Now it begins, and is seen to wait for its thread if it must.
                await anyio.lowlevel.checkpoint()

    async def _take(self, jobs: AsyncIterator[RunJob], feed: _Feed) -> RunJob | None:
        """The next job, as soon as there is room for it; None where there is to be none."""
        while self._takes and not self._has_room(feed):
            await self._change()
        if not self._takes:
            return None
        with anyio.CancelScope() as pull:
            self._pulls.add(pull)
            try:
                job = await anext(jobs, None)
            finally:
                self._pulls.discard(pull)
            if not isinstance(job, RunJob | None):
                raise TypeError(f"a pool takes objects of RunJob, and not {job!r}")
            return job
        return None

    def _has_room(self, feed: _Feed) -> bool:
        places = self._concurrency
        return (
            self._taken - self._blocked < places
            and feed.taken < LOOK_AHEAD * places
            and len(feed.results) < places
        )

    async def _work(self, job: RunJob, feed: _Feed) -> None:
        attempts = Attempts(self._terms, job)
        try:
            result = await self._finish(attempts)
        except anyio.get_cancelled_exc_class() as exc:
            if anyio.current_effective_deadline() == -math.inf:  # a scope around us is cancelled
                raise
            # A hook that cancels the task it is in: the group would say nothing of it.
            result = attempts.result
            result.exception = AsyncRunsError("the job was cancelled from within")
            result.exception.__cause__ = exc
            self._count(result)
        finally:
            feed.taken -= 1
        feed.results.append(result)
        self._notify()

    async def _finish(self, attempts: Attempts) -> RunResult:
        """Carry out a job that has been counted as taken."""
        try:
            with anyio.CancelScope() as scope:
                self._scopes.add(scope)
                if self._is_cancelled:
                    scope.cancel()
                try:
                    await self._carry_out(attempts)
                finally:
                    self._scopes.discard(scope)
            if scope.cancelled_caught:
                message = "the pool was cancelled, or left, before the job was over"
                attempts.result.exception = AsyncRunsError(message)
            self._count(attempts.result)
            return attempts.result
        finally:
            self._taken -= 1
            self._notify()

    async def _carry_out(self, attempts: Attempts) -> None:
        async with self._turn(attempts.result.thread_id), self._places:
            self._running += 1
            try:
                await attempts.drive()
            finally:
                self._running -= 1

    @asynccontextmanager
    async def _turn(self, thread_id: str | None) -> AsyncGenerator[None, None]:
        """Wait for the jobs of the same thread that were taken first."""
        if thread_id is None:
            yield
            return
        lock = self._turns.setdefault(thread_id, anyio.Lock())
        if lock.locked():
            self._blocked += 1
            self._notify()
            try:
                await lock.acquire()
            finally:
                self._blocked -= 1
        else:
            await lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def _count(self, result: RunResult) -> None:
        self._done += 1
        self._failed += result.exception is not None or result.outcome != "completed"

    def _count_retry(self) -> None:
        self._retried += 1

    def _hear(self, retry: RetryInfo) -> None:
        """Hold the pool where a request of it meets a rate limit and is sent again by itself."""
        if isinstance(retry.error, RateLimitError):
            self._brake.hold(retry.delay)

    def _notify(self) -> None:
        """Wake all who wait for something to change."""
        self._changed.set()
        self._changed = anyio.Event()

    async def _change(self) -> None:
        await self._changed.wait()


class _Feed:
    """The jobs of one `map`, and the results of theirs that nobody has read yet."""

    def __init__(self, jobs: Iterable[RunJob] | AsyncIterable[RunJob]) -> None:
        self._jobs = jobs
        self.results: deque[RunResult] = deque()
        self.taken = 0
        self.failure: Exception | None = None
        self.is_over = False
        self.scope = anyio.CancelScope()

    @asynccontextmanager
    async def opened(self) -> AsyncGenerator[AsyncIterator[RunJob], None]:
        """The jobs as they are taken; a generator that gives them is closed."""
        jobs = aiter(self._jobs) if isinstance(self._jobs, AsyncIterable) else _each(self._jobs)
        try:
            yield jobs
        finally:
            await close(jobs)


async def _each(jobs: Iterable[RunJob]) -> AsyncGenerator[RunJob, None]:
    for job in jobs:
        yield job
