"""One PostgreSQL for all tests of workers, and a new database for each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from asyncruns.emulator import Emulator
from tests.workers.cluster import Cluster, running_cluster
from tests.workers.house import House, opened

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    with running_cluster() as cluster:
        yield cluster


@pytest.fixture
def address(cluster: Cluster) -> str:
    return cluster.new_database()


@pytest.fixture
async def server() -> AsyncIterator[Emulator]:
    async with Emulator(poll_after_ms=50) as server:
        yield server


@pytest.fixture
async def house(address: str) -> AsyncIterator[House]:
    async with opened(address) as house:
        yield house
