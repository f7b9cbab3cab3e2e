"""Frames to one browser: an async iterator with heartbeats, and an end that is noticed.

A web framework that loses its browser while it sends cancels the task that iterates, or lets it
fail, and tells the iterator nothing. So the iterator watches that task: when it ends, it closes.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Final, Self

from asyncruns.relay.frames import HEARTBEAT

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["News", "Outlet"]

GRACE: Final = 1.0
"""Seconds in which another task may go on reading where the one that did has ended by itself."""


class News:
    """Wakes everybody who waits; costs nothing where nobody does."""

    __slots__ = ("_next",)

    def __init__(self) -> None:
        self._next: asyncio.Future[None] | None = None

    def tell(self) -> None:
        """Wake who waits now."""
        if self._next is not None:
            self._next.set_result(None)
            self._next = None

    async def wait(self, seconds: float | None) -> bool:
        """Wait for the next call of `tell`; False where none comes in time."""
        if self._next is None:
            self._next = asyncio.get_running_loop().create_future()
        done, _ = await asyncio.wait({self._next}, timeout=seconds)
        return bool(done)


class Outlet(ABC):
    """The bytes of one answer, a frame at a time, and a comment every `heartbeat` silent seconds.

    Whoever iterates need not close it: it closes at the end, when it is cancelled while it waits,
    and when the task that iterates ends. `async with` closes it, too.
    """

    def __init__(self, heartbeat: float | None) -> None:
        if heartbeat is not None and not heartbeat > 0:
            raise ValueError(f"heartbeat must be seconds above 0, or None, not {heartbeat!r}")
        self._heartbeat = heartbeat
        self._closed = False
        self._reads = False
        self._reader: asyncio.Task[object] | None = None
        self._closing: asyncio.TimerHandle | None = None

    async def open(self) -> Self:
        """Get ready to be read; reading does so by itself."""
        return self

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if self._reads:
            raise RuntimeError("another task is reading these frames")
        if self._closed:
            raise StopAsyncIteration
        self._reads = True
        try:
            self._watch()
            self._begin()
            while True:
                frame = self._next()
                if frame is not None:
                    return frame
                if self._is_over:
                    break
                if not await self._news.wait(self._heartbeat):
                    return HEARTBEAT
        except asyncio.CancelledError:
            await self.aclose()
            raise
        finally:
            self._reads = False
        await self.aclose()
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Let go of what it reads from; does nothing the second time."""
        self._leave()

    @property
    @abstractmethod
    def _news(self) -> News:
        """What tells of frames, and of the end."""

    @property
    @abstractmethod
    def _is_over(self) -> bool:
        """Whether no more frames will come."""

    @abstractmethod
    def _begin(self) -> None:
        """Start, unless that is done."""

    @abstractmethod
    def _next(self) -> bytes | None:
        """The next frame, if there is one."""

    @abstractmethod
    def _let_go(self) -> None:
        """Let go of what is read from; called once."""

    def _leave(self) -> None:
        if not self._closed:
            self._closed = True
            self._forget_reader()
            self._let_go()

    def _watch(self) -> None:
        """Watch the task that reads, which is this one."""
        task = asyncio.current_task()
        if task is not self._reader or self._closing is not None:
            self._forget_reader()
            self._reader = task
            if task is not None:
                task.add_done_callback(self._miss)

    def _forget_reader(self) -> None:
        if self._closing is not None:
            self._closing.cancel()
            self._closing = None
        if self._reader is not None:
            self._reader.remove_done_callback(self._miss)
            self._reader = None

    def _miss(self, task: asyncio.Task[object]) -> None:
        """Close after a reader that has ended; a reader of one frame only may have a successor."""
        if task.cancelled():
            self._leave()
        else:
            self._closing = task.get_loop().call_later(GRACE, self._leave)
