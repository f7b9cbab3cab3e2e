"""A pool: as many runs at a time as it may have, in order on each thread, and no result lost."""

from __future__ import annotations

import asyncio
import gc
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import pytest

from asyncruns import AsyncRunsError, NotFoundError, RunJob, RunPool, Toolset
from asyncruns.attempts import Attempts
from tests.pool.house import Gate, ask_the_weather, echo, job, said_to, text_of
from tests.stream.house import Tools, opened
from tests.stream.proxy import CREATE
from tests.transport.wires import until

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator

    from asyncruns import RunResult
    from tests.stream.house import House

pytestmark = pytest.mark.anyio


async def results_of(pool: RunPool, jobs: list[RunJob]) -> list[RunResult]:
    return [result async for result in pool.map(jobs)]


# What comes of a job


async def test_every_job_has_one_result_with_all_of_its_run() -> None:
    async with opened(echo) as house:
        thread = house.thread()
        jobs = [
            job(house, f"message {n}", thread_id=thread if n % 3 == 0 else None) for n in range(12)
        ]
        async with RunPool(house.client, concurrency=4) as pool:
            results = await results_of(pool, jobs)
            assert pool.counts.done == 12
        assert sorted(result.job.message or "" for result in results) == sorted(
            str(one.message) for one in jobs
        )
        for result in results:
            assert (result.outcome, result.exception, result.retries) == ("completed", None, 0)
            assert text_of(result) == f"You said: {result.job.message}"
            assert result.run is not None
            assert result.run.thread_id == result.thread_id
            truth = await house.truth(result.run.thread_id, result.run.id)
            assert [step.id for step in result.steps] == [step["id"] for step in truth.steps]
            assert truth.run["status"] == "completed"


async def test_a_job_says_how_its_run_is_created() -> None:
    async with opened(echo) as house, RunPool(house.client) as pool:
        result = await pool.run(
            RunJob(
                assistant_id=house.assistant,
                thread={
                    "metadata": {"customer": "7"},
                    "messages": [{"role": "user", "content": "First"}],
                },
                message=[{"type": "text", "text": "Second"}],
                dedupe_key="order-1",
                params={
                    "model": "m",
                    "metadata": {"a": "b"},
                    "additional_messages": [{"role": "user", "content": "Third"}],
                },
            )
        )
        assert result.run is not None
        assert result.run.model == "m"
        assert result.run.metadata == {"a": "b", "asyncruns_dedupe_key": "order-1"}
        thread = await house.get(f"/threads/{result.thread_id}")
        assert thread["metadata"] == {"customer": "7"}
        assert await said_to(house, result.run.thread_id) == ["First", "Second", "Third"]


async def test_a_job_without_a_message_runs_the_thread_as_it_is() -> None:
    async with opened(echo) as house, RunPool(house.client) as pool:
        thread = house.thread()
        result = await pool.run(RunJob(assistant_id=house.assistant, thread_id=thread))
        assert await said_to(house, thread) == ["Well?"]
        assert text_of(result) == "You said: Well?"


async def test_a_run_without_room_in_its_metadata_is_carried_out_all_the_same() -> None:
    pairs = {f"key {n}": "value" for n in range(16)}
    async with opened(echo) as house, RunPool(house.client) as pool:
        result = await pool.run(job(house, params={"metadata": pairs}))
        assert result.run is not None
        assert result.run.metadata == pairs


async def test_tool_calls_are_answered_by_the_toolset_that_the_job_names() -> None:
    tools, other = Tools(), Toolset()

    @other.tool
    def weather(city: str) -> str:
        return f"rain in {city}"

    async with opened(ask_the_weather) as house:
        async with RunPool(house.client, toolset=tools.set, toolsets={"other": other}) as pool:
            plain = await pool.run(job(house, "Oslo"))
            named = await pool.run(job(house, "Rome", toolset="other"))
            wrong = await pool.run(job(house, "Bonn", toolset="nobody's"))
        assert text_of(plain) == "You said: Oslo; sunny in Oslo"
        assert text_of(named) == "You said: Rome; rain in Rome"
        assert str(wrong.exception) == 'there is no toolset "nobody\'s", only: other'
        assert (wrong.run, wrong.outcome) == (None, None)


