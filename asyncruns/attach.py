"""Polling to a run's end: for runs that nobody streams."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from asyncruns.errors import AsyncRunsError, RunTimeoutError
from asyncruns.follow import Pace, is_transient
from asyncruns.models import ENDED_RUN, Run
from asyncruns.watch import Limit

if TYPE_CHECKING:
    from collections.abc import Collection

    from asyncruns.service import RunService

__all__ = ["SETTLED", "poll"]

SETTLED: Final = ENDED_RUN | {"requires_action"}
"""The statuses that a run does not leave by itself."""

PATIENCE: Final = 60.0
"""Seconds that a run may be out of reach before polling gives up."""


async def poll(
    service: RunService,
    thread_id: str,
    run_id: str,
    *,
    until: Collection[str] = SETTLED,
    interval: float | None = None,
    deadline_at: float | None = None,
) -> Run:
    """Look at a run until its status is one of `until`, or one that it never leaves.

    The pause between looks is `interval` seconds, or what the server asks for, or else grows from
    0.5 to 5 s. A status that is not in the reference is alive. Looks that fail for a passing reason
    are repeated for up to 60 s.

    Raises RunTimeoutError, with the run as last seen, at `deadline_at` (the loop's clock).
    """
    now = asyncio.get_running_loop().time
    pace, reached = Pace(), now()
    run: Run | None = None

    def too_late() -> RunTimeoutError:
        status = "unknown" if run is None else run.status
        message = f"run {run_id} did not end within the deadline (its status is {status})"
        return RunTimeoutError(message, run=run)

    async with Limit(deadline_at, too_late):
        while True:
            pause = None
            try:
                run, pause = await service.retrieve(thread_id, run_id)
                reached = now()
            except AsyncRunsError as exc:
                if not is_transient(exc) or now() - reached > PATIENCE:
                    raise
            if run is not None and (run.status in until or run.status in ENDED_RUN):
                return run
            await asyncio.sleep(pace.after(pause) if interval is None else interval)
