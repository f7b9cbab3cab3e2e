"""Events to frames: the bytes that a browser's EventSource reads.

The JSON of an event goes on as it came. Source: WHATWG HTML, 9.2.5 Parsing an event stream.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import json

from asyncruns.errors import AsyncRunsError, RunStreamError
from asyncruns.events import EVENTS, DoneEvent, ErrorEvent

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

__all__ = ["DONE", "HEADERS", "HEARTBEAT", "chosen", "encode", "error_data"]

HEADERS: Final[Mapping[str, str]] = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",
}
"""The headers of an answer that is relayed: no cache keeps it, and nginx does not hold it back."""

HEARTBEAT: Final = b": the run goes on\n\n"
"""A comment: proxies see traffic, and browsers see nothing."""

DONE: Final = b"[DONE]"
"""The data of the `done` frame, as in the protocol."""

_ENDS: Final = frozenset({DoneEvent.event, ErrorEvent.event})

_LF, _CR = b"\n\r"  # as numbers, which bytes are searched for faster


def encode(name: str, data: bytes, frame_id: str) -> bytes:
    """Give one frame. Line ends in the data make lines of it; in a name they are taken out."""
    if _LF in data or _CR in data:
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\ndata: ")
    if not name.isprintable():
        name = "".join(filter(str.isprintable, name))
    return b"id: %b\nevent: %b\ndata: %b\n\n" % (
        frame_id.encode(),
        name.encode("utf-8", "replace"),
        data,
    )


def error_data(error: BaseException, reported: bytes | None = None) -> bytes:
    """Give the data of an `error` frame: what the server reported, or what went wrong here.

    An error that is none of asyncruns shows its type only: its text was not meant for browsers.
    """
    if isinstance(error, RunStreamError) and reported is not None:
        return reported
    known = isinstance(error, AsyncRunsError)
    told = {
        "message": str(error) if known else "the server that relays the run has failed",
        "type": type(error).__name__,
        "code": getattr(error, "code", None) if known else None,
    }
    return json.encode(told)


def chosen(events: Collection[str] | None) -> frozenset[str] | None:
    """Give the names of the events that go on, the ends always among them; None for all.

    Raises ValueError for what is no collection of the protocol's names.
    """
    if events is None:
        return None
    if isinstance(events, str | bytes):
        raise ValueError(f"events must be a collection of event names, not one: [{events!r}]")  # noqa: TRY004 -- bad values of every kind are ValueErrors here
    unknown = sorted(set(events) - EVENTS.keys())
    if unknown:
        raise ValueError(
            f"events has names that the protocol does not have: {', '.join(map(repr, unknown))}; "
            "they are the keys of asyncruns.EVENTS"
        )
    return _ENDS.union(events)