async def test_a_run_that_nobody_answers_has_a_result_that_says_so() -> None:
    async with opened(ask_the_weather) as house, RunPool(house.client) as pool:
        result = await pool.run(job(house))
        assert (result.outcome, result.exception) == ("requires_action", None)


async def test_an_exception_is_the_result_of_its_job_alone() -> None:
    async with opened(echo) as house:
        wrong = RunJob(assistant_id="asst_nobody", message="Hello!")
        jobs = [
            job(house),
            wrong,
            RunJob(assistant_id=house.assistant, thread_id="gone"),
            job(house),
        ]
        async with RunPool(house.client, concurrency=1) as pool:
            results = await results_of(pool, jobs)
            assert (pool.counts.done, pool.counts.failed) == (4, 2)
        assert [type(result.exception) for result in results] == [
            type(None),
            NotFoundError,
            NotFoundError,
            type(None),
        ]
        with pytest.raises(NotFoundError):
            results[1].raise_for_status()


async def test_threads_are_told_before_their_runs_are_created() -> None:
    told: list[tuple[str, str]] = []

    async with opened(echo) as house:

        def note(one: RunJob, thread_id: str) -> None:
            told.append((str(one.message), thread_id))
            assert house.proxy.count(CREATE) == 0

        async with RunPool(house.client, on_thread=note) as pool:
            new = await pool.run(job(house, "new"))
            await pool.run(job(house, "old", thread_id=house.thread()))
        assert told == [("new", new.thread_id)]


# How many, and in which order


async def test_no_more_run_at_a_time_than_may() -> None:
    gate = Gate()
    async with opened(gate.script) as house, RunPool(house.client, concurrency=3) as pool:
        async with aclosing(pool.map([job(house) for _ in range(10)])) as results:
            first = asyncio.ensure_future(anext(results))
            await until(lambda: gate.waiting == 3)
            assert (pool.counts.running, pool.counts.done) == (3, 0)
            gate.open.set()
            assert (await first).outcome == "completed"
            assert len([result async for result in results]) == 9
        assert gate.most == 3
        assert (pool.counts.running, pool.counts.waiting, pool.counts.done) == (0, 0, 10)


async def test_the_jobs_of_a_thread_are_carried_out_one_by_one_in_their_order() -> None:
    async with opened(echo) as house:
        threads = [house.thread() for _ in range(4)]
        jobs = [job(house, f"message {n}", thread_id=threads[n % 4]) for n in range(40)]
        async with RunPool(house.client, concurrency=20) as pool:
            results = await results_of(pool, jobs)
        assert {result.outcome for result in results} == {"completed"}
        for number, thread in enumerate(threads):
            assert await said_to(house, thread) == [
                "Well?",
                *(f"message {n}" for n in range(number, 40, 4)),
            ]
        # The server has refused none: no run was created while another was alive.
        assert house.proxy.count(CREATE) == 40


async def test_a_busy_thread_does_not_hold_the_others_back() -> None:
    gate = Gate()
    async with opened(gate.script) as house:
        thread = house.thread()
        jobs = [job(house, thread_id=thread) for _ in range(4)] + [job(house) for _ in range(3)]
        async with RunPool(house.client, concurrency=4) as pool:
            reading = asyncio.ensure_future(results_of(pool, jobs))
            await until(lambda: gate.waiting == 4)
            assert (pool.counts.running, pool.counts.waiting) == (4, 3)
            gate.open.set()
            assert len(await reading) == 7


async def test_jobs_are_taken_as_places_become_free() -> None:
    taken = 0

    def endless(house: House) -> Iterator[RunJob]:
        nonlocal taken
        while True:
            taken += 1
            yield job(house)

    async with (
        opened(echo) as house,
        RunPool(house.client, concurrency=5) as pool,
        aclosing(pool.map(endless(house))) as results,
    ):
        await anext(results)
        # Nobody reads on: as many results wait as may run at a time, and those that ran.
        await until(lambda: pool.counts.done >= 6 and pool.counts.running == 0)
        assert taken <= 11
        before = taken
        for _ in range(20):
            await anext(results)
        assert taken >= before + 10


