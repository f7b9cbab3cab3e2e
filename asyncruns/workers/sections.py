"""What a delivery does that is best not interrupted: creating its run, carrying out a tool call."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

__all__ = ["Sections"]


class Sections:
    """Counts the sections that are open; once it closes, no more of them are entered."""

    def __init__(self) -> None:
        self._count = 0
        self._closing = False
        self._empty = asyncio.Event()
        self._empty.set()

    @asynccontextmanager
    async def enter(self) -> AsyncGenerator[None]:
        """Be in a section; where they close, wait for the cancellation that follows."""
        if self._closing:
            await asyncio.get_running_loop().create_future()
        self._count += 1
        self._empty.clear()
        try:
            yield
        finally:
            self._count -= 1
            if self._count == 0:
                self._empty.set()

    async def close(self, grace: float) -> None:
        """Wait until no section is open, or for `grace` seconds."""
        self._closing = True
        try:
            async with asyncio.timeout(grace):
                await self._empty.wait()
        except TimeoutError:
            return
