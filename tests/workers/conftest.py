"""One PostgreSQL for all tests of workers, and a new database for each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.workers.cluster import Cluster, running_cluster

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    with running_cluster() as cluster:
        yield cluster


@pytest.fixture
def address(cluster: Cluster) -> str:
    return cluster.new_database()
