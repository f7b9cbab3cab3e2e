"""The emulator's time: read in Unix seconds, moved ahead by tests."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

MANUAL_START = 1_750_000_000.0
"""Where a ManualClock starts unless told otherwise, in Unix seconds."""


class Timer:
    """A callback that waits for its moment; `cancel` takes it back."""

    __slots__ = ("_clock", "callback", "handle", "when")

    def __init__(self, clock: Clock, when: float, callback: Callable[[], object]) -> None:
        self._clock = clock
        self.when = when
        self.callback = callback
        self.handle: asyncio.TimerHandle | None = None

    def cancel(self) -> None:
        """Take the callback back; nothing happens if it has been called already."""
        self._clock.forget(self)


class Clock:
    """The system's time, which `advance` moves ahead."""

    def __init__(self) -> None:
        self._offset = 0.0
        self._timers: set[Timer] = set()

    def now(self) -> float:
        """Return the time in Unix seconds."""
        return time.time() + self._offset

    def advance(self, seconds: float) -> None:
        """Move the time ahead and call at once all that has become due, in order."""
        self._offset += seconds
        for timer in sorted(self._timers, key=lambda timer: timer.when):
            self._disarm(timer)
            if timer.when <= self.now():
                self._go_off(timer)
            else:
                self._arm(timer)

    def call_at(self, when: float, callback: Callable[[], object]) -> Timer:
        """Call `callback` once at `when` (Unix seconds); needs a running loop."""
        timer = Timer(self, when, callback)
        self._timers.add(timer)
        self._arm(timer)
        return timer

    async def sleep(self, seconds: float) -> None:
        """Return when so many seconds of this clock have passed."""
        awake = asyncio.Event()
        timer = self.call_at(self.now() + seconds, awake.set)
        try:
            await awake.wait()
        finally:
            timer.cancel()

    def forget(self, timer: Timer) -> None:
        """Drop a timer, whether it has gone off or not."""
        self._timers.discard(timer)
        self._disarm(timer)

    def _arm(self, timer: Timer) -> None:
        delay = max(0.0, timer.when - self.now())
        timer.handle = asyncio.get_running_loop().call_later(delay, self._go_off, timer)

    def _disarm(self, timer: Timer) -> None:
        if timer.handle is not None:
            timer.handle.cancel()
            timer.handle = None

    def _go_off(self, timer: Timer) -> None:
        if timer in self._timers:
            self.forget(timer)
            timer.callback()


class ManualClock(Clock):
    """Time that stands still until `advance` is called."""

    def __init__(self, start: float = MANUAL_START) -> None:
        super().__init__()
        self._offset = start

    def now(self) -> float:
        """Return the time in Unix seconds."""
        return self._offset

    def _arm(self, timer: Timer) -> None:
        if timer.when <= self.now():
            timer.handle = asyncio.get_running_loop().call_later(0, self._go_off, timer)
