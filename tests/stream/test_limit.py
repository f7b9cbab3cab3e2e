"""A bound on one wait: its own error past its time, and nothing else touched."""

from __future__ import annotations

import asyncio

import pytest

from asyncruns.watch import Limit

pytestmark = pytest.mark.anyio


class LateError(Exception):
    """What the bound says."""


def in_a_moment() -> float:
    return asyncio.get_running_loop().time() + 0.01


async def test_past_its_time_it_raises_its_own_error() -> None:
    with pytest.raises(LateError) as caught:
        async with Limit(in_a_moment(), LateError):
            await asyncio.sleep(60)
    assert isinstance(caught.value.__cause__, TimeoutError)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


@pytest.mark.parametrize("bounded", [True, False])
async def test_a_timeout_of_the_blocks_own_stays_what_it_is(bounded: bool) -> None:
    own = TimeoutError("mine")
    with pytest.raises(TimeoutError) as caught:
        async with Limit(in_a_moment() + 60 if bounded else None, LateError):
            raise own
    assert caught.value is own


async def test_without_a_time_it_bounds_nothing() -> None:
    async with Limit(None, LateError):
        await asyncio.sleep(0.02)


async def test_a_cancellation_from_outside_is_not_its_own() -> None:
    async def wait() -> None:
        async with Limit(in_a_moment() + 60, LateError):
            await asyncio.sleep(60)

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
