"""What the tests of streams have."""

from __future__ import annotations

from tests.stream.conftest import one_trust

__all__ = ["one_trust"]
