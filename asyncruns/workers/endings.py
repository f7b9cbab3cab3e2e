"""Tasks to their ends, though a cancellation may be lost in a statement that they are sending.

Until Python 3.12, `asyncio.wait_for`, in which psycopg waits for answers, drops a cancellation that
comes together with the answer; and psycopg may make a failure of one that comes before it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["end", "go_on_unless_cancelled"]


async def end(tasks: Iterable[asyncio.Task[Any]], *, patience: float = 0.5) -> None:
    """Cancel tasks, and again after `patience` seconds those that have not noticed."""
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=patience)


def go_on_unless_cancelled() -> None:
    """Raise CancelledError in a task whose cancellation was lost; for what goes on for ever."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
