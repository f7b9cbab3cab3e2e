"""Leaving a stream before its end: whenever, however often, and by whose hand."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from asyncruns import Client, StreamInterrupted
from asyncruns.emulator import Action, Context, Say, Wait
from asyncruns.toolset import Toolset
from tests.stream.house import Follower, Tools, one_call, opened, say_hello
from tests.stream.proxy import CANCEL, CREATE, Cut, answer, stall
from tests.transport.wires import until

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from asyncruns import RunStream

pytestmark = pytest.mark.anyio


async def say_and_wait(_: Context) -> AsyncGenerator[Action, Any]:
    yield Say("Hello.")
    yield Wait(3600)


class Boom(Exception):  # noqa: N818 -- a caller's own exception
    pass


# Leaving after so many events


async def test_a_block_may_be_left_at_any_event() -> None:
    async with opened() as house:
        count = 0
        while True:
            async with house.stream(toolset=Tools().set) as stream:
                seen = Follower(stream)
                async for event in stream:
                    if len(seen.events) == count:
                        break
                    seen.take(event)
                else:
                    break
            assert house.held == 0
            assert stream.outcome in {"interrupted", "requires_action", "completed"}
            count += 1
        assert count > 50
        # Nothing is asked of the server that was not asked for.
        assert house.proxy.count(CANCEL) == 0


async def test_a_text_loop_may_be_left() -> None:
    async with opened(say_hello) as house, house.stream() as stream:
        async for text in stream.text_deltas:
            assert text == "Hel"
            break
        assert [text async for text in stream.text_deltas] == ["lo", "."]


async def test_a_stream_may_be_closed_twice() -> None:
    async with opened(say_hello) as house, house.stream(cancel_on_exit=True) as stream:
        await anext(aiter(stream))
        await stream.aclose()
        await stream.aclose()
        assert house.held == 0
        assert house.proxy.count(CANCEL) == 1


async def test_a_stream_that_was_never_entered_may_be_closed() -> None:
    async with opened(say_hello) as house:
        await house.stream(cancel_on_exit=True).aclose()
        assert house.proxy.lines == []


@pytest.mark.parametrize("where", ["read", "tool", "poll"])
async def test_a_stream_that_is_closed_under_its_reader_says_so(where: str) -> None:
    in_tool, leave_tool = asyncio.Event(), asyncio.Event()

    async def weather(city: str) -> str:
        in_tool.set()
        await leave_tool.wait()
        return city

    async with opened(one_call if where == "tool" else say_and_wait) as house:
        house.proxy.plan(CREATE, Cut(events=9 if where == "poll" else 10**6))
        async with house.stream(toolset=Toolset(weather)) as stream:
            reading = asyncio.create_task(stream.until_done())
            if where == "tool":
                await in_tool.wait()
            else:
                await until(lambda: stream.messages)
                await until(lambda: where == "read" or house.proxy.count(r"^GET"))
            await stream.aclose()
            leave_tool.set()
            with pytest.raises(StreamInterrupted, match="closed here"):
                await reading
            assert house.held == 0
        assert house.proxy.count(r"submit_tool_outputs") == 0


async def test_a_stream_that_is_closed_at_a_pause_runs_no_tools() -> None:
    tools = Tools()
    async with opened(one_call) as house:
        house.proxy.plan(CREATE, stall(after="thread.run.requires_action"))
        async with house.stream(toolset=tools.set) as stream:
            reading = asyncio.create_task(stream.until_done())
            await until(lambda: stream.run and stream.run.status == "requires_action")
            await stream.aclose()
            await reading
        assert stream.outcome == "requires_action"
        assert tools.asked == []


async def test_a_client_that_is_closed_ends_its_streams() -> None:
    async with opened(say_and_wait) as house:
        client = Client(base_url=house.proxy.url, api_key="")
        thread_id = house.thread()
        async with client.runs.stream(thread_id=thread_id, assistant_id=house.assistant) as stream:
            reading = asyncio.create_task(stream.until_done())
            await until(lambda: stream.messages)
            await client.aclose()
            with pytest.raises(StreamInterrupted, match="closed"):
                await reading


# cancel_on_exit


async def leave(stream: RunStream, events: int, act: Callable[[], None]) -> None:
    """Act after so many events, or where no more come."""
    it = aiter(stream)
    for _ in range(events):
        await anext(it)
    act()
    await asyncio.sleep(3600)


def boom() -> None:
    raise Boom


@pytest.mark.parametrize("events", [0, 1, 4, 9])
@pytest.mark.parametrize(
    "way", ["exception", "scope", "timeout", "task", "task twice", "again and again"]
)
async def test_leaving_cancels_the_run(way: str, events: int) -> None:
    async with opened(say_and_wait) as house:
        thread_id = house.thread()
        ready = asyncio.Event()

        async def work(act: Callable[[], None]) -> None:
            async with house.stream(thread_id, cancel_on_exit=True) as stream:
                await leave(stream, events, act)

        if way == "exception":
            with pytest.raises(Boom):
                await work(boom)
        elif way == "scope":
            with anyio.CancelScope() as scope:
                await work(scope.cancel)
            assert scope.cancelled_caught
        elif way == "timeout":
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(None) as limit:
                    await work(lambda: limit.reschedule(0))
        else:
            task = asyncio.create_task(work(ready.set))
            await ready.wait()
            task.cancel()
            for _ in range({"task": 0, "task twice": 1, "again and again": 50}[way]):
                if way != "task twice":
                    await asyncio.sleep(0)
                task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert await house.status(thread_id) in {"cancelling", "cancelled"}
        assert house.held == 0
        assert house.proxy.count(CANCEL) == 1


async def test_a_client_s_block_left_by_cancelling_twice_cancels_the_run() -> None:
    async with opened(say_and_wait) as house:
        thread_id = house.thread()
        ready = asyncio.Event()

        async def work() -> None:
            async with (
                Client(base_url=house.proxy.url, api_key="") as client,
                client.runs.stream(
                    thread_id=thread_id, assistant_id=house.assistant, cancel_on_exit=True
                ) as stream,
            ):
                await leave(stream, 3, ready.set)

        task = asyncio.create_task(work())
        await ready.wait()
        task.cancel()
        await asyncio.sleep(0)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        assert await house.status(thread_id) in {"cancelling", "cancelled"}


async def test_create_and_run_is_cancelled_before_its_first_event_too() -> None:
    async with opened(say_and_wait) as house:
        with pytest.raises(Boom):
            async with house.client.threads.create_and_run_stream(
                assistant_id=house.assistant, cancel_on_exit=True
            ):
                raise Boom
        assert house.proxy.count(CANCEL) == 1


async def test_a_run_whose_first_event_was_cut_off_is_cancelled_too() -> None:
    async with opened(say_and_wait) as house:
        thread_id = house.thread()
        house.proxy.plan(CREATE, Cut(size=400))
        async with house.stream(thread_id, cancel_on_exit=True):
            pass
        assert await house.status(thread_id) in {"cancelling", "cancelled"}


async def test_a_run_that_is_over_already_masks_nothing() -> None:
    async with opened(say_hello) as house:
        thread_id = house.thread()

        async def work() -> None:
            async with house.stream(thread_id, cancel_on_exit=True) as stream:
                await anext(aiter(stream))
                assert await house.status(thread_id) == "completed"
                raise Boom

        with pytest.raises(Boom):
            await work()
        assert house.proxy.count(CANCEL) == 1


@pytest.mark.parametrize(
    "fault", [answer("404 Not Found"), answer("200 OK", b"<html>")], ids=["404", "html"]
)
async def test_a_cancel_that_fails_masks_nothing(fault: Any) -> None:
    async with opened(say_and_wait) as house:
        house.proxy.plan(CANCEL, fault, times=99)

        async def work() -> None:
            async with house.stream(cancel_on_exit=True) as stream:
                await leave(stream, 1, boom)

        with pytest.raises(Boom):
            await work()


async def test_a_run_that_has_ended_or_that_nobody_wants_cancelled_is_not() -> None:
    async with opened(say_hello) as house:
        async with house.stream(cancel_on_exit=True) as stream:
            await stream.until_done()
        async with house.stream() as stream:
            await anext(aiter(stream))
        assert house.proxy.count(CANCEL) == 0


# A pool that is full


async def test_a_round_goes_through_where_all_connections_are_taken() -> None:
    async with opened(one_call, max_connections=1) as house:
        holders: list[RunStream] = []

        async def weather(city: str) -> str:
            house.emulator.script = say_and_wait
            holders.append(await house.stream().__aenter__())
            return f"sunny in {city}"

        async with house.stream(toolset=Toolset(weather), on_interrupt="raise") as stream:
            seen = await Follower(stream).follow()
        assert stream.outcome == "completed"
        truth = await house.truth_of(stream)
        truth.assert_is(seen.accumulator)
        assert "".join(seen.texts) == truth.text
        run = (await Follower(holders[0]).first()).stream.run
        assert run is not None
        polling = house.client.runs.poll(run.id, run.thread_id, until={"in_progress"})
        assert (await polling).status == "in_progress"
        await house.client.runs.cancel(run.id, thread_id=run.thread_id)
        await holders[0].until_done()
        assert holders[0].outcome == "cancelled"
        await holders[0].aclose()
