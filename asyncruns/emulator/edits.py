"""The events of a stream, or one object's JSON, to what a fault makes of them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from asyncruns.emulator.records import encode
from asyncruns.emulator.streams import DONE, Event

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping

    from asyncruns.emulator.faults import Fault

HUGE: Final = 10**9
"""An index that no list has."""

ERROR: Final = {
    "message": "The server had an error while processing your request.",
    "type": "server_error",
    "param": None,
    "code": "server_error",
}

_INDEX: Final = re.compile(rb'"index":\d+')
_TEXT: Final = re.compile(rb'"(?:value|refusal|arguments|input|logs|output|model|message)":"')

Events: TypeAlias = "AsyncGenerator[Event, None]"


class Edit(NamedTuple):
    """What a kind of fault does."""

    events: Callable[[Fault, Events], Events]
    body: Callable[[bytes], bytes]
    """To the body of an answer that is no stream."""


def _on_data(change: Callable[[bytes], bytes]) -> Edit:
    """Change the data of events where that changes anything."""

    async def events(fault: Fault, source: Events) -> Events:
        met = touched = 0
        async for event in source:
            met += 1
            data = event.data
            if met > (fault.after_events or 0) and (fault.events is None or touched < fault.events):
                data = change(data)
                touched += data != event.data
            yield Event(event.name, data)

    return Edit(events, change)


def _on_events(change: Callable[[list[Event]], list[Event]], *, size: int = 1) -> Edit:
    """Change events, so many at once."""

    async def events(fault: Fault, source: Events) -> Events:
        met = touched = 0
        held: list[Event] = []
        async for event in source:
            met += 1
            if met <= (fault.after_events or 0) or touched == fault.events:
                yield event
                continue
            held.append(event)
            if len(held) == size:
                for changed in change(held):
                    yield changed
                held = []
                touched += 1
        for event in held:
            yield event

    return Edit(events, _as_it_is)


def _ending(*last: Event, place: int | None = None) -> Edit:
    """End the stream with these events: at the place, or at its `done` where there is none."""

    async def events(fault: Fault, source: Events) -> Events:
        left = place if fault.after_events is None else fault.after_events
        while left != 0:
            event = await anext(source, DONE)
            if event is DONE:
                break
            yield event
            left = None if left is None else left - 1
        for event in last:
            yield event

    return Edit(events, _as_it_is)


async def _untouched(_: Fault, source: Events) -> Events:
    async for event in source:
        yield event


def _as_it_is(body: bytes) -> bytes:
    return body


def _cut_in_half(data: bytes) -> bytes:
    return data[: len(data) // 2]


def _into_text(what: bytes) -> Callable[[bytes], bytes]:
    def change(data: bytes) -> bytes:
        return _TEXT.sub(lambda found: found[0] + what, data, count=1)

    return change


def _with_index(index: int) -> Callable[[bytes], bytes]:
    def change(data: bytes) -> bytes:
        return _INDEX.sub(b'"index":%d' % index, data)

    return change


def _twice(events: list[Event]) -> list[Event]:
    return events * 2


def _none(_: list[Event]) -> list[Event]:
    return []


def _turned(events: list[Event]) -> list[Event]:
    return events[::-1]


EDITS: Final[Mapping[str, Edit]] = {
    "invalid_json": _on_data(_cut_in_half),
    "invalid_utf8": _on_data(_into_text(b"\xff\xfe")),
    "nul": _on_data(_into_text(b"\0")),
    "negative_index": _on_data(_with_index(-1)),
    "huge_index": _on_data(_with_index(HUGE)),
    "duplicate": _on_events(_twice),
    "drop": _on_events(_none),
    "reorder": _on_events(_turned, size=2),
    "error": _ending(Event("error", encode(ERROR)), DONE, place=1),
    "wrapped_error": _ending(Event("error", encode({"error": ERROR})), DONE, place=1),
    "early_done": _ending(DONE, place=1),
    "no_done": _ending(),
    "linger": Edit(_untouched, _as_it_is),
}
