"""A server's text to a terminal's: nothing in it moves the cursor or turns the writing round."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["CONTROLS", "one_line", "printable"]

CONTROLS: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""What a terminal would obey instead of showing it; tabs and line feeds are none of it."""


def printable(text: str) -> str:
    """A server's text as it may go to a terminal: without control codes, which could do harm."""
    return CONTROLS.sub("\N{REPLACEMENT CHARACTER}", text.replace("\r\n", "\n"))


def one_line(text: str) -> str:
    """The same on one line: what is wrong is said in one."""
    return printable(" ".join(text.split()))
