"""What a pool tries again: rate limits, answers that did not come, jobs that were begun before."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from asyncruns import (
    BadRequestError,
    InternalServerError,
    RateLimitError,
    RunFailedError,
    RunJob,
    RunPool,
)
from asyncruns.emulator import Wait
from tests.pool.house import (
    KEY,
    Gate,
    Limited,
    ask_the_weather,
    echo,
    job,
    limited,
    refuse,
    said_to,
    text_of,
)
from tests.stream.house import Tools, opened
from tests.stream.proxy import CREATE, LIST_RUNS, SUBMIT, Cut, Exchange, relay, swallow
from tests.transport.wires import until

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from asyncruns import RunResult
    from asyncruns.emulator import Action, Context
    from tests.stream.house import House
    from tests.stream.proxy import Fault

pytestmark = pytest.mark.anyio

NEW_THREAD = r"^POST \S+/threads "


async def begin(house: House, key: str, script: Any, thread: str) -> str:
    """Create the run of a job as a pool that has died since has done."""
    metadata = {KEY: key}
    run = await house.emulator.add_run(thread, house.assistant, script=script, metadata=metadata)
    return str(run["id"])


# Rate limits


async def test_a_rate_limit_holds_the_whole_pool_for_the_time_that_it_names() -> None:
    async with opened(echo) as house, RunPool(house.client, concurrency=4) as pool:
        refused = asyncio.Event()
        pauses: list[float] = []

        async def look(exchange: Exchange) -> None:
            pauses.append(pool.paused_for)
            await relay(exchange)

        async def refuse_one(exchange: Exchange) -> None:
            await limited(400)(exchange)
            refused.set()

        house.proxy.plan(CREATE, refuse_one)
        house.proxy.plan(CREATE, look, skip=1, times=100)

        async def jobs() -> AsyncGenerator[RunJob, None]:
            yield job(house)
            await refused.wait()
            await until(lambda: pool.paused_for > 0)
            for _ in range(6):
                yield job(house)

        results = [result async for result in pool.map(jobs())]
        assert [result.outcome for result in results] == ["completed"] * 7
        assert pauses == [0.0] * 7
        assert pool.paused_for == 0


async def test_a_run_that_a_rate_limit_failed_is_tried_again_and_nothing_is_said_twice() -> None:
    script = Limited(2)
    async with opened(script.script) as house, RunPool(house.client) as pool:
        thread = house.thread()
        extra = [{"role": "user", "content": "Quickly!"}]
        result = await pool.run(job(house, thread_id=thread, params={"additional_messages": extra}))
        assert (result.outcome, result.retries, pool.counts.retried) == ("completed", 2, 2)
        assert text_of(result) == "You said: Quickly!"
        assert await said_to(house, thread) == ["Well?", "Hello!", "Quickly!"]
        assert [run["status"] for run in await house.runs(thread)] == [
            "completed",
            "failed",
            "failed",
        ]


async def test_a_job_that_is_limited_too_often_has_its_last_run_as_its_result() -> None:
    script = Limited(100, "Please try again in 1ms.")
    async with opened(script.script) as house, RunPool(house.client, retries=3) as pool:
        result = await pool.run(job(house))
        assert (result.outcome, result.retries, result.exception) == ("failed", 3, None)
        with pytest.raises(RunFailedError, match="rate_limit_exceeded"):
            result.raise_for_status()
        assert pool.counts.failed == 1


async def test_a_limit_that_names_no_time_is_waited_for_all_the_same() -> None:
    script = Limited(1, "Slow down.")
    async with opened(script.script) as house, RunPool(house.client) as pool:
        result = await pool.run(job(house))
        assert (result.outcome, result.retries) == ("completed", 1)


@pytest.mark.parametrize("how", ["answer", "run"])
async def test_a_limit_that_names_a_day_is_not_waited_for(how: str) -> None:
    script = Limited(1 if how == "run" else 0, "Please try again in 23h59m0s.")
    async with opened(script.script) as house, RunPool(house.client) as pool:
        if how == "answer":
            house.proxy.plan(CREATE, limited(86_000_000))
        result = await pool.run(job(house))
        assert pool.paused_for == 0
        assert (type(result.exception), result.outcome) == (
            (RateLimitError, None) if how == "answer" else (type(None), "failed")
        )


async def test_a_quota_that_is_used_up_is_not_tried_again() -> None:
    async with opened(echo) as house, RunPool(house.client) as pool:
        house.proxy.plan(CREATE, refuse("429 No", code="insufficient_quota"), times=9)
        result = await pool.run(job(house))
        assert isinstance(result.exception, RateLimitError)
        assert (result.retries, house.proxy.count(CREATE)) == (0, 1)


async def test_a_rate_limit_is_tried_again_only_so_often() -> None:
    async with opened(echo) as house:
        house.proxy.plan(CREATE, limited(1), times=100)
        client = house.client.with_options(max_retries=0)
        async with RunPool(client, retries=2) as pool:
            result = await pool.run(job(house))
        assert isinstance(result.exception, RateLimitError)
        assert (result.retries, house.proxy.count(CREATE)) == (2, 3)


# No answer, or none that says whether there is a run


UNCERTAIN: dict[str, Fault] = {
    "carried out, no answer": swallow(),
    "not carried out, no answer": swallow(forward=False),
    "carried out, 500": refuse("500 No", begins=True),
    "not carried out, 500": refuse("500 No"),
    "carried out, 503": refuse("503 No", begins=True),
}


@pytest.mark.parametrize("fault", UNCERTAIN.values(), ids=UNCERTAIN.keys())
@pytest.mark.parametrize("key", [None, "order-1"])
async def test_a_creation_of_which_nobody_knows_makes_one_run(
    fault: Fault, key: str | None
) -> None:
    async with opened(echo) as house, RunPool(house.client) as pool:
        thread = house.thread()
        house.proxy.plan(CREATE, fault)
        result = await pool.run(job(house, thread_id=thread, dedupe_key=key))
        assert (result.outcome, result.exception) == ("completed", None)
        assert result.run is not None
        assert [run["id"] for run in await house.runs(thread)] == [result.run.id]
        assert await said_to(house, thread) == ["Well?", "Hello!"]


@pytest.mark.parametrize("fault", UNCERTAIN.values(), ids=UNCERTAIN.keys())
async def test_a_thread_of_which_nobody_knows_is_left_empty(fault: Fault) -> None:
    async with opened(echo) as house, RunPool(house.client) as pool:
        house.proxy.plan(NEW_THREAD, fault)
        result = await pool.run(job(house))
        assert (result.outcome, result.retries) == ("completed", 1)
        assert house.proxy.count(CREATE) == 1


async def test_without_room_for_a_key_nothing_uncertain_is_tried_again() -> None:
    params = {"metadata": {f"key {n}": "value" for n in range(16)}}
    async with opened(echo) as house, RunPool(house.client) as pool:
        house.proxy.plan(CREATE, refuse("500 No", begins=True))
        result = await pool.run(job(house, thread_id=house.thread(), params=params))
        assert isinstance(result.exception, InternalServerError)
        assert house.proxy.count(CREATE) == 1


async def test_a_stream_that_breaks_off_before_it_names_its_run_is_tried_again() -> None:
    async with opened(echo) as house, RunPool(house.client, on_interrupt="raise") as pool:
        thread = house.thread()
        house.proxy.plan(CREATE, Cut(events=0))
        result = await pool.run(job(house, thread_id=thread))
        assert (result.outcome, result.retries) == ("completed", 1)
        assert len(await house.runs(thread)) == 1


async def test_a_server_that_stays_away_is_the_exception() -> None:
    async with opened(echo) as house:
        client = house.client.with_options(max_retries=0)
        async with RunPool(client, retries=1) as pool:
            house.proxy.plan(NEW_THREAD, refuse("500 No"), times=9)
            result = await pool.run(job(house))
        assert isinstance(result.exception, InternalServerError)
        assert (result.retries, result.thread_id, result.run) == (1, None, None)


async def test_a_refusal_is_not_tried_again() -> None:
    async with opened(echo) as house, RunPool(house.client) as pool:
        house.proxy.plan(CREATE, refuse("400 No"))
        result = await pool.run(job(house))
        assert isinstance(result.exception, BadRequestError)
        assert (result.retries, house.proxy.count(CREATE)) == (0, 1)


async def test_answers_to_tool_calls_that_meet_a_limit_hold_the_pool_too() -> None:
    async with opened(ask_the_weather) as house:
        tools = Tools()
        async with RunPool(house.client, toolset=tools.set) as pool:
            house.proxy.plan(SUBMIT, limited(50))
            result = await pool.run(job(house, "Oslo"))
            assert (result.outcome, tools.asked) == ("completed", ["Oslo"])


# Begun before


async def test_a_job_whose_run_has_ended_is_not_done_again() -> None:
    async with opened(echo) as house, RunPool(house.client) as pool:
        thread = house.thread()
        run_id = await begin(house, "order-1", echo, thread)
        result = await pool.run(job(house, thread_id=thread, dedupe_key="order-1"))
        assert result.run is not None
        assert (result.outcome, result.run.id) == ("completed", run_id)
        assert text_of(result) == "You said: Well?"
        assert len(await house.runs(thread)) == 1
        assert house.proxy.count(CREATE) == 0


async def test_a_job_finds_its_run_behind_a_full_page_of_others() -> None:
    async with opened(echo) as house, RunPool(house.client) as pool:
        thread = house.emulator.add_thread()["id"]
        first = await begin(house, "order-1", echo, thread)
        for number in range(100):
            await begin(house, f"other {number}", echo, thread)
        result = await pool.run(job(house, thread_id=thread, dedupe_key="order-1"))
        assert result.run is not None
        assert result.run.id == first


async def test_a_job_whose_run_is_alive_goes_on_with_it() -> None:
    tools = Tools()
    async with opened(echo) as house, RunPool(house.client, toolset=tools.set) as pool:
        thread = house.thread()
        run_id = await begin(house, "order-1", ask_the_weather, thread)
        result = await pool.run(job(house, thread_id=thread, dedupe_key="order-1"))
        assert result.run is not None
        assert (result.outcome, result.run.id) == ("completed", run_id)
        assert text_of(result) == "You said: Well?; sunny in Well?"
        assert tools.asked == ["Well?"]
        assert await said_to(house, thread) == ["Well?"]


async def test_a_job_whose_run_a_rate_limit_has_failed_is_tried_again() -> None:
    async with opened(echo) as house, RunPool(house.client) as pool:
        thread = house.thread()
        await begin(house, "order-1", Limited(1).script, thread)
        result = await pool.run(job(house, "Well?", thread_id=thread, dedupe_key="order-1"))
        assert result.outcome == "completed"
        assert await said_to(house, thread) == ["Well?"]
        assert len(await house.runs(thread)) == 2


async def test_a_job_that_was_begun_and_cannot_be_looked_for_is_not_begun_again() -> None:
    async with opened(echo) as house:
        client = house.client.with_options(max_retries=0)
        async with RunPool(client, retries=1) as pool:
            thread = house.thread()
            house.proxy.plan(LIST_RUNS, refuse("500 No"), times=2)
            result = await pool.run(job(house, thread_id=thread, dedupe_key="order-1"))
        assert isinstance(result.exception, InternalServerError)
        assert await house.runs(thread) == []


# Somebody else on the thread


async def test_a_live_run_of_somebody_else_is_waited_for() -> None:
    async def short(context: Context) -> AsyncGenerator[Action, Any]:
        yield Wait(0.3)
        async for action in echo(context):
            yield action

    async with opened(echo) as house, RunPool(house.client) as pool:
        thread = house.thread()
        await house.emulator.add_run(thread, house.assistant, script=short)
        result = await pool.run(job(house, thread_id=thread))
        assert (result.outcome, result.retries) == ("completed", 0)
        assert len(await house.runs(thread)) == 2


async def test_a_lock_that_outlives_its_run_is_waited_for() -> None:
    lock = b"""{"error": {"message": "Thread %b already has an active run %b."}}"""
    async with opened(echo) as house, RunPool(house.client) as pool:
        thread = house.thread()
        ended = await house.emulator.add_run(thread, house.assistant)
        body = lock % (thread.encode(), str(ended["id"]).encode())

        async def locked(exchange: Exchange) -> None:
            head = (
                f"HTTP/1.1 400 No\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
            )
            await exchange.send(f"{head}\r\n\r\n".encode() + body)

        house.proxy.plan(CREATE, locked, times=2)
        result = await pool.run(job(house, thread_id=thread))
        assert result.outcome == "completed"


async def test_a_thread_that_waits_for_somebody_else_holds_no_other_job_back() -> None:
    gate = Gate()
    async with opened(echo) as house, RunPool(house.client, concurrency=2) as pool:
        thread = house.thread()
        # A rate limit has just been: creations go one after the other.
        house.proxy.plan(CREATE, limited(1))
        assert (await pool.run(job(house))).outcome == "completed"
        adding = asyncio.ensure_future(
            house.emulator.add_run(thread, house.assistant, script=gate.script)
        )
        await until(lambda: gate.waiting == 1)
        waiting = asyncio.ensure_future(pool.run(job(house, thread_id=thread)))
        others: list[RunResult] = [await pool.run(job(house)) for _ in range(3)]
        assert {result.outcome for result in others} == {"completed"}
        assert not waiting.done()
        gate.open.set()
        await adding
        assert (await waiting).outcome == "completed"
