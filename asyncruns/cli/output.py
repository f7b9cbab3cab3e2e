"""Answers to what is printed: JSON, lines of JSON, a table, or the server's own bytes.

JSON is laid out anew and never decoded and encoded again: every field, number and escape is as the
server wrote it.
"""

from __future__ import annotations

import json
import os
import re
import sys
from typing import TYPE_CHECKING, Any, Final

import click
import msgspec

from asyncruns.cli.request import Failure
from asyncruns.cli.text import CONTROLS, readable

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["MAX_ITEMS", "OUTPUT", "joined", "print_json", "print_raw"]

OUTPUT: Final = (
    click.Option(
        ["--format", "shape"],
        type=click.Choice(["json", "jsonl", "table"]),
        default="json",
        help="'json', in colour on a terminal, which is the default; 'jsonl', one line for each "
        "object; or 'table', the fields that people look for.",
    ),
    click.Option(
        ["--raw"],
        is_flag=True,
        help="Print the server's bytes as they came, whatever --format says.",
    ),
)
MAX_ITEMS: Final = click.Option(
    ["--max-items"],
    type=click.IntRange(min=1),
    metavar="N",
    help="Go on from page to page until N objects have come; one page unless given.",
)

_INDENT: Final = 2
_ON_ONE_LINE: Final = -1
_NOT_ASCII: Final = re.compile(r"[^\x00-\x7f]")


def print_json(body: bytes, *, on_one_line: bool = False) -> None:
    """Print JSON laid out, in colour on a terminal; or on one line, as programs like it."""
    try:
        indent = _ON_ONE_LINE if on_one_line else _INDENT
        laid_out = msgspec.json.format(readable(body), indent=indent)
    except (msgspec.DecodeError, RecursionError) as exc:
        raise Failure(f"the answer is no JSON that can be read: {exc}") from exc
    text = laid_out.decode()
    if not sys.stdout.encoding.lower().startswith("utf"):
        text = _NOT_ASCII.sub(_escaped, text)
    if not sys.stdout.isatty():
        click.echo(text)
        return
    # JSON has escapes for what a terminal would obey.
    text = CONTROLS.sub(_escaped, text)
    if on_one_line or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        click.echo(text)
        return
    from asyncruns.cli.console import print_coloured_json  # noqa: PLC0415 -- rich, only now

    print_coloured_json(text)


def print_raw(body: bytes) -> None:
    """Print bytes as they are; on a terminal with the line's end that it needs."""
    needed = sys.stdout.isatty() and not body.endswith(b"\n")
    sys.stdout.buffer.write(body + b"\n" * needed)
    sys.stdout.buffer.flush()


def joined(first: bytes, items: Sequence[msgspec.Raw], *, more: bool) -> bytes:
    """Several pages as one list: all members of the first page, with the items of all of them."""
    envelope: dict[str, Any] = msgspec.json.decode(readable(first), type=dict[str, msgspec.Raw])
    envelope["data"] = items
    if "last_id" in envelope and items:
        envelope["last_id"] = json.loads(bytes(items[-1])).get("id")
    if "has_more" in envelope:
        envelope["has_more"] = more
    return msgspec.json.encode(envelope)


def _escaped(sign: re.Match[str]) -> str:
    return json.dumps(sign[0])[1:-1]
