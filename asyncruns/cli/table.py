"""Objects to a table: the fields that people look for, a row for each object."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from rich.table import Table
from rich.text import Text

from asyncruns.cli.console import Ragged, open_console
from asyncruns.cli.text import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["print_fields", "print_rows"]

Json: TypeAlias = dict[str, Any]

COLUMNS: Final = {
    "thread.run": ("id", "status", "created_at", "assistant_id", "model", "usage.total_tokens"),
    "thread.run.step": ("id", "type", "status", "created_at", "usage.total_tokens"),
    "thread.message": ("id", "role", "created_at", "content"),
    "assistant": ("id", "name", "model", "created_at"),
}
"""What lists show of the objects that are known; of others they show every field."""

_WIDE: Final = 10_000
"""The columns of a page that is no terminal: nothing is cut there."""

_TIME: Final = "_at"
"""How the names of timestamps end."""


def print_rows(items: Sequence[Json]) -> None:
    """Print a list: a row for each object, below the names of the fields; nothing for none."""
    if not items:
        return
    every = tuple(dict.fromkeys(name for item in items for name in item))
    names = COLUMNS.get(str(items[0].get("object")), every)
    table = _table(header=True)
    for name in names:
        table.add_column(name.rpartition(".")[2], no_wrap=True, overflow="ellipsis")
    for item in items:
        table.add_row(*(Text(_shown(name, _field(item, name))) for name in names))
    _print(table)


def print_fields(item: Json) -> None:
    """Print one object: a row for each field that is not null."""
    table = _table(header=False)
    for name, value in item.items():
        if value is not None:
            table.add_row(Text(printable(name), "bold"), Text(_shown(name, value)))
    _print(table)


def _table(*, header: bool) -> Table:
    return Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=header)


def _print(table: Table) -> None:
    console = open_console()
    if not console.is_terminal:
        console.width = _WIDE
    console.print(Ragged(table))


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