async def test_a_thread_with_many_jobs_bounds_how_many_are_taken() -> None:
    gate = Gate()
    taken = 0

    def all_on_one(house: House, thread: str) -> Iterator[RunJob]:
        nonlocal taken
        for number in range(50):
            taken += 1
            yield job(house, f"message {number}", thread_id=thread)

    async with opened(gate.script) as house, RunPool(house.client, concurrency=4) as pool:
        thread = house.thread()
        async with aclosing(pool.map(all_on_one(house, thread))) as results:
            first = asyncio.ensure_future(anext(results))
            await until(lambda: gate.waiting == 1 and taken == 8)
            assert (pool.counts.running, pool.counts.waiting) == (1, 7)
            gate.open.set()
            await first
            rest = [str(result.job.message) async for result in results]
            assert rest == [f"message {number}" for number in range(1, 50)]


async def test_what_has_been_read_is_not_kept() -> None:
    async with opened(echo) as house, RunPool(house.client, concurrency=5) as pool:
        most = 0
        async for _ in pool.map(job(house) for _ in range(100)):
            if pool.counts.done % 10 == 0:
                most = max(most, sum(isinstance(one, Attempts) for one in gc.get_objects()))
        assert 0 < most <= 12


async def test_results_come_while_the_next_job_is_waited_for() -> None:
    read = asyncio.Event()

    async def slow(house: House) -> AsyncGenerator[RunJob, None]:
        yield job(house, "first")
        await read.wait()
        yield job(house, "second")

    async with opened(echo) as house, RunPool(house.client) as pool:
        seen: list[str] = []
        async for result in pool.map(slow(house)):
            seen.append(str(result.job.message))
            read.set()
        assert seen == ["first", "second"]


async def test_single_jobs_share_the_places_and_threads_of_the_others() -> None:
    gate = Gate()
    async with opened(gate.script) as house, RunPool(house.client, concurrency=2) as pool:
        thread = house.thread()
        running = [
            asyncio.ensure_future(pool.run(job(house, f"message {n}", thread_id=thread)))
            for n in range(3)
        ]
        mapped = asyncio.ensure_future(results_of(pool, [job(house), job(house)]))
        await until(lambda: gate.waiting == 2)
        gate.open.set()
        results = await asyncio.gather(*running)
        assert [str(result.job.message) for result in results] == [
            "message 0",
            "message 1",
            "message 2",
        ]
        assert await said_to(house, thread) == ["Well?", "message 0", "message 1", "message 2"]
        assert len(await mapped) == 2
        assert gate.most == 2


# What the caller does wrong


async def test_an_exception_of_the_jobs_comes_after_the_results_before_it() -> None:
    def broken(house: House) -> Iterator[RunJob]:
        yield job(house)
        yield job(house)
        raise LookupError("the jobs")

    async with opened(echo) as house, RunPool(house.client) as pool:
        results = pool.map(broken(house))
        assert {(await anext(results)).outcome, (await anext(results)).outcome} == {"completed"}
        with pytest.raises(LookupError, match="the jobs"):
            await anext(results)
        assert (await pool.run(job(house))).outcome == "completed"


async def test_what_is_no_job_is_refused() -> None:
    async with opened(echo) as house, RunPool(house.client) as pool:
        wrong: Any = [{"assistant_id": house.assistant}]
        with pytest.raises(TypeError, match="a pool takes objects of RunJob, and not"):
            await results_of(pool, wrong)


async def test_an_exception_in_the_block_comes_out_as_it_is() -> None:
    async def fail(house: House) -> None:
        async with RunPool(house.client) as pool:
            async for _ in pool.map([job(house) for _ in range(3)]):
                raise LookupError

    async with opened(echo) as house:
        with pytest.raises(LookupError):
            await fail(house)


async def test_a_pool_says_what_it_cannot_do() -> None:
    async with opened(echo) as house:
        with pytest.raises(ValueError, match="concurrency must be at least 1, not 0"):
            RunPool(house.client, concurrency=0)
        with pytest.raises(ValueError, match="retries must be at least 0, not -1"):
            RunPool(house.client, retries=-1)
        unknown: Any = {"dead_line": 3}
        with pytest.raises(TypeError, match="'dead_line'"):
            RunPool(house.client, **unknown)
        pool = RunPool(house.client)
        with pytest.raises(AsyncRunsError, match="not open"):
            await pool.run(job(house))
        async with pool:
            with pytest.raises(AsyncRunsError, match="entered once"):
                await pool.__aenter__()
        with pytest.raises(AsyncRunsError, match="no more jobs"):
            await results_of(pool, [job(house)])
