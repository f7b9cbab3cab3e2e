"""Events to lines of JSON, for programs: each event as the server sent it, on one line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from asyncruns import DoneEvent, UnknownEvent
from asyncruns.cli.text import CONTROLS

if TYPE_CHECKING:
    from re import Match

    from asyncruns import Event

__all__ = ["line_of"]


def line_of(event: Event, *, for_terminal: bool = False) -> str:
    """Give an event as `{"event": name, "data": …}`, with the data as they came.

    Data that are no JSON are a JSON string. An event that the library put together, from a look at
    the run, has `"recovered": true` besides. For a terminal, what that would obey is escaped, which
    changes the JSON's text and not what it says.
    """
    # Between two lines of data there is a line end, which no JSON string contains.
    data = event.raw.decode("utf-8", "replace").replace("\n", " ")
    if isinstance(event, DoneEvent | UnknownEvent) and not _is_json(data):
        data = json.dumps(event.raw.decode("utf-8", "replace"), ensure_ascii=False)
    recovered = ',"recovered":true' if event.recovered else ""
    name = json.dumps(event.event, ensure_ascii=False)
    line = f'{{"event":{name},"data":{data}{recovered}}}'
    return CONTROLS.sub(_escape, line) if for_terminal else line


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _escape(found: Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"
