"""Creating on a thread: what to do where a run holds the thread, and where no answer came."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, nullcontext
from typing import TYPE_CHECKING, ClassVar, Final, Literal, TypedDict, TypeVar, overload
from weakref import WeakValueDictionary

from asyncruns.attach import poll
from asyncruns.errors import (
    ActiveRunError,
    AmbiguousRequestError,
    AsyncRunsError,
    RunTimeoutError,
)
from asyncruns.follow import Pace
from asyncruns.models import ENDED_RUN, Run
from asyncruns.watch import Limit

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from asyncruns.service import RunService

__all__ = ["CreationOptions", "Creator"]

SEARCH_DEADLINE: Final = 5.0
"""Seconds that a run whose create went unanswered is looked for before it is created again."""

SEARCH_PAUSE: Final = 0.5
"""Seconds between two looks for it."""

MAX_REPEATS: Final = 1
"""How often a create is sent again after it went unanswered and its run was not found."""

ThingT = TypeVar("ThingT")

OnActiveRun = Literal["raise", "wait", "cancel"]


class CreationOptions(TypedDict, total=False):
    """What every method that creates something on a thread takes."""

    on_active_run: OnActiveRun
    """Where a live run holds the thread: `raise` ActiveRunError, the default, `wait` for the run's
    end, or `cancel` it and wait."""
    active_run_deadline: float
    """Seconds to wait for that end: 600 unless given. Then RunTimeoutError is raised."""


class Creator:
    """Creates things on one thread, one at a time, by the rules of CreationOptions."""

    # One lock a thread and client: creates that wait for the same thread queue up.
    _locks: ClassVar[WeakValueDictionary[tuple[int, str], asyncio.Lock]] = WeakValueDictionary()

    def __init__(
        self,
        service: RunService,
        client_id: int,
        thread_id: str,
        *,
        on_active_run: OnActiveRun = "raise",
        active_run_deadline: float = 600.0,
    ) -> None:
        if on_active_run not in {"raise", "wait", "cancel"}:
            raise ValueError(f"on_active_run must be raise, wait or cancel, not {on_active_run!r}")
        self._service = service
        self._key = (client_id, thread_id)
        self._thread_id = thread_id
        self._on_active_run: OnActiveRun = on_active_run
        self._deadline = active_run_deadline

    @overload
    async def create(self, send: Callable[[], Awaitable[ThingT]]) -> ThingT: ...
    @overload
    async def create(
        self,
        send: Callable[[], Awaitable[ThingT]],
        find: Callable[[], Awaitable[Run | None]] | None,
    ) -> ThingT | Run: ...
    async def create(
        self,
        send: Callable[[], Awaitable[ThingT]],
        find: Callable[[], Awaitable[Run | None]] | None = None,
    ) -> ThingT | Run:
        """Send a create, and again once the thread is free.

        `find` looks for a run that an earlier, unanswered create may have made; without it such
        a create raises AmbiguousRequestError. Gives what was created, or the run that was found.
        """
        creation = _Creation(self._service, self._thread_id, self._on_active_run, self._deadline)
        waits = self._on_active_run != "raise"
        async with self._turn(creation) if waits else nullcontext():
            while True:
                try:
                    return await send()
                except AmbiguousRequestError as exc:
                    found = await creation.unanswered(exc, find)
                except ActiveRunError as exc:
                    found = await creation.locked(exc, find)
                if found is not None:
                    return found

    @asynccontextmanager
    async def _turn(self, creation: _Creation) -> AsyncGenerator[None, None]:
        """Wait for the creates on the same thread that came first."""
        lock = self._locks.setdefault(self._key, asyncio.Lock())
        async with creation.in_time("creates on the same thread before this one"):
            await lock.acquire()
        try:
            yield
        finally:
            lock.release()


class _Creation:
    """One create, over all attempts at it: what has gone wrong with it so far."""

    def __init__(
        self, service: RunService, thread_id: str, on_active_run: OnActiveRun, deadline: float
    ) -> None:
        self._service = service
        self._thread_id = thread_id
        self._on_active_run = on_active_run
        self._deadline = deadline
        self._deadline_at = asyncio.get_running_loop().time() + deadline
        self._unanswered = 0
        self._seen_over: set[str] = set()
        self._pace = Pace()

    async def unanswered(
        self, exc: AmbiguousRequestError, find: Callable[[], Awaitable[Run | None]] | None
    ) -> Run | None:
        """Look for the run of a create that went unanswered; None if there certainly is none."""
        self._unanswered += 1
        found = None if find is None else await _searched(find, exc)
        if found is None and (find is None or self._unanswered > MAX_REPEATS):
            raise exc
        return found

    async def locked(
        self, exc: ActiveRunError, find: Callable[[], Awaitable[Run | None]] | None
    ) -> Run | None:
        """Look whether the run that holds the thread is our own; wait for its end if it is not."""
        found = None if find is None else await find()
        if found is not None:
            return found
        if self._on_active_run == "raise":
            raise exc
        async with self.in_time(f"run {exc.run_id}, which holds the thread, to end"):
            await self._freed(exc)
        return None

    async def _freed(self, exc: ActiveRunError) -> None:
        """Wait for the end of the run that holds the thread."""
        if exc.run_id in self._seen_over:
            # A lock that outlives its run for a moment.
            await asyncio.sleep(self._pace.after(None))
        elif self._on_active_run == "cancel":
            try:
                await self._service.cancel(self._thread_id, exc.run_id)
            except AsyncRunsError as refusal:
                # It may have ended in between; if it lives on, polling says so.
                exc.add_note(f"cancelling it failed: {refusal}")
        await poll(self._service, self._thread_id, exc.run_id, until=ENDED_RUN)
        self._seen_over.add(exc.run_id)

    def in_time(self, awaited: str) -> Limit:
        """Bound a wait by the deadline."""
        message = f"{self._deadline:g} s were too short for {awaited}"
        return Limit(self._deadline_at, lambda: RunTimeoutError(message))


async def _searched(
    find: Callable[[], Awaitable[Run | None]], unanswered: AmbiguousRequestError
) -> Run | None:
    """Look for a run until it shows up, or is not to be expected any more.

    Raises AmbiguousRequestError where the last looks failed: then it may exist all the same.
    """
    now = asyncio.get_running_loop().time
    deadline_at = now() + SEARCH_DEADLINE
    while True:
        failure: AsyncRunsError | None = None
        try:
            found = await find()
        except AsyncRunsError as exc:
            found, failure = None, exc
        if found is not None:
            return found
        if now() + SEARCH_PAUSE > deadline_at:
            break
        await asyncio.sleep(SEARCH_PAUSE)
    if failure is not None:
        raise unanswered from failure
    return None
