"""A server's text to one that can be read, and shown: nothing in it moves the cursor."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["CONTROLS", "one_line", "printable", "readable"]

CONTROLS: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""What a terminal would obey instead of showing it; tabs and line feeds are none of it."""


_SURROGATES: Final = re.compile(
    rb"\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|(?P<half>\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
)
"""Escapes of JSON: a backslash, a whole surrogate pair, or a half of one."""


def readable(body: bytes) -> bytes:
    """JSON of which every string is text: U+FFFD for half a surrogate pair, and for no UTF-8.

    Servers that cut texts at any UTF-16 unit send such halves.
    """
    text = body.decode(errors="replace").encode()
    return _SURROGATES.sub(lambda found: rb"\ufffd" if found["half"] else found[0], text)


def printable(text: str) -> str:
    """A server's text as it may go to a terminal: without control codes, which could do harm."""
    return CONTROLS.sub("\N{REPLACEMENT CHARACTER}", text.replace("\r\n", "\n"))


def one_line(text: str) -> str:
    """The same on one line: what is wrong is said in one."""
    return printable(" ".join(text.split()))
