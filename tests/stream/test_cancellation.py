"""Cancelled at every await: each turn of the loop on which a caller can be is tried."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from tests.stream.house import Follower, House, Tools, one_call, opened
from tests.stream.proxy import STREAMS, Cut

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from asyncruns import RunStream

pytestmark = pytest.mark.anyio

ASYNCIO = "asyncio"
UVLOOP = ("asyncio", {"use_uvloop": True})


async def through_a_round(house: House, tools: Tools) -> RunStream:
    async with house.stream(toolset=tools.set) as stream:
        try:
            await Follower(stream).follow()
        finally:
            _read_all(stream)
    return stream


async def through_a_repair(house: House, tools: Tools) -> RunStream:
    house.proxy.plans.clear()
    house.proxy.plan(STREAMS, Cut(events=5, reset=True))
    return await through_a_round(house, tools)


async def through_answers_by_hand(house: House, _: Tools) -> None:
    async with house.stream(cancel_on_exit=True) as stream:
        await stream.until_done()
        await stream.submit([{"tool_call_id": the_call(stream), "output": "sunny"}])
        await stream.until_done()
        assert stream.outcome == "completed"


def the_call(stream: RunStream) -> str:
    """The id of the call that a run waits for."""
    assert stream.run is not None
    action: Any = stream.run.required_action
    return str(action.submit_tool_outputs.tool_calls[0].id)


async def through_a_poll(house: House, tools: Tools) -> None:
    await house.client.runs.create_and_poll(
        thread_id=house.thread(), assistant_id=house.assistant, toolset=tools.set
    )


async def through_an_attachment(house: House, tools: Tools) -> None:
    run = await house.emulator.add_run(house.thread(), house.assistant)
    async with house.client.runs.attach(
        run["id"], thread_id=run["thread_id"], toolset=tools.set, cancel_on_exit=True
    ) as stream:
        await Follower(stream).follow()


def _read_all(stream: RunStream) -> None:
    assert isinstance(stream.steps, list)
    assert isinstance(stream.messages, list)
    assert stream.run is None or stream.run.id


@pytest.mark.parametrize(
    "way",
    [
        through_a_round,
        through_a_repair,
        through_answers_by_hand,
        through_a_poll,
        through_an_attachment,
    ],
)
@pytest.mark.parametrize(
    ("anyio_backend", "cancels"),
    [(ASYNCIO, 1), (ASYNCIO, 2), pytest.param(UVLOOP, 1, id="uvloop-1")],
)
async def test_the_caller_may_be_cancelled_at_every_await(
    way: Callable[[House, Tools], Awaitable[Any]], cancels: int
) -> None:
    async with opened(one_call) as house:
        turns = 0
        while True:
            task = asyncio.ensure_future(way(house, Tools()))
            for _ in range(turns):
                await asyncio.sleep(0)
            is_over = task.done()
            for _ in range(cancels):
                task.cancel()
            await asyncio.wait({task})
            assert house.held == 0, f"after {turns} turns"
            if is_over:
                await task
                break
            assert task.cancelled(), f"after {turns} turns"
            turns += 1
        assert turns > 10


@pytest.mark.parametrize("anyio_backend", [ASYNCIO, UVLOOP], ids=["asyncio", "uvloop"])
async def test_a_stream_goes_on_after_its_reader_was_cancelled() -> None:
    async with opened(one_call) as house:
        turns, cancelled = 0, True
        while cancelled:
            async with house.stream(toolset=Tools().set) as stream:
                task = asyncio.ensure_future(stream.until_done())
                for _ in range(turns):
                    await asyncio.sleep(0)
                task.cancel()
                await asyncio.wait({task})
                cancelled = task.cancelled()
                await stream.until_done()
                assert stream.outcome == "completed", f"after {turns} turns"
                (await house.truth_of(stream)).assert_is(stream)
            turns += 1
        assert turns > 10
