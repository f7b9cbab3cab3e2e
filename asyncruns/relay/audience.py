"""Subscribers to whether there is anybody: who reads a broadcast, and since when nobody does."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from asyncruns.relay.broadcast import Subscription

__all__ = ["Audience"]


class Audience:
    """Those who read a broadcast; when there has been nobody for `patience` seconds, it leaves."""

    def __init__(self, patience: float | None, leave: Callable[[], None]) -> None:
        self._patience = patience
        self._leave = leave
        self._members: set[Subscription] = set()
        self._leaving: asyncio.TimerHandle | None = None
        self._waits = False

    def __iter__(self) -> Iterator[Subscription]:
        return iter(self._members)

    def start(self) -> None:
        """Begin to care whether there is somebody."""
        self._waits = self._patience is not None
        self._count_down()

    def stop(self) -> None:
        """Care no more."""
        self._waits = False
        self._stay()

    def join(self, member: Subscription) -> None:
        """Count a subscriber in."""
        self._members.add(member)
        self._stay()

    def part(self, member: Subscription) -> None:
        """Count a subscriber out."""
        self._members.discard(member)
        self._count_down()

    def _stay(self) -> None:
        if self._leaving is not None:
            self._leaving.cancel()
            self._leaving = None

    def _count_down(self) -> None:
        if self._waits and self._patience is not None and not self._members:
            self._stay()
            loop = asyncio.get_running_loop()
            self._leaving = loop.call_later(self._patience, self._leave)
