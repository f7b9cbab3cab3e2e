"""Tool rounds: one `async for` over all of them, and how they fail."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from asyncruns import (
    AmbiguousRequestError,
    BadRequestError,
    InternalServerError,
    MaxRoundsExceeded,
    RunTimeoutError,
    ToolError,
)
from asyncruns.emulator import Action, Call, Context, ManualClock, Say, Wait
from asyncruns.toolset import Toolset
from tests.stream.house import Follower, Tools, one_call, opened
from tests.stream.proxy import CANCEL, RETRIEVE, SUBMIT, answer, swallow

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

pytestmark = pytest.mark.anyio

REFUSAL = b'{"error": {"message": "No outputs here.", "type": "invalid_request_error"}}'


async def test_one_loop_goes_over_three_rounds_of_two_calls() -> None:
    tools = Tools()
    async with opened() as house:
        async with house.stream(toolset=tools.set) as stream:
            seen = await Follower(stream).follow()
        assert stream.outcome == "completed"
        truth = await house.truth_of(stream)
        truth.assert_is(stream)
        truth.assert_is(seen.accumulator)
        assert "".join(seen.texts) == truth.text
        assert sorted(tools.asked) == [f"{city} {n}" for city in ("Oslo", "Rome") for n in range(3)]
        assert seen.names.count("thread.run.requires_action") == 3
        assert not any(event.recovered for event in seen.events)
        assert house.proxy.count(RETRIEVE) == 0


async def test_the_calls_of_a_round_run_at_once() -> None:
    running, both = 0, asyncio.Event()

    async def weather(city: str) -> str:
        nonlocal running
        running += 1
        if running % 2 == 0:
            both.set()
        await both.wait()
        both.clear()
        return city

    async with opened() as house:
        async with house.stream(toolset=Toolset(weather)) as stream:
            await stream.until_done()
        assert stream.outcome == "completed"


async def test_max_parallel_tools_bounds_them() -> None:
    running: list[str] = []

    async def weather(city: str) -> str:
        running.append(city)
        await asyncio.sleep(0)
        assert running == [city]
        running.clear()
        return city

    async with opened() as house:
        options: Any = {"max_parallel_tools": 1, "on_tool_error": "raise"}
        async with house.stream(toolset=Toolset(weather), **options) as stream:
            await stream.until_done()
        assert stream.outcome == "completed"


async def ask_and_ask(_: Context) -> AsyncGenerator[Action, Any]:
    for number in range(50):
        yield Call("weather", {"city": f"Oslo {number}"})


async def test_a_run_of_fifty_rounds_is_stopped_after_ten() -> None:
    tools = Tools()
    async with opened(ask_and_ask) as house:
        async with house.stream(toolset=tools.set, max_rounds=10) as stream:
            with pytest.raises(MaxRoundsExceeded, match="10"):
                await stream.until_done()
            assert len(tools.asked) == 10
            assert (await house.truth_of(stream)).run["status"] == "cancelled"
        assert house.proxy.count(CANCEL) == 1


async def test_the_last_round_that_is_allowed_is_allowed() -> None:
    async with opened() as house, house.stream(toolset=Tools().set, max_rounds=3) as stream:
        assert (await stream.get_final_run()).status == "completed"


async def test_a_tool_that_hangs_is_stopped_by_its_timeout() -> None:
    async def weather(city: str) -> None:
        await asyncio.sleep(3600 if city else 0)

    async with opened(one_call) as house:
        async with house.stream(toolset=Toolset(weather), tool_timeout=0.01) as stream:
            assert (await stream.get_final_run()).status == "completed"
        assert '"code":"timeout"' in (await house.truth_of(stream)).text


async def test_a_tool_that_raises_shows_the_model_why() -> None:
    async def weather(city: str) -> None:
        raise LookupError(f"no such place: {city}")

    async with opened(one_call) as house:
        async with house.stream(toolset=Toolset(weather)) as stream:
            await stream.until_done()
        assert "LookupError: no such place: Oslo" in (await house.truth_of(stream)).text


async def test_a_tool_error_that_is_raised_stops_its_siblings_and_the_run() -> None:
    stopped: list[str] = []

    async def weather(city: str) -> None:
        if city.startswith("Rome"):
            raise LookupError(city)
        try:
            await asyncio.sleep(3600)
        finally:
            stopped.append(city)

    async with opened() as house:
        async with house.stream(toolset=Toolset(weather), on_tool_error="raise") as stream:
            with pytest.raises(ToolError) as caught:
                await stream.until_done()
            assert stopped == ["Oslo 0"]
            assert (await house.truth_of(stream)).run["status"] == "cancelled"
        assert isinstance(caught.value.__cause__, LookupError)
        assert house.proxy.count(SUBMIT) == 0


async def test_a_run_that_cannot_be_cancelled_does_not_mask_the_tool_s_error() -> None:
    async def weather(city: str) -> None:
        raise LookupError(city)

    async with opened(one_call) as house:
        house.proxy.plan(CANCEL, answer("400 Bad Request"))
        async with house.stream(toolset=Toolset(weather), on_tool_error="raise") as stream:
            with pytest.raises(ToolError):
                await stream.until_done()
        assert house.proxy.count(CANCEL) == 1


@pytest.mark.parametrize("forward", [False, True])
async def test_an_answer_that_is_swallowed_is_given_once(*, forward: bool) -> None:
    tools = Tools()
    async with opened() as house:
        house.proxy.plan(SUBMIT, swallow(forward=forward), skip=1)
        async with house.stream(toolset=tools.set) as stream:
            seen = await Follower(stream).follow()
        (await house.truth_of(stream)).assert_is(seen.accumulator)
        assert len(tools.asked) == len(set(tools.asked)) == 6
        assert house.proxy.count(SUBMIT) == (3 if forward else 4)


async def test_an_answer_that_never_gets_through_is_given_up() -> None:
    tools = Tools()
    async with opened(one_call) as house:
        house.proxy.plan(SUBMIT, swallow(forward=False), times=99)
        async with house.stream(toolset=tools.set) as stream:
            with pytest.raises(AmbiguousRequestError):
                await stream.until_done()
        assert stream.outcome == "interrupted"
        assert tools.asked == ["Oslo"]
        assert 2 <= house.proxy.count(SUBMIT) <= 5


async def test_a_refused_answer_shows_the_refusal() -> None:
    tools = Tools()
    async with opened(one_call) as house:
        house.proxy.plan(SUBMIT, answer("400 Bad Request", REFUSAL))
        async with house.stream(toolset=tools.set) as stream:
            with pytest.raises(BadRequestError, match=r"No outputs here\."):
                await stream.until_done()
        assert tools.asked == ["Oslo"]
        assert house.proxy.count(SUBMIT) == 1


async def test_a_refusal_because_the_answer_is_there_is_none() -> None:
    """An answer is taken, its own answer lost, a stale look seen, and the second try refused."""
    tools = Tools()
    async with opened(one_call) as house:
        async with house.stream(toolset=tools.set) as stream:
            async for event in stream:
                if event.event == "thread.run.requires_action":
                    assert stream.run is not None
                    house.proxy.plan(SUBMIT, swallow())
                    house.proxy.plan(RETRIEVE, answer("200 OK", event.raw))
            assert stream.outcome == "completed"
        assert tools.asked == ["Oslo"]
        assert house.proxy.count(SUBMIT) == 2


async def test_an_answer_is_no_answer_where_errors_are_to_be_raised() -> None:
    async with opened(one_call) as house:
        house.proxy.plan(SUBMIT, answer("500 Oops"), times=9)
        async with house.stream(toolset=Tools().set, on_interrupt="raise") as stream:
            with pytest.raises(InternalServerError):
                await stream.until_done()


async def test_a_run_that_expires_under_its_tools_ends_expired() -> None:
    clock = ManualClock(time.time())

    async def weather(city: str) -> str:
        clock.advance(601)
        return city

    async with opened(one_call, clock=clock) as house:
        async with house.stream(toolset=Toolset(weather)) as stream:
            seen = await Follower(stream).follow()
        assert stream.outcome == "expired"
        assert seen.events[-1].recovered
        (await house.truth_of(stream)).assert_is(seen.accumulator)


async def ask_by_one_name(_: Context) -> AsyncGenerator[Action, Any]:
    first = yield Call("weather", {"city": "Oslo"}, id="call_0")
    second = yield Call("weather", {"city": "Rome"}, id="call_0")
    yield Say(f"{first}, {second}")


async def test_ids_of_calls_may_come_again() -> None:
    tools = Tools()
    async with opened(ask_by_one_name) as house:
        async with house.stream(toolset=tools.set) as stream:
            await stream.until_done()
        assert tools.asked == ["Oslo", "Rome"]
        assert (await house.truth_of(stream)).text == "sunny in Oslo, sunny in Rome"


async def ask_slowly_by_one_name(_: Context) -> AsyncGenerator[Action, Any]:
    first = yield Call("weather", {"city": "Oslo"}, id="call_0")
    yield Wait(0.3)
    second = yield Call("weather", {"city": "Rome"}, id="call_0")
    yield Say(f"{first}, {second}")


async def test_ids_of_calls_may_come_again_after_an_answer_that_was_swallowed() -> None:
    tools = Tools()
    async with opened(ask_slowly_by_one_name) as house:
        house.proxy.plan(SUBMIT, swallow())
        async with house.stream(toolset=tools.set) as stream:
            await stream.until_done()
        assert (await house.truth_of(stream)).text == "sunny in Oslo, sunny in Rome"


async def test_the_deadline_stops_a_tool_and_leaves_the_run() -> None:
    started = asyncio.Event()

    async def weather(city: str) -> str:
        started.set()
        await asyncio.sleep(3600)
        return city

    async with opened(one_call) as house:
        async with house.stream(toolset=Toolset(weather), deadline=0.5) as stream:
            with pytest.raises(RunTimeoutError) as caught:
                await stream.until_done()
        assert started.is_set()
        assert caught.value.run == stream.run
        assert (await house.truth_of(stream)).run["status"] == "requires_action"


@asynccontextmanager
async def _entered(limit: Any) -> AsyncGenerator[None, None]:
    if hasattr(limit, "__aenter__"):
        async with limit:
            yield
    else:
        with limit:
            yield


async def test_a_caller_s_own_time_limit_stays_its_own() -> None:
    async def weather(city: str) -> str:
        await asyncio.sleep(3600)
        return city

    async with opened(one_call) as house:
        for limit in (asyncio.timeout, anyio.fail_after):
            async with house.stream(toolset=Toolset(weather), deadline=60) as stream:
                with pytest.raises(TimeoutError):
                    async with _entered(limit(0.02)):
                        await stream.until_done()
                await asyncio.sleep(0)  # nothing of it is left
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0
