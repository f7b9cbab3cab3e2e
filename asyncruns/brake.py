"""Rate limits to a pace: when the next run of a pool may be created, and how many at once."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

__all__ = ["Brake"]


class Brake:
    """Lets creations through, up to `limit` at once, until the server finds them too many.

    A rate limit stops all of them for the time that it names. Then one goes alone, and each that
    succeeds makes room for one more: they double with each round trip, and those that have waited
    do not all hit the server in the same moment, to be refused again.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._places = anyio.CapacityLimiter(limit)
        self._open_at = 0.0
        self._holds = 0

    @property
    def closed_for(self) -> float:
        """Seconds until the next creation may go; 0 if it may go now."""
        return max(0.0, self._open_at - anyio.current_time()) if self._holds else 0.0

    def hold(self, seconds: float) -> None:
        """Stop all creations that have not begun."""
        self._holds += 1
        self._open_at = max(self._open_at, anyio.current_time() + seconds)
        self._places.total_tokens = 1

    @asynccontextmanager
    async def creation(self) -> AsyncGenerator[None, None]:
        """Wait until a creation may go, which is the block; that it does not raise is a success."""
        async with self._places:
            while wait := self.closed_for:  # noqa: ASYNC110 -- another hold may come meanwhile
                await anyio.sleep(wait)
            holds = self._holds
            yield
            # What began before the last rate limit says nothing about the time after it.
            if holds == self._holds:
                self._places.total_tokens = min(self._places.total_tokens + 1, self._limit)
