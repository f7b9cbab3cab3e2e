"""What a browser makes of an answer, read by the standard library alone."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from asyncruns import Accumulator, EventDecoder

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Iterable

    from tests.stream.house import House


@dataclass
class Seen:
    """One frame."""

    name: str
    data: str
    id: str | None

    @property
    def json(self) -> Any:
        return json.loads(self.data)


@dataclass
class Page:
    """The frames so far, and how many comments there were."""

    frames: list[Seen] = field(default_factory=list[Seen])
    comments: int = 0
    raw: list[bytes] = field(default_factory=list[bytes])

    def take(self, item: bytes) -> Seen | None:
        """Take one item of an iterator, which must be one frame, or one comment."""
        self.raw.append(item)
        text = item.decode()
        assert text.endswith("\n\n")
        assert "\n\n" not in text[:-2]
        fields: dict[str, list[str]] = {}
        for line in text[:-2].split("\n"):
            name, _, value = line.partition(": ")
            fields.setdefault(name, []).append(value)
        if "" in fields:
            assert fields.keys() == {""}
            self.comments += 1
            return None
        assert fields.keys() == {"id", "event", "data"}
        frame = Seen(fields["event"][0], "\n".join(fields["data"]), fields["id"][0])
        self.frames.append(frame)
        return frame

    async def read(self, items: AsyncIterable[bytes]) -> Page:
        """Take all there is."""
        async for item in items:
            self.take(item)
        return self

    async def read_until(self, items: AsyncIterable[bytes], name: str) -> Page:
        """Take all up to the first frame of a name."""
        async for item in items:
            frame = self.take(item)
            if frame is not None and frame.name == name:
                return self
        raise AssertionError(f"no {name} in {self.names}")

    @property
    def names(self) -> list[str]:
        return [frame.name for frame in self.frames]

    @property
    def ids(self) -> list[str | None]:
        return [frame.id for frame in self.frames]

    @property
    def text(self) -> str:
        """All text in deltas."""
        return "".join(
            part["text"]["value"]
            for frame in self.frames
            if frame.name == "thread.message.delta"
            for part in frame.json["delta"]["content"]
        )

    def folded(self, accumulator: Accumulator | None = None) -> Accumulator:
        """What the frames build."""
        return fold(self.raw, accumulator)


def fold(items: Iterable[bytes], accumulator: Accumulator | None = None) -> Accumulator:
    """What frames build, from nothing or on top of what was known."""
    accumulator = accumulator or Accumulator()
    decoder = EventDecoder()
    for item in items:
        for event in decoder.feed(item):
            accumulator.apply(event)
    return accumulator


async def cancelled(house: House, thread_id: str) -> None:
    """Wait until the server has cancelled the thread's run, and nothing of it is held here."""
    async with asyncio.timeout(20):
        while (  # noqa: ASYNC110 -- the server sets no event of ours
            await house.status(thread_id) not in {"cancelling", "cancelled"} or house.held
        ):
            await asyncio.sleep(0.01)
