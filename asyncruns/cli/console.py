"""Where output goes: a terminal with colour and live pictures, or plain text anywhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.highlighter import JSONHighlighter
from rich.segment import Segment

from asyncruns.cli.text import printable

if TYPE_CHECKING:
    from rich.console import ConsoleOptions, RenderableType, RenderResult

__all__ = ["Ragged", "is_live", "open_console", "print_coloured_json", "printable"]


def open_console(*, stderr: bool = False) -> Console:
    """A console that shows texts as they are. It honours NO_COLOR, FORCE_COLOR and COLUMNS."""
    return Console(stderr=stderr, highlight=False, markup=False, emoji=False)


def is_live(console: Console) -> bool:
    """Whether a picture can be redrawn: only on a terminal that moves its cursor."""
    return console.is_interactive and console.file.isatty()


def print_coloured_json(text: str) -> None:
    """Print JSON that is laid out already to stdout, in colour, each line as long as it is."""
    open_console().print(JSONHighlighter()(text), soft_wrap=True)


class Ragged:
    """A picture without spaces at the ends of its lines; with `height`, no more than its end."""

    def __init__(self, picture: RenderableType, height: int | None = None) -> None:
        self._picture = picture
        self._height = height

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        lines = console.render_lines(self._picture, options, pad=False)
        for line in lines if self._height is None else lines[-self._height :]:
            while line and not line[-1].text.strip():
                line.pop()
            if line:
                yield from line[:-1]
                yield Segment(line[-1].text.rstrip(), line[-1].style)
            yield Segment.line()
