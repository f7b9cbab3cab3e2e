"""Clocks, and the timers that wait for them."""

from __future__ import annotations

import asyncio
import time
from functools import partial

import pytest

from asyncruns.emulator import Clock, ManualClock

pytestmark = pytest.mark.anyio


async def test_a_manual_clock_stands_still_until_it_is_moved() -> None:
    clock = ManualClock(start=100)
    assert clock.now() == 100
    clock.advance(2.5)
    assert clock.now() == 102.5


async def test_timers_go_off_in_order_when_time_reaches_them() -> None:
    clock = ManualClock(start=0)
    called: list[int] = []
    for when in (3, 1, 2, 9):
        clock.call_at(when, partial(called.append, when))
    clock.advance(3)
    assert called == [1, 2, 3]
    clock.advance(100)
    assert called == [1, 2, 3, 9]


async def test_a_cancelled_timer_does_not_go_off() -> None:
    clock = ManualClock(start=0)
    called: list[int] = []
    timer = clock.call_at(1, lambda: called.append(1))
    timer.cancel()
    timer.cancel()
    clock.advance(2)
    assert called == []


async def test_a_timer_may_take_back_another_one_that_is_due() -> None:
    clock = ManualClock(start=0)
    called: list[int] = []

    def take_back() -> None:
        later.cancel()

    clock.call_at(1, take_back)
    later = clock.call_at(2, lambda: called.append(2))
    clock.advance(3)
    assert called == []


@pytest.mark.parametrize("clock", [Clock(), ManualClock()])
async def test_a_timer_in_the_past_goes_off_at_the_loops_next_turn(clock: Clock) -> None:
    called = asyncio.Event()
    clock.call_at(clock.now() - 1, called.set)
    assert not called.is_set()
    await asyncio.wait_for(called.wait(), 1)


async def test_the_systems_clock_tells_the_time_and_can_be_moved_ahead() -> None:
    clock = Clock()
    assert abs(clock.now() - time.time()) < 1
    sleeping = asyncio.ensure_future(clock.sleep(60))
    await asyncio.sleep(0)
    clock.advance(59)
    await asyncio.sleep(0)
    assert not sleeping.done()
    clock.advance(1)
    await asyncio.wait_for(sleeping, 1)


async def test_a_short_sleep_needs_no_moving() -> None:
    await asyncio.wait_for(Clock().sleep(0.01), 1)
