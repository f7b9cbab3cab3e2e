"""A chart to an SVG: a rectangle for each of its bars, readable on white and on dark."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from xml.sax.saxutils import escape

from asyncruns.cli.chart import shortened
from asyncruns.cli.console import printable
from asyncruns.cli.tree import mark_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from asyncruns.cli.bars import Bar, Chart

__all__ = ["svg_of"]

WIDTH: Final = 960
NAMES: Final = 250
"""How much of the width the names take."""
TIMES: Final = 90
"""How much of it the durations take."""
ROW: Final = 24
BAR: Final = 12
TOP: Final = 64
"""Where the first row begins, below the title and the scale."""
INDENT: Final = 16
THINNEST: Final = 3
"""How wide a bar is at least, however short its time."""
LONGEST_NAME: Final = 20
"""After how many characters of usual width a name is cut."""

FILLS: Final = {
    "run": "#4a86e8",
    "message": "#3d9a50",
    "tools": "#a56bd6",
    "call": "#2a9aa8",
    "other": "#b58900",
}
FAILED: Final = "#d9534f"
INK: Final = "#7a7f87"
"""A grey that stands out from white as far as from black."""

_NO_XML: Final = re.compile(r"[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What no XML document may contain, escaped or not (XML 1.0, 2.2)."""


def svg_of(chart: Chart, title: str) -> str:
    """Give a chart as a whole SVG document: title, scale, and a row for each bar."""
    height = TOP + ROW * len(chart.bars) + ROW // 2
    frame = f'width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}"'
    font = 'font-family="system-ui, sans-serif" font-size="13"'
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" {frame} role="img" {font} fill="{INK}">',
            f"<title>{_text(title)}</title>",
            f'<text x="12" y="26" font-size="15" font-weight="600">{_text(title)}</text>',
            *_scale(chart, height),
            *(line for row, bar in enumerate(chart.bars) for line in _row(chart, bar, row)),
            "</svg>\n",
        )
    )


def _scale(chart: Chart, height: int) -> Iterator[str]:
    """Lines from top to bottom at round times, and what time they stand for."""
    step = _step(chart)
    for number in range(int(chart.span / step + 1e-9) + 1 if chart.span else 1):
        x = _x(chart, number * step)
        label = f"{number * step:g} s"
        yield (
            f'<line x1="{x:g}" y1="{TOP - 8}" x2="{x:g}" y2="{height - 8}"'
            f' stroke="{INK}" stroke-opacity="0.3"/>'
        )
        yield f'<text x="{x:g}" y="{TOP - 14}" font-size="11" text-anchor="middle">{label}</text>'


def _step(chart: Chart) -> float:
    """A round number of seconds that divides the span into at most ten parts."""
    step = 0.1 if chart.exact else 1.0
    while step * 10 < chart.span:
        step *= 2.5 if f"{step:e}".startswith("2") else 2
    return step


def _row(chart: Chart, bar: Bar, row: int) -> Iterator[str]:
    y = TOP + ROW * row
    middle = y + ROW / 2 + 4
    start, end = _x(chart, bar.start), _x(chart, bar.end)
    width = max(end - start, THINNEST)
    waited = min(_x(chart, bar.start + bar.waited) - start, width - THINNEST)
    mark, _ = mark_of(bar.status)
    name, time = " ".join(bar.name.split()), chart.tell(bar.seconds)
    shown = shortened(name, LONGEST_NAME)
    fill = FAILED if bar.status == "failed" else FILLS[bar.kind]
    top = y + (ROW - BAR) / 2
    yield f"<g><title>{_text(f'{name} · {bar.status} · {time}')}</title>"
    yield f'<text x="{12 + INDENT * bar.depth}" y="{middle:g}">{_text(f"{mark} {shown}")}</text>'
    if waited > 0:
        yield _rectangle(start, top, waited, f'fill="{fill}" fill-opacity="0.35"')
    yield _rectangle(start + max(waited, 0), top, width - max(waited, 0), f'fill="{fill}"')
    yield f'<text x="{WIDTH - 12}" y="{middle:g}" text-anchor="end">{_text(time)}</text></g>'


def _rectangle(x: float, y: float, width: float, fill: str) -> str:
    return f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{BAR}" rx="2" {fill}/>'


def _x(chart: Chart, seconds: float) -> float:
    """Where a moment is, in the picture."""
    room = WIDTH - NAMES - TIMES
    return round(NAMES + (room * seconds / chart.span if chart.span else 0), 2)


def _text(text: str) -> str:
    return escape(_NO_XML.sub("\N{REPLACEMENT CHARACTER}", printable(text)))
