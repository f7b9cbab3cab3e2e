"""A request's body as JSON: from `--body`, or from whatever is piped into the command."""

from __future__ import annotations

import os
import select
import stat
import sys
from typing import Any, Final

import click

from asyncruns.cli.flags import Flag
from asyncruns.cli.values import Kind, read_object

__all__ = ["BODY", "read_body"]

PATIENCE: Final = 2.0
"""Seconds within which a pipe must bring something: one that stays silent is nobody's body."""

_STANDARD_INPUT: Final = "-"


def _read(text: str) -> Any:
    return text if text == _STANDARD_INPUT else read_object(text)


BODY: Final = Flag(
    "body",
    Kind("JSON|@FILE|-", _read),
    "All parameters at once; flags win over them. '-' reads them from standard input, which is "
    "also read, without being asked, where something is piped or redirected into the command.",
)


def read_body(given: Any) -> dict[str, Any]:
    """Give the members of the body; `given` is what `--body` says, None without one.

    A terminal is never read unless it is asked for, and neither is a pipe in which nothing stirs
    for PATIENCE seconds: somebody has left it open; stderr says so.
    """
    if given is not None and given != _STANDARD_INPUT:
        return dict(given)
    if given is None and not _is_piped():
        return {}
    if sys.stdin is None:
        raise click.UsageError("standard input: it is closed")
    try:
        text = sys.stdin.buffer.read().decode("utf-8-sig")
        return read_object(text, inline=True) or {} if text.strip() else {}
    except UnicodeDecodeError as exc:
        raise click.UsageError("standard input: it is no UTF-8 text") from exc
    except ValueError as exc:
        raise click.UsageError(f"standard input: {exc}") from exc


def _is_piped() -> bool:
    """Whether standard input is a file, or a pipe that has something to say."""
    try:
        mode = os.fstat(sys.stdin.fileno()).st_mode
    except (AttributeError, OSError):  # there is none, or none that the system knows
        return False
    if not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)):
        return stat.S_ISREG(mode)
    if select.select([sys.stdin], [], [], PATIENCE)[0]:
        return True
    click.echo("asyncruns: nothing came from standard input; '--body -' waits for it", err=True)
    return False
