"""One PostgreSQL for all tests of workers, and an empty database for each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

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
    return cluster.empty_database()


@pytest.fixture
async def house(address: str) -> AsyncIterator[House]:
    async with opened(address) as house:
        yield house
