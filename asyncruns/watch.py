"""Waits to waits that end in time: one of them, or reads however many."""

from __future__ import annotations

import asyncio
import math
from time import monotonic
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

__all__ = ["Limit", "Watch"]


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


class Watch:
    """Bounds the time of single reads with one timer, however many reads there are.

    A timer for each would cost more than the read: this one looks, when it fires, since when the
    current read waits, and is set anew for the rest. A read that waits too long is cancelled, and
    `has_ended` tells that from a cancellation that comes from elsewhere.
    """

    __slots__ = ("_began", "_cancelling", "_expired", "_loop", "_timer", "_until", "limit", "task")

    def __init__(self, limit: float | None) -> None:
        self.limit = math.inf if limit is None else limit
        self.task: asyncio.Task[Any] | None = None
        """The task that reads; whoever began a read sets it to None after the read."""
        self._until = math.inf
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._began = 0.0
        self._expired = False
        self._cancelling = 0

    def end_by(self, until: float | None) -> None:
        """Let reads end at a time of the loop's clock, too; None for no such time."""
        self._until = math.inf if until is None else until
        if self._timer is not None and self._timer.when() > self._until:
            self._timer.cancel()
            self._timer = None

    def begin(self) -> None:
        """Watch a read that this task is about to wait for."""
        loop = self._loop
        if loop is None:
            loop = self._loop = asyncio.get_running_loop()
        task = self.task = asyncio.current_task(loop)
        if self._expired and task is not None:  # the source went on as if nothing had been
            self._expired = False
            task.uncancel()
        self._cancelling = 0 if task is None else task.cancelling()
        self._began = monotonic()  # the loop's `time` is a call more
        if self._timer is None:
            self._set(loop)

    def has_ended(self, exc: BaseException) -> bool:
        """Whether the read has raised this because it was given up here, and nowhere else."""
        task, self.task = self.task, None
        if not self._expired or task is None:
            return False
        self._expired = False
        return task.uncancel() <= self._cancelling and isinstance(exc, asyncio.CancelledError)

    def is_past(self, when: float | None) -> bool:
        """Whether a time of the loop's clock has come."""
        return when is not None and self._loop is not None and self._loop.time() >= when

    def stop(self) -> None:
        """Take the timer back: no read is to come."""
        self.task = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _left(self, loop: asyncio.AbstractEventLoop) -> float:
        """Seconds until the read that waits has waited too long."""
        return min(self._began + self.limit - monotonic(), self._until - loop.time())

    def _set(self, loop: asyncio.AbstractEventLoop) -> None:
        left = self._left(loop)
        if left < math.inf:
            self._timer = loop.call_later(left, self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        if self.task is None:
            return  # nobody reads: the next read sets the timer
        if self._left(loop) <= 0:
            self._expired = True
            self.task.cancel()
        else:
            self._set(loop)
