"""What a test has left behind: tasks of its loop, sockets of the process, complaints of asyncio."""

from __future__ import annotations

import asyncio
import logging
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

DESCRIPTORS = Path("/proc/self/fd")

PATIENCE = 1.0
"""Seconds in which the other side of a connection may notice that it is closed."""


class Complaints(logging.Handler):
    """What asyncio and aiohttp say of tasks and sessions that nobody cares for any more.

    They are no warnings: a task that is destroyed while it waits is an error of the log.
    """

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep what is said."""
        self.said.append(record.getMessage())


def open_sockets() -> set[str]:
    """The sockets that the process has open; none where the system does not say."""
    names: set[str] = set()
    for descriptor in DESCRIPTORS.iterdir() if DESCRIPTORS.is_dir() else ():
        with suppress(OSError):  # the one of this very look is closed already
            names.add(os.readlink(descriptor))  # noqa: PTH115 -- it leads to no path
    return {name for name in names if name.startswith("socket:")}


def open_tasks() -> set[asyncio.Task[object]]:
    """The tasks of the loop, but for the one that carries out anyio's tests and fixtures."""
    return {task for task in asyncio.all_tasks() if "TestRunner" not in repr(task.get_coro())}


async def settled(leftover: Callable[[], set[str]]) -> set[str]:
    """What is left over once the other side has had its time."""
    loop = asyncio.get_running_loop()
    ends = loop.time() + PATIENCE
    while (left := leftover()) and loop.time() < ends:  # noqa: ASYNC110 -- nobody sets an event
        await asyncio.sleep(0.005)
    return left
