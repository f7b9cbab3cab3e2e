"""A stream to many browsers: one run, read once, for all its tabs and for those that come back.

The frames are kept in one history, as long as they fit. A subscriber is a place in it: it costs no
memory of its own and holds nobody back. One whose place has left the history is dropped and told
so; one that asks for such a place gets the snapshot instead. Its events say the objects whole, so
that it does not matter what a browser knows already.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Self

from msgspec import json

from asyncruns.relay.audience import Audience
from asyncruns.relay.feed import Feed
from asyncruns.relay.frames import chosen, encode
from asyncruns.relay.history import History, Kept
from asyncruns.relay.outlet import News, Outlet

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from types import TracebackType

    from asyncruns.events import Event
    from asyncruns.stream import RunStream

__all__ = ["Broadcast", "Subscription"]

HISTORY: Final = 1024 * 1024
"""Bytes of frames that a broadcast keeps for those who are slow, late or back."""

PAUSE: Final = 0.001
"""Seconds in which subscribers have their turn, after each quarter of the history."""

DROPPED: Final = "dropped"
"""The name of the frame that tells a subscriber that it was too slow."""


class Broadcast:
    """One run for many subscribers. It owns the task that reads the stream, from open to close.

    ::

        async with Broadcast(client.runs.stream(...)) as broadcast:
            ...  # answers made of broadcast.subscribe(...), meanwhile
            await broadcast.until_done()

    `stream` is not entered yet; `open()`, or the block's beginning, raises what creating the run
    raises. `aclose()`, or the block's end, leaves it, and with its `cancel_on_exit` cancels a run
    that has not ended; subscribers get an `error` frame then. What has come stays readable.

    `history` bounds the frames that are kept, in bytes; the newest is kept in any case, and beside
    them the run's own objects. With `abandon_after` the stream is left, as by `aclose()`, when
    nobody has subscribed for so many seconds: enough for a reload, and less than a run may cost.
    Subscribers of another process, or another event loop, need a broadcast of their own.
    """

    def __init__(
        self,
        stream: RunStream,
        *,
        heartbeat: float | None = 15.0,
        history: int = HISTORY,
        abandon_after: float | None = None,
    ) -> None:
        if history <= 0:
            raise ValueError(f"history must be bytes above 0, not {history!r}")
        if abandon_after is not None and not abandon_after >= 0:
            raise ValueError(f"abandon_after must be seconds, or None, not {abandon_after!r}")
        self._heartbeat = heartbeat
        self._history = History(history)
        self._feed = Feed(stream, self._take, self._end)
        self._quarter = history // 4
        self._burst = 0
        self._audience = Audience(abandon_after, self._feed.leave)

    async def open(self) -> Self:
        """Open the stream and begin to read it; raises what that raises."""
        await self._feed.open()
        if not self._feed.is_over:
            self._audience.start()
        return self

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Leave the stream; what has come stays readable."""
        self._audience.stop()
        await self._feed.aclose()

    async def until_done(self) -> None:
        """Return when the run has ended, has failed, or was left."""
        await self._feed.until_done()

    @property
    def stream(self) -> RunStream:
        """The stream, to look at its run, steps and messages; the broadcast reads it."""
        return self._feed.stream

    @property
    def error(self) -> Exception | None:
        """What the stream has failed with, and the `error` frame tells of; None if not."""
        return self._feed.error

    @property
    def is_over(self) -> bool:
        """Whether the last frame has come."""
        return self._feed.is_over

    @property
    def subscribers(self) -> int:
        """How many are reading, and can keep up."""
        return sum(not one.is_too_slow for one in self._audience)

    def subscribe(
        self, last_event_id: str | None = None, *, events: Collection[str] | None = None
    ) -> Subscription:
        """Give the frames of the run for one browser, from its beginning on.

        `last_event_id` is what the browser sends as `Last-Event-ID`: it gets what came after that.
        Where this is no longer kept, or the id is not from here, it gets the snapshot: events that
        say each object whole, whatever the browser knows. `events` and the frames as in `relay`.
        A subscriber that is too slow is dropped: its last frame is `dropped`, and whoever then
        comes back with the `Last-Event-ID` gets the snapshot, as an EventSource does by itself.
        """
        return Subscription(self._history, self._audience, self._heartbeat, last_event_id, events)

    def _take(self, event: Event) -> None:
        self._history.take(event)
        self._burst += len(event.raw)
        if self._burst >= self._quarter:
            # Many events of one read must not make somebody slow who had no turn in between.
            self._burst = 0
            self._feed.room.clear()
            asyncio.get_running_loop().call_later(PAUSE, self._feed.room.set)

    def _end(self, name: str, data: bytes) -> None:
        self._audience.stop()
        self._history.end(name, data)


class Subscription(Outlet):
    """The frames of a broadcast for one browser; see `Broadcast.subscribe`."""

    def __init__(
        self,
        history: History,
        audience: Audience,
        heartbeat: float | None,
        last_event_id: str | None,
        events: Collection[str] | None,
    ) -> None:
        super().__init__(heartbeat)
        self._history = history
        self._audience = audience
        self._passes = chosen(events)
        self._last_event_id = last_event_id
        self._snapshot: Iterator[Kept] = iter(())
        # The number of the frame that comes next; None before the first was asked for.
        self._place: int | None = None
        self._dropped = False

    @property
    def is_too_slow(self) -> bool:
        """Whether frames that this one has not read are gone."""
        return self._place is not None and self._place < self._history.first

    @property
    def _news(self) -> News:
        return self._history.news

    @property
    def _is_over(self) -> bool:
        return self._dropped or self._history.is_over

    def _begin(self) -> None:
        if self._place is not None:
            return
        self._audience.join(self)
        history, told = self._history, self._last_event_id
        seen = 0 if told is None else history.number_of(told)
        if seen is not None and seen + 1 >= history.first:
            self._place = seen + 1
        else:
            frames, self._place = history.snapshot()
            self._snapshot = iter(frames)

    def _next(self) -> bytes | None:
        while (kept := self._pick()) is not None:
            if self._passes is None or kept.name in self._passes or self._dropped:
                return kept.frame
        return None

    def _pick(self) -> Kept | None:
        """The next frame, whether it was asked for or not."""
        kept = next(self._snapshot, None)
        if kept is None and self._place is not None and not self._dropped:
            if self.is_too_slow:
                kept = self._drop(self._place)
            elif self._place <= self._history.last:
                kept = self._history[self._place]
                self._place += 1
        return kept

    def _drop(self, place: int) -> Kept:
        self._dropped = True
        missed = self._history.first - place
        told = {
            "message": f"this subscriber was too slow: {missed} frames that it has not read are "
            "gone; coming back with the Last-Event-ID gives the snapshot",
            "missed": missed,
        }
        return Kept(DROPPED, encode(DROPPED, json.encode(told), self._history.id_of(place - 1)))

    def _let_go(self) -> None:
        self._snapshot = iter(())
        self._audience.part(self)
