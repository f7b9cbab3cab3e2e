"""What every test has: asyncio under anyio's pytest plugin."""

from __future__ import annotations

import pytest


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def pytest_addoption(parser: pytest.Parser) -> None:
    lengths = parser.getgroup("lengths", "how long the tests that search may search")
    lengths.addoption("--cuts", type=int, default=500, help="cuts at random bytes (%(default)s)")
