"""What all runs share: the clock, the ids, the pace of the deltas, and the tasks."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from asyncruns.emulator.clock import Clock
    from asyncruns.emulator.ids import Ids


class Stage:
    """Where runs are performed; it owns their tasks."""

    def __init__(self, *, clock: Clock, ids: Ids, token_rate: float | None) -> None:
        self.clock = clock
        self.ids = ids
        self.token_rate = token_rate
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    def now(self) -> int:
        """Return the time as the API's objects carry it, in whole Unix seconds."""
        return int(self.clock.now())

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start a task that ends with the stage at the latest."""
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if self._closed:
            task.cancel()
        return task

    def close(self) -> None:
        """Stop every task, and every one that is started from now on."""
        self._closed = True
        for task in self._tasks:
            task.cancel()

    async def wait_closed(self) -> None:
        """Return when the tasks have ended."""
        await asyncio.gather(*self._tasks, return_exceptions=True)
