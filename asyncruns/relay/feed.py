"""A stream to whoever hands it on: read to its end by a task that has an owner.

The task enters the stream, reads it and leaves it. So a browser's answer may be cancelled at any
await, by any means, and the stream is still left in order: nothing but its owner cancels the task,
and that once.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from asyncruns.cancellation import finish
from asyncruns.errors import AsyncRunsError, StreamInterrupted
from asyncruns.events import DoneEvent, ErrorEvent
from asyncruns.relay.frames import DONE, error_data

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncruns.events import Event
    from asyncruns.stream import RunStream

__all__ = ["Feed"]

_log: Final = logging.getLogger("asyncruns")

# The loop itself keeps only weak references to tasks.
_READING: Final[set[asyncio.Task[None]]] = set()


class Feed:
    """Reads a stream that was not entered, and hands on what comes.

    `take` gets the events, and `end` gets, once, the name and the data of the last frame: `done` at
    the true end, or else `error`. The `done` of each tool round is held back, and so is an `error`
    of the server: the stream may still go on after it. While `room` is cleared, nothing is read.
    """

    def __init__(
        self,
        stream: RunStream,
        take: Callable[[Event], None],
        end: Callable[[str, bytes], None],
    ) -> None:
        self.stream = stream
        self.error: Exception | None = None
        self.room = asyncio.Event()
        self.room.set()
        self._take = take
        self._tell_end = end
        self._opened = asyncio.Event()
        self._ended = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._left = False

    @property
    def is_over(self) -> bool:
        """Whether the last frame has been handed on."""
        return self._ended.is_set()

    def start(self) -> None:
        """Begin to read; does nothing the second time. Raises AsyncRunsError once it was left."""
        if self._task is None:
            if self._ended.is_set():
                raise AsyncRunsError("the stream was closed before it was read")
            self._task = asyncio.create_task(self._run())
            _READING.add(self._task)
            self._task.add_done_callback(self._settle)

    async def open(self) -> None:
        """Return when the stream is open; raises what opening it raises."""
        self.start()
        try:
            await self._opened.wait()
        except asyncio.CancelledError:
            await self.aclose()
            raise
        if self.error is not None and self._ended.is_set():
            raise self.error

    async def until_done(self) -> None:
        """Return when the last frame has been handed on."""
        await self._ended.wait()

    def leave(self) -> None:
        """Have the stream left; whoever wants to wait for it calls `aclose`."""
        if self._left or self._ended.is_set():
            return
        self._left = True
        if self._task is None:
            self._fail(_left())
        else:
            self._task.cancel()

    async def aclose(self) -> None:
        """Leave the stream, and wait until it is left, however often this task is cancelled."""
        self.leave()
        if self._task is not None and self._task is not asyncio.current_task():
            await finish(self._task)

    async def _run(self) -> None:
        try:
            async with self.stream:
                self._opened.set()
                await self._hand_on()
        except asyncio.CancelledError:
            self._fail(_left())
            await self.stream.aclose()  # an entering that was cancelled has left nothing yet
            raise
        except Exception as exc:  # noqa: BLE001 -- whatever it is, whoever reads must be told
            self._fail(exc)

    async def _hand_on(self) -> None:
        take, room, reported = self._take, self.room, None
        try:
            async for event in self.stream:
                if isinstance(event, ErrorEvent):
                    reported = event.raw
                elif not isinstance(event, DoneEvent):
                    take(event)
                    if not room.is_set():
                        await room.wait()
        except asyncio.CancelledError:
            self._fail(_left())  # at once: leaving may take its time
            raise
        except Exception as exc:  # noqa: BLE001 -- as below; the block is left in order
            self._fail(exc, reported)
        else:
            self._end(DoneEvent.event, DONE)

    def _fail(self, error: Exception, reported: bytes | None = None) -> None:
        if self._ended.is_set():
            return
        self.error = error
        foreign = None if isinstance(error, AsyncRunsError) else error
        if not self._left:
            _log.warning("a run that is relayed has failed: %s", error, exc_info=foreign)
        self._end(ErrorEvent.event, error_data(error, reported))

    def _settle(self, task: asyncio.Task[None]) -> None:
        _READING.discard(task)
        self._fail(_left())  # a task that was cancelled before its first turn has told nobody
        self._opened.set()

    def _end(self, name: str, data: bytes) -> None:
        self._ended.set()
        self._tell_end(name, data)


def _left() -> StreamInterrupted:
    return StreamInterrupted("the run's stream was left before its end")
