"""Objects to a table: the fields that people look for, a row for each object."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from asyncruns.cli.console import Ragged, open_console
from asyncruns.cli.text import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

__all__ = ["print_fields", "print_rows"]

Json: TypeAlias = dict[str, Any]

COLUMNS: Final = {
    "thread.run": ("id", "status", "created_at", "assistant_id", "model", "usage.total_tokens"),
    "thread.run.step": ("id", "type", "status", "created_at", "usage.total_tokens"),
    "thread.message": ("id", "role", "created_at", "content"),
    "assistant": ("id", "name", "model", "created_at"),
}
"""What lists show of the objects that are known; of others they show every field."""

_WIDE: Final = 100_000_000
"""The columns of a page that is no terminal: nothing is cut there."""

_GAP: Final = 2
"""The spaces between two columns."""

_NARROW: Final = 6
"""How narrow a column becomes at most, so that others have room."""

_TIME: Final = "_at"
"""How the names of timestamps end."""


def print_rows(items: Sequence[Json]) -> None:
    """Print a list: a row for each object, below the names of the fields; nothing for none."""
    if not items:
        return
    every = tuple(dict.fromkeys(name for item in items for name in item))
    names = COLUMNS.get(str(items[0].get("object")), every)
    titles = [printable(name.rpartition(".")[2]) for name in names]
    rows = [[_shown(name, _field(item, name)) for name in names] for item in items]
    widths = [max(map(cell_len, column)) for column in zip(titles, *rows, strict=True)]
    console, table = _console(), _table(header=True)
    for title, width in zip(titles, _narrowed(widths, console.width), strict=True):
        table.add_column(Text(title), no_wrap=True, overflow="ellipsis", max_width=width)
    for row in rows:
        table.add_row(*map(Text, row))
    console.print(Ragged(table))


def print_fields(item: Json) -> None:
    """Print one object: a row for each field that is not null."""
    table = _table(header=False)
    for name, value in item.items():
        if value is not None:
            table.add_row(Text(printable(name), "bold"), Text(_shown(name, value)))
    _console().print(Ragged(table))


def _table(*, header: bool) -> Table:
    return Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), show_header=header)


def _console() -> Console:
    console = open_console()
    if not console.is_terminal:
        console.width = _WIDE
    return console


def _narrowed(widths: Sequence[int], room: int) -> Sequence[int]:
    """Take what is too much from the widest columns; never from the first, whose ids are copied."""
    narrowed = [min(width, room) for width in widths]
    excess = sum(narrowed) + _GAP * (len(narrowed) - 1) - room
    for _ in range(excess):
        widest = max(range(1, len(narrowed)), key=narrowed.__getitem__, default=0)
        if narrowed[widest] <= _NARROW:
            break
        narrowed[widest] -= 1
    return narrowed


def _field(item: Json, path: str) -> Any:
    value: Any = item
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _shown(name: str, value: Any) -> str:
    if value is None:
        return "-"
    if name.endswith(_TIME) and isinstance(value, int | float) and not isinstance(value, bool):
        return _moment(value)
    if name == "content" and isinstance(value, list):
        value = " ".join(map(_part, value))
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return printable(" ".join(text.split()))


def _moment(seconds: float) -> str:
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%SZ}"
    except (OverflowError, ValueError):  # no time that a calendar has
        return str(seconds)


def _part(part: Any) -> str:
    """A part of a message in words: its text, or what kind it is."""
    text = _field(part, "text.value") or _field(part, "refusal")
    return text if isinstance(text, str) else f"[{_field(part, 'type')}]"
