"""Events to durations: how long a run and its steps take, as seen from here."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from asyncruns import ENDED_RUN, ENDED_STEP, Run, RunStep

if TYPE_CHECKING:
    from asyncruns import Event

__all__ = ["Stopwatch", "ended_at"]


class Stopwatch:
    """Notes when each object first appears, and when it ends.

    The server's own timestamps count whole seconds; for a run that is watched this is finer. What
    was going already when it was first seen has only the timestamps.
    """

    def __init__(self) -> None:
        self._started: dict[str, float | None] = {}
        self._ended: dict[str, float] = {}

    def take(self, event: Event) -> None:
        """Note the time of an event."""
        whole = event.data
        if isinstance(whole, Run | RunStep):
            now = time.monotonic()
            self._started.setdefault(whole.id, None if event.recovered else now)
            if whole.status in (ENDED_RUN if isinstance(whole, Run) else ENDED_STEP):
                self._ended.setdefault(whole.id, now)

    def seconds(self, item: Run | RunStep) -> float | None:
        """How long it took, or has taken so far; from its timestamps if it was not watched."""
        start = self._started.get(item.id)
        if start is not None:
            return self._ended.get(item.id, time.monotonic()) - start
        if item.created_at is None:
            return None
        end = ended_at(item)
        if end is None and item.id in self._started and item.id not in self._ended:
            end = max(time.time(), item.created_at)  # clocks differ
        return None if end is None else end - item.created_at


def ended_at(item: Run | RunStep) -> float | None:
    """When it ended, in Unix seconds; None if it has not, or the server does not say."""
    expired_at = item.expired_at if isinstance(item, RunStep) else None
    return item.completed_at or item.failed_at or item.cancelled_at or expired_at
