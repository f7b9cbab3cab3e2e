"""Nothing of ours is left after a test: no task, no connection, no generator."""

from __future__ import annotations

from tests.stream.conftest import nothing_left, short_collections

__all__ = ["nothing_left", "short_collections"]
