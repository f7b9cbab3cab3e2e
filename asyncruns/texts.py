"""Events to text: pieces that, joined, are the final text of each message."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncruns.events import MessageEvent, ThreadMessageDelta
from asyncruns.models import ENDED_MESSAGE, TextContentBlock, TextDeltaBlock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from asyncruns.events import Event
    from asyncruns.models import Message, MessageDeltaEvent

__all__ = ["Texts"]


class Texts:
    """The pieces of text in events, so that joined they are the final text of each message."""

    def __init__(self) -> None:
        self._given: dict[tuple[str, int], list[str]] = {}
        self._ended: set[str] = set()

    def take(self, event: Event) -> Iterator[str]:
        """The text that an event adds."""
        if isinstance(event, ThreadMessageDelta):
            if event.data.id not in self._ended:
                yield from self._pieces(event.data)
        elif isinstance(event, MessageEvent) and event.data.status in ENDED_MESSAGE:
            yield from self._rest(event.data)

    def _pieces(self, change: MessageDeltaEvent) -> Iterator[str]:
        for place, part in enumerate(change.delta.content or ()):
            if isinstance(part, TextDeltaBlock) and part.text and part.text.value:
                index = place if part.index is None else part.index
                self._given.setdefault((change.id, index), []).append(part.text.value)
                yield part.text.value

    def _rest(self, message: Message) -> Iterator[str]:
        """What the deltas of a message have left out; nothing where they said something else."""
        if message.id not in self._ended:
            self._ended.add(message.id)
            for index, part in enumerate(message.content):
                given = "".join(self._given.pop((message.id, index), ()))
                if isinstance(part, TextContentBlock) and part.text.value.startswith(given):
                    yield from filter(None, [part.text.value[len(given) :]])
