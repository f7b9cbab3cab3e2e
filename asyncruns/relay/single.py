"""A stream to one browser: it is opened, read and left together with one answer."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, Self

from asyncruns.errors import AsyncRunsError
from asyncruns.relay.feed import Feed
from asyncruns.relay.frames import chosen, encode
from asyncruns.relay.outlet import News, Outlet

if TYPE_CHECKING:
    from collections.abc import Collection

    from asyncruns.events import Event
    from asyncruns.stream import RunStream

__all__ = ["Relay", "relay"]

READ_AHEAD: Final = 64 * 1024
"""Bytes that may wait for a slow browser; then the run's stream is not read on for a while."""


def relay(
    stream: RunStream, heartbeat: float | None = 15.0, events: Collection[str] | None = None
) -> Relay:
    """Give the bytes that hand a run on to a browser, as an async iterator.

    `stream` is what `client.runs.stream(…)` gives, not entered: reading opens it, and it is left
    at the end, when the browser goes away, or by `aclose()`; with its `cancel_on_exit`, leaving
    early cancels the run at the server. Each item is one frame: an event with its JSON as it came
    and an `id`, or a comment after `heartbeat` seconds of silence (None for none). The last frame
    is one `done` over all tool rounds, or an `error` with its `message`, `type` and `code`.
    `events` are the names of the events that go on, None for all; `done` and `error` always do.

    `await relay(…).open()` raises what creating the run raises, before an answer has begun.
    """
    return Relay(stream, heartbeat, events)


class Relay(Outlet):
    """The frames of one run for one browser; see `relay`."""

    def __init__(
        self, stream: RunStream, heartbeat: float | None, events: Collection[str] | None
    ) -> None:
        super().__init__(heartbeat)
        self._passes = chosen(events)
        self._feed = Feed(stream, self._take, self._end)
        self._frames: deque[bytes] = deque()
        self._held = 0
        self._count = 0
        self._told = News()

    @property
    def error(self) -> Exception | None:
        """What the run's stream has failed with, and the `error` frame tells of; None if not."""
        return self._feed.error

    async def open(self) -> Self:
        """Create the run, or whatever the stream begins with; give this relay.

        Raises what that raises: nothing has been sent to the browser yet. Whoever opens a relay
        and does not iterate closes it.
        """
        if self._closed:
            raise AsyncRunsError("the relay is closed")
        try:
            await self._feed.open()
        except BaseException:
            self._leave()
            raise
        self._watch()
        return self

    async def aclose(self) -> None:
        """Leave the stream, and wait until it is left; does nothing the second time.

        Whoever iterates meanwhile gets no more frames: the body ends there, without `done`.
        """
        self._leave()
        await self._feed.aclose()

    def _take(self, event: Event) -> None:
        self._count += 1
        if self._passes is None or event.event in self._passes:
            self._add(event.event, event.raw)
            if self._held >= READ_AHEAD:
                self._feed.room.clear()

    def _end(self, name: str, data: bytes) -> None:
        self._count += 1
        self._add(name, data)

    def _add(self, name: str, data: bytes) -> None:
        frame = encode(name, data, str(self._count))
        self._frames.append(frame)
        self._held += len(frame)
        self._told.tell()

    @property
    def _news(self) -> News:
        return self._told

    @property
    def _is_over(self) -> bool:
        return self._feed.is_over

    def _begin(self) -> None:
        self._feed.start()

    def _next(self) -> bytes | None:
        if not self._frames:
            return None
        frame = self._frames.popleft()
        self._held -= len(frame)
        if self._held < READ_AHEAD:
            self._feed.room.set()
        return frame

    def _let_go(self) -> None:
        self._feed.leave()
        if not self._reads:
            self._frames.clear()
