"""Reads to reads that end in time: one timer, however many reads there are."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["Silence", "Watch"]


class Silence(TimeoutError):  # noqa: N818 -- caught one step above, never seen
    """A read was given up by the watch, and by nobody else."""


class Watch:
    """Bounds the time of single reads with one timer, however many reads there are.

    A timer for each read would cost more than the read. This one looks, when it fires, since when
    the current read waits, and is set anew for the rest. A read that waits too long is cancelled
    and raises Silence.
    """

    __slots__ = ("_cancelling", "_due", "_expired", "_loop", "_task", "_timer", "limit")

    def __init__(self, limit: float | None) -> None:
        self.limit = math.inf if limit is None else limit
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[Any] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._due = math.inf
        self._expired = False
        self._cancelling = 0

    def over(self, deadline_at: float | None) -> Self:
        """Watch a read that must end at a time of the loop's clock, too."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        self._due = self._loop.time() + self.limit
        if deadline_at is not None:
            self._due = min(self._due, deadline_at)
        return self

    def __enter__(self) -> None:
        if self._due == math.inf or self._loop is None:
            return
        self._task = asyncio.current_task()
        self._cancelling = self._task.cancelling() if self._task is not None else 0
        if self._timer is not None and self._timer.when() > self._due:
            self.stop()
        if self._timer is None:
            self._timer = self._loop.call_at(self._due, self._look)

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

    def is_past(self, when: float | None) -> bool:
        """Whether a time of the loop's clock has come."""
        return when is not None and self._loop is not None and self._loop.time() >= when

    def stop(self) -> None:
        """Take the timer back: no read is to come."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        if self._task is None or self._loop is None:
            return  # nobody reads: the next read sets the timer
        if self._loop.time() >= self._due:
            self._expired = True
            self._task.cancel()
        else:
            self._timer = self._loop.call_at(self._due, self._look)
