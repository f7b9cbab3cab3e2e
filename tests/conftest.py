"""What every test has: asyncio under anyio's pytest plugin, and nothing left behind."""

from __future__ import annotations

import gc
import logging
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from tests.leaks import Complaints, open_sockets, open_tasks, sockets_beyond, sockets_left

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

# How long an example takes says more of the machine than of us.
settings.register_profile("asyncruns", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("asyncruns")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def pytest_addoption(parser: pytest.Parser) -> None:
    lengths = parser.getgroup("lengths", "how long the tests that search may search")
    lengths.addoption("--cuts", type=int, default=500, help="cuts at random bytes (%(default)s)")


@pytest.fixture(scope="module", autouse=True)
def short_collections() -> Iterator[None]:
    gc.freeze()  # what was imported stays: a collection looks at the tests' own objects
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True)
def nothing_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that leaves tasks or connections, or that makes asyncio complain."""
    is_async = request.node.get_closest_marker("anyio") is not None
    if is_async:
        request.getfixturevalue("nothing_left_in_loop")
    complaints, log = Complaints(), logging.getLogger("asyncio")
    sockets = open_sockets()
    log.addHandler(complaints)
    yield
    if is_async:
        gc.collect()  # what a test left open warns now, and warnings are errors
    log.removeHandler(complaints)
    assert complaints.said == []
    if not is_async:  # any other has been counted in its loop
        assert sockets_left(sockets) == 0


@pytest.fixture
async def nothing_left_in_loop(anyio_backend: object) -> AsyncIterator[None]:
    del anyio_backend
    tasks, sockets = open_tasks(), open_sockets()
    yield
    assert open_tasks() - tasks == set()
    assert await sockets_beyond(sockets) == 0
