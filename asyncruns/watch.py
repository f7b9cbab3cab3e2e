"""Waits to waits that end in time: one of them, or reads however many."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

__all__ = ["Limit", "Silence", "Watch"]


class Limit:
    """Bounds what an `async with` block awaits by a time of the loop's clock; None for no bound.

    Past it, the block is cancelled, and what `error` gives is raised; a TimeoutError of the
    block's own stays what it is.
    """

    __slots__ = ("_error", "_timeout")

    def __init__(self, at: float | None, error: Callable[[], Exception]) -> None:
        self._timeout = None if at is None else asyncio.timeout_at(at)
        self._error = error

    async def __aenter__(self) -> None:
        if self._timeout is not None:
            await self._timeout.__aenter__()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._timeout is None:
            return
        try:
            await self._timeout.__aexit__(exc_type, exc, traceback)
        except TimeoutError as late:
            raise self._error() from late


class Silence(TimeoutError):  # noqa: N818 -- caught one step above, never seen
    """A read was given up by the watch, and by nobody else."""


class Watch:
    """Bounds the time of single reads with one timer, however many reads there are.

    Each read is a `with` block. A timer for each would cost more than the read: this one looks,
    when it fires, since when the current read waits, and is set anew for the rest. A read that
    waits too long is cancelled and raises Silence.
    """

    __slots__ = ("_began", "_cancelling", "_expired", "_loop", "_task", "_timer", "_until", "limit")

    def __init__(self, limit: float | None) -> None:
        self.limit = math.inf if limit is None else limit
        self._until = math.inf
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[Any] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._began = 0.0
        self._expired = False
        self._cancelling = 0

    def end_by(self, until: float | None) -> None:
        """Let reads end at a time of the loop's clock, too; None for no such time."""
        self._until = math.inf if until is None else until
        if self._timer is not None and self._timer.when() > self._until:
            self.stop()

    def __enter__(self) -> None:
        loop = self._loop
        if loop is None:
            loop = self._loop = asyncio.get_running_loop()
        self._task = task = asyncio.current_task(loop)
        self._cancelling = 0 if task is None else task.cancelling()
        self._began = loop.time()
        if self._timer is None:
            self._set(loop)

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        task, self._task = self._task, None
        if self._expired and task is not None:
            self._expired = False
            if task.uncancel() <= self._cancelling and exc_type is asyncio.CancelledError:
                raise Silence from exc

    @property
    def is_waiting(self) -> bool:
        """Whether a read is under way."""
        return self._task is not None

    def is_past(self, when: float | None) -> bool:
        """Whether a time of the loop's clock has come."""
        return when is not None and self._loop is not None and self._loop.time() >= when

    def stop(self) -> None:
        """Take the timer back: no read is to come."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    @property
    def _due(self) -> float:
        return min(self._began + self.limit, self._until)

    def _set(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._due < math.inf:
            self._timer = loop.call_at(self._due, self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        if self._task is None:
            return  # nobody reads: the next read sets the timer
        if loop.time() >= self._due:
            self._expired = True
            self._task.cancel()
        else:
            self._set(loop)
