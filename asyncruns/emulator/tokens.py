"""Text to token-like pieces, and how many tokens a text would count."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

CHARACTERS_PER_TOKEN = 4

# A word (or a part of a long one) or a run of signs, with the space before it; or one white space.
_TOKEN = re.compile(r" ?\w{1,12}| ?[^\w\s]{1,4}|\s")


def pieces(text: str | Sequence[str]) -> list[str]:
    """Cut a text into the pieces of its deltas; a sequence is already cut and stays as it is."""
    return _TOKEN.findall(text) if isinstance(text, str) else list(text)


def whole(text: str | Sequence[str]) -> str:
    """Return the text that the pieces make up."""
    return text if isinstance(text, str) else "".join(text)


def estimate(text: str) -> int:
    """Return about how many tokens a model would count."""
    return len(text) // CHARACTERS_PER_TOKEN + 1
