"""Nothing of ours is left after a test: no task, no connection, no generator."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


@pytest.fixture(scope="module", autouse=True)
def short_collections() -> Iterator[None]:
    gc.freeze()  # what was imported stays: a collection looks at the tests' own objects
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True)
async def nothing_left(anyio_backend: str) -> AsyncIterator[None]:
    del anyio_backend
    before = asyncio.all_tasks()
    yield
    gc.collect()  # what a test left open warns now, and warnings are errors
    assert [task for task in asyncio.all_tasks() - before if not _is_of_anyio(task)] == []


def _is_of_anyio(task: asyncio.Task[object]) -> bool:
    return "TestRunner" in repr(task.get_coro())
