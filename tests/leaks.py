"""What a test has left behind: tasks of its loop, sockets of the process, complaints of asyncio."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from contextlib import suppress
from pathlib import Path

DESCRIPTORS = Path("/proc/self/fd")

PATIENCE = 1.0
"""Seconds in which the other side of a connection may notice that it is closed."""


LEFT = (
    "Future exception was never retrieved",
    "Task exception was never retrieved",
    "Task was destroyed but it is pending",
    "Unclosed ",
)
"""How asyncio and aiohttp speak of what nobody cares for any more."""


class Complaints(logging.Handler):
    """Keeps what the log says of things that were left: no warning is made of some of them."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep what is said, if it is of something that was left."""
        if record.getMessage().startswith(LEFT):
            self.said.append(record.getMessage())


def open_sockets() -> int:
    """How many sockets the process has open; 0 where the system does not say.

    Counted, and not told apart: uvloop wakes itself by another pair in each of its runs.
    """
    names: list[str] = []
    for descriptor in DESCRIPTORS.iterdir() if DESCRIPTORS.is_dir() else ():
        with suppress(OSError):  # the one of this very look is closed already
            names.append(os.readlink(descriptor))  # noqa: PTH115 -- it leads to no path
    return sum(name.startswith("socket:") for name in names)


def open_tasks() -> set[asyncio.Task[object]]:
    """The tasks of the loop, but for the one that carries out anyio's tests and fixtures."""
    return {task for task in asyncio.all_tasks() if "TestRunner" not in repr(task.get_coro())}


def sockets_left(number: int) -> int:
    """The same as `sockets_beyond`, for tests that have no loop."""
    ends = time.monotonic() + PATIENCE
    while (left := open_sockets() - number) > 0 and time.monotonic() < ends:
        time.sleep(0.005)
    return max(left, 0)


async def closed(*writers: asyncio.StreamWriter) -> None:
    """Close connections, and ask how they ended.

    asyncio keeps the error of a connection for somebody who asks. Where nobody does, it complains
    if a collection of garbage happens to come upon the future before its owner.
    """
    for writer in writers:
        writer.close()
    ends = asyncio.gather(*(writer.wait_closed() for writer in writers), return_exceptions=True)
    try:
        await asyncio.wait_for(ends, PATIENCE)
    except TimeoutError:  # the other side does not read what is still to be sent
        for writer in writers:
            writer.transport.abort()


async def sockets_beyond(number: int) -> int:
    """How many more are open than so many, once the other side has had its time."""
    loop = asyncio.get_running_loop()
    ends = loop.time() + PATIENCE
    while (left := open_sockets() - number) > 0 and loop.time() < ends:  # noqa: ASYNC110 -- nobody sets an event
        await asyncio.sleep(0.005)
    return max(left, 0)
