"""Creating on a thread: what to do where a run holds the thread, and where no answer came."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, TypedDict, TypeVar, overload
from weakref import WeakValueDictionary

from asyncruns.attach import poll
from asyncruns.errors import ActiveRunError, AmbiguousRequestError, AsyncRunsError
from asyncruns.models import ENDED_RUN, Run

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping

    from asyncruns.stream import RunService

__all__ = ["DEDUPE_KEY", "CreationOptions", "Creator", "with_dedupe_key"]

DEDUPE_KEY: Final = "asyncruns_dedupe_key"
"""The metadata key under which a run carries the caller's `dedupe_key`."""

MAX_PAIRS: Final = 16
"""How many metadata pairs an object can have."""

SEARCH_DEADLINE: Final = 5.0
"""Seconds that a run whose create went unanswered is looked for before it is created again."""

SEARCH_PAUSE: Final = 0.5
"""Seconds between two looks for it."""

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
        self._on_active_run = on_active_run
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
        deadline_at = asyncio.get_running_loop().time() + self._deadline
        async with self._turn():
            while True:
                try:
                    return await send()
                except AmbiguousRequestError:
                    found = find and await _searched(find)
                    if find is None:
                        raise
                except ActiveRunError as exc:
                    found = find and await find()
                    if not found:
                        await self._freed(exc, deadline_at)
                if found:
                    return found

    @asynccontextmanager
    async def _turn(self) -> AsyncGenerator[None, None]:
        if self._on_active_run == "raise":
            yield
            return
        lock = self._locks.setdefault(self._key, asyncio.Lock())
        async with lock:
            yield

    async def _freed(self, exc: ActiveRunError, deadline_at: float) -> None:
        """Wait for the end of the run that holds the thread."""
        if self._on_active_run == "raise":
            raise exc
        if self._on_active_run == "cancel":
            try:
                await self._service.cancel(self._thread_id, exc.run_id)
            except AsyncRunsError as refusal:
                # It may have ended in between; if it lives on, polling says so.
                exc.add_note(f"cancelling it failed: {refusal}")
        await poll(
            self._service,
            self._thread_id,
            exc.run_id,
            until=ENDED_RUN,
            deadline_at=deadline_at,
        )


async def _searched(find: Callable[[], Awaitable[Run | None]]) -> Run | None:
    """Look for a run until it shows up, or is not to be expected any more."""
    now = asyncio.get_running_loop().time
    deadline_at = now() + SEARCH_DEADLINE
    while True:
        found = await find()
        if found is not None or now() + SEARCH_PAUSE > deadline_at:
            return found
        await asyncio.sleep(SEARCH_PAUSE)


def with_dedupe_key(params: Mapping[str, Any], key: str | None) -> dict[str, Any]:
    """The parameters of a create with the key in the metadata; ValueError if it has no room."""
    if key is None:
        return dict(params)
    metadata = {**(params.get("metadata") or {}), DEDUPE_KEY: key}
    if len(metadata) > MAX_PAIRS:
        raise ValueError(
            f"metadata has {MAX_PAIRS} pairs already: no room for the dedupe_key; drop one"
        )
    return {**params, "metadata": metadata}
