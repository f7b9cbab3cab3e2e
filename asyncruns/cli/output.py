"""Answers to what is printed: JSON, lines of JSON, a table, or the server's own bytes."""

from __future__ import annotations

from typing import Final

import click

__all__ = ["MAX_ITEMS", "OUTPUT"]

OUTPUT: Final = (
    click.Option(
        ["--format", "shape"],
        type=click.Choice(["json", "jsonl", "table"]),
        default="json",
        show_default=True,
        help="JSON, in colour on a terminal; one line of JSON for each object; or a table.",
    ),
    click.Option(["--raw"], is_flag=True, help="Print the server's bytes as they came."),
)
MAX_ITEMS: Final = click.Option(
    ["--max-items"],
    type=click.IntRange(min=1),
    metavar="N",
    help="Ask for pages until N objects have come; one page unless given.",
)
