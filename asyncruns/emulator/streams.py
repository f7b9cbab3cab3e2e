"""A run's events to the bytes of one HTTP answer.

All bytes of all streams pass `send`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from asyncruns.emulator.records import encode, without_content

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from aiohttp import web

    from asyncruns.emulator.records import Json


class Event(NamedTuple):
    """One event of a stream, its data already encoded."""

    name: str
    data: bytes


DONE = Event("done", b"[DONE]")


class Subscription:
    """The events of one stretch of a run, kept until they are read."""

    def __init__(self, *, content: bool) -> None:
        self._content = content
        self._events: deque[Event] = deque()
        self._news = asyncio.Event()
        self._closed = False

    def put(self, name: str, record: Json) -> None:
        """Add an event with the record as it is now."""
        if not self._content and record["object"] == "thread.run.step":
            record = without_content(record)
        self._add(Event(name, encode(record)))

    def finish(self) -> None:
        """Add the last event and close."""
        self._add(DONE)
        self.close()

    def close(self) -> None:
        """Let the reader stop after the events that are there."""
        self._closed = True
        self._news.set()

    async def next(self) -> Event | None:
        """Return the next event as soon as there is one; None when no more will come."""
        while not self._events:
            if self._closed:
                return None
            self._news.clear()
            await self._news.wait()
        return self._events.popleft()

    def _add(self, event: Event) -> None:
        self._events.append(event)
        self._news.set()


EVENT_STREAM = {"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-cache"}
"""The headers of a stream."""

Framing: TypeAlias = Callable[[Event], bytes]
"""An event as it goes over the wire."""


def frame(event: Event) -> bytes:
    """Return an event as a frame with a name."""
    return b"event: %b\ndata: %b\n\n" % (event.name.encode(), event.data)


async def events_of(subscription: Subscription) -> AsyncGenerator[Event, None]:
    """Give the events as they come, until the subscription closes."""
    while (event := await subscription.next()) is not None:
        yield event


async def framed(
    events: AsyncGenerator[Event, None], framing: Framing
) -> AsyncGenerator[bytes, None]:
    """Give the events as they go over the wire."""
    async with aclosing(events):
        async for event in events:
            yield framing(event)


async def send(
    request: web.Request, pieces: AsyncGenerator[bytes, None], response: web.StreamResponse
) -> web.StreamResponse:
    """Write the pieces of a body as they come; of a stream, one HTTP chunk each.

    A client that goes away stops only the writing.
    """
    async with aclosing(pieces):
        with suppress(ConnectionError):
            await response.prepare(request)
            async for piece in pieces:
                await response.write(piece)
            await response.write_eof()
    return response
