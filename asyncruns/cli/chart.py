"""A chart to the lines of a terminal: a bar of characters for each of its bars."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from asyncruns.cli.console import printable
from asyncruns.cli.tree import mark_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from asyncruns.cli.bars import Bar, Chart

__all__ = ["draw_chart", "shortened"]

LONGEST_NAME: Final = 32
SHORTEST_BAR: Final = 10
"""How wide the longest bar is at least, whatever the terminal's width."""

STYLES: Final = {
    "run": "blue",
    "message": "green",
    "tools": "magenta",
    "call": "cyan",
    "other": "yellow",
}


def draw_chart(chart: Chart, width: int) -> Iterator[Text]:
    """Give the lines of a chart: the scale, and each bar between its name and its duration.

    A bar is as wide as its time, and at least one cell; what a run waited in the queue is dotted.
    """
    names = [_name(bar) for bar in chart.bars]
    times = [chart.tell(bar.seconds) for bar in chart.bars]
    name_width = min(LONGEST_NAME, max(cell_len(name.plain) for name in names))
    time_width = max(map(len, times))
    room = max(SHORTEST_BAR, width - name_width - time_width - 4)
    end = chart.tell(chart.span)
    yield Text(f"{'':{name_width}}  0 s{end:>{max(room - 3, 0)}}", "dim")
    for bar, name, time in zip(chart.bars, names, times, strict=True):
        name.plain = set_cell_size(shortened(name.plain, name_width), name_width)
        yield Text.assemble(name, "  ", _cells(bar, chart.span, room), f"  {time:>{time_width}}")


def shortened(name: str, width: int) -> str:
    """A name in no more than so many cells; one that is longer ends in an ellipsis."""
    return name if cell_len(name) <= width else f"{set_cell_size(name, width - 1)}…"


def _name(bar: Bar) -> Text:
    """The name of a bar, behind the mark of its status, in the tree of its names."""
    mark, style = mark_of(bar.status)
    name = " ".join(printable(bar.name).split())
    return Text.assemble("  " * bar.depth, (mark, style), " ", name)


def _cells(bar: Bar, span: float, room: int) -> Text:
    """The bar itself, in cells of `span / room` seconds."""
    per_second = room / span if span else 0
    # Rounded first: a start that falls on a cell's edge must not slip over it.
    first = min(math.floor(round(bar.start * per_second, 6)), room - 1)
    last = max(math.ceil(round(bar.end * per_second, 6)), first + 1)
    waited = min(math.floor(round(bar.waited * per_second, 6)), last - first - 1)
    style = STYLES[bar.kind]
    return Text.assemble(
        " " * first,
        ("┄" * waited, "dim"),
        ("━" * (last - first - waited), style),
        " " * (room - last),
    )
