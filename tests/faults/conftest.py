"""Nothing of ours is left after a test."""

from __future__ import annotations

from tests.stream.conftest import nothing_left, one_trust, short_collections

__all__ = ["nothing_left", "one_trust", "short_collections"]
