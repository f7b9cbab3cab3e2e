"""Events to numbered frames that are kept, as long as they fit, and to the snapshot beside them."""

from __future__ import annotations

from collections import deque
from secrets import token_hex
from typing import TYPE_CHECKING, NamedTuple

from asyncruns.accumulator import Accumulator
from asyncruns.events import ThreadCreated
from asyncruns.models import to_json
from asyncruns.relay.frames import encode
from asyncruns.relay.outlet import News
from asyncruns.unfold import whole_events

if TYPE_CHECKING:
    from collections.abc import Iterator

    from asyncruns.events import Event

__all__ = ["History", "Kept"]


class Kept(NamedTuple):
    """A frame, and the name of its event."""

    name: str
    frame: bytes


class History:
    """The newest frames of one run, at most `limit` bytes of them, but the last one in any case.

    A frame is known by its number, counted from 1; its id says that, and whose number it is. The
    snapshot, made when it is asked for, stands for all frames up to the newest.
    """

    def __init__(self, limit: int) -> None:
        self.news = News()
        self.last = 0
        """The number of the newest frame; 0 before the first."""
        self.is_over = False
        """Whether the newest frame is the last."""
        self._limit = limit
        # Ids of another history, from before a restart perhaps, must not be taken for ours.
        self._token = token_hex(4)
        self._frames: deque[Kept] = deque()
        self._held = 0
        # The stream's own snapshots may be ahead: it folds an event before its hooks run.
        self._accumulator = Accumulator()
        self._snapshot: tuple[int, list[Kept]] = (0, [])

    def take(self, event: Event) -> None:
        """Keep an event."""
        self._accumulator.apply(event)
        self._add(event.event, event.raw)

    def end(self, name: str, data: bytes) -> None:
        """Keep the last frame."""
        self.is_over = True
        self._add(name, data)

    def _add(self, name: str, data: bytes) -> None:
        self.last += 1
        frame = encode(name, data, self.id_of(self.last))
        self._frames.append(Kept(name, frame))
        self._held += len(frame)
        while self._held > self._limit and len(self._frames) > 1:
            self._held -= len(self._frames.popleft().frame)
        self.news.tell()

    @property
    def first(self) -> int:
        """The number of the oldest frame that is kept; that of the next one where none is."""
        return self.last - len(self._frames) + 1

    def __getitem__(self, number: int) -> Kept:
        return self._frames[number - self.first]

    def id_of(self, number: int) -> str:
        """The id of a frame."""
        return f"{self._token}.{number}"

    def number_of(self, frame_id: str) -> int | None:
        """The number of a frame that has been; None where the id is of no such frame."""
        token, _, digits = frame_id.partition(".")
        if token != self._token or not digits.isdecimal() or len(digits) > len(str(self.last)):
            return None
        number = int(digits)
        return number if number <= self.last else None

    def snapshot(self) -> tuple[list[Kept], int]:
        """The frames that say all that is known, and the number of the frame to go on with."""
        known = self.last - self.is_over  # the end itself goes on from here
        if self._snapshot[0] != known:
            self._snapshot = known, list(self._wholes(known))
        return self._snapshot[1], known + 1

    def _wholes(self, number: int) -> Iterator[Kept]:
        seen = self._accumulator
        events: list[Event] = []
        if seen.thread is not None:
            events.append(ThreadCreated(seen.thread, to_json(seen.thread), recovered=True))
        if seen.run is not None:
            events += whole_events(seen.run)
        for step in seen.steps:
            events += whole_events(step)
        for message in seen.messages:
            events += whole_events(message)
        # Only with the last of them has somebody seen all that came up to the number.
        for left, event in zip(reversed(range(len(events))), events, strict=True):
            frame_id = self.id_of(0 if left else number)
            yield Kept(event.event, encode(event.event, event.raw, frame_id))
