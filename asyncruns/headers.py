"""Layers of headers to the headers of one request: merged, and such as HTTP can carry."""

from __future__ import annotations

from string import ascii_letters, digits
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["check_method", "merged", "sendable"]

_TOKEN: Final = frozenset("!#$%&'*+-.^_`|~" + digits + ascii_letters)
"""What a method, or the name of a header, consists of (RFC 9110, 5.6.2)."""

_FORBIDDEN: Final = frozenset(
    map(chr, (*range(0x09), *range(0x0A, 0x20), 0x7F, *range(0xD800, 0xE000)))
)
"""What ends a line or a string for somebody, and what UTF-8 cannot say."""


def merged(*layers: Mapping[str, str | None]) -> dict[str, str | None]:
    """Headers of which the later ones win, whatever their case."""
    winners = {name.lower(): (name, value) for layer in layers for name, value in layer.items()}
    return dict(winners.values())


def sendable(headers: Mapping[str, str | None]) -> dict[str, str]:
    """The headers that have a value, after a check that none can be taken for more than one.

    Raises ValueError naming the header, and TypeError for a value that is no string; neither
    shows the value, which may be a key.
    """
    checked: dict[str, str] = {}
    for name, value in headers.items():
        if not _is_token(name):
            raise ValueError(f"{name!r} is no name of a header")
        if value is None:
            continue
        if not isinstance(value, str):
            kind = type(value).__name__
            raise TypeError(f"the header {name!r} must be a string or None, and not {kind}")
        if not _FORBIDDEN.isdisjoint(value):
            raise ValueError(f"the header {name!r} has a line end or another control character")
        checked[name] = value
    return checked


def check_method(method: str) -> None:
    """Raise ValueError unless it is one word, as an HTTP method is."""
    if not _is_token(method):
        raise ValueError(f"{method!r} is no HTTP method")


def _is_token(word: str) -> bool:
    return bool(word) and _TOKEN.issuperset(word)
