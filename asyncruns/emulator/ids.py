"""Object ids: random-looking, and the same again for the same seed."""

from __future__ import annotations

import random
import string

ALPHABET = string.ascii_letters + string.digits
LENGTH = 24


class Ids:
    """A source of ids such as `run_` and 24 letters or digits."""

    def __init__(self, seed: int | str) -> None:
        self._random = random.Random(seed)  # noqa: S311 - ids must repeat, not be secret

    def new(self, prefix: str) -> str:
        """Return an id that this source has not given before."""
        return f"{prefix}_{''.join(self._random.choices(ALPHABET, k=LENGTH))}"
