"""The end of a pool: drained, cancelled, left, or cancelled from outside."""

from __future__ import annotations

import asyncio
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from asyncruns import AsyncRunsError, RunHandler, RunJob, RunPool
from tests.pool.house import Gate, ask_the_weather, echo, job, text_of
from tests.stream.house import opened
from tests.stream.proxy import CANCEL, CREATE
from tests.transport.wires import until

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator

    from asyncruns import Run, RunResult
    from tests.stream.house import House

pytestmark = pytest.mark.anyio


class Witness(RunHandler):
    """Counts the runs whose streams have begun here."""

    begun = 0

    def on_run_created(self, run: Run) -> None:
        self.begun += run.status == "queued"


def endless(house: House, **fields: Any) -> Iterator[RunJob]:
    while True:
        yield job(house, **fields)


async def read(pool: RunPool, house: House) -> list[RunResult]:
    return [result async for result in pool.map(endless(house))]


# Draining


async def test_a_drained_pool_takes_no_more_and_gives_the_results_of_what_it_has() -> None:
    gate = Gate()
    async with opened(gate.script) as house, RunPool(house.client, concurrency=3) as pool:
        reading = asyncio.ensure_future(read(pool, house))
        await until(lambda: gate.waiting == 3)
        draining = asyncio.ensure_future(pool.drain())
        await asyncio.sleep(0)
        gate.open.set()
        results = await reading
        await draining
        assert [result.outcome for result in results] == ["completed"] * 3
        assert pool.counts.waiting == pool.counts.running == 0
        assert house.proxy.count(CREATE) == 3
        with pytest.raises(AsyncRunsError, match="takes no more jobs"):
            await pool.run(job(house))


async def test_whoever_reads_the_results_may_drain_the_pool() -> None:
    async with opened(echo) as house, RunPool(house.client, concurrency=4) as pool:
        results: list[RunResult] = []
        thread = house.thread()
        jobs = [job(house, f"message {n}", thread_id=thread if n % 2 else None) for n in range(100)]
        async for result in pool.map(jobs):
            results.append(result)
            if len(results) == 5:
                await pool.drain()
                assert pool.counts.running == 0
        assert {result.outcome for result in results} == {"completed"}
        assert len(results) == pool.counts.done < 30


async def test_draining_does_not_wait_for_a_job_that_has_not_come() -> None:
    closed = asyncio.Event()

    async def silent(house: House) -> AsyncGenerator[RunJob, None]:
        yield job(house)
        try:
            await asyncio.Event().wait()
        finally:
            closed.set()

    async with opened(echo) as house, RunPool(house.client) as pool:
        results = [result async for result in draining(pool, silent(house))]
        assert [text_of(result) for result in results] == ["You said: Hello!"]
        assert closed.is_set()


async def draining(
    pool: RunPool, jobs: AsyncGenerator[RunJob, None]
) -> AsyncGenerator[RunResult, None]:
    async for result in pool.map(jobs):
        yield result
        await pool.drain()


# Cancelling


@pytest.mark.parametrize("cancels_runs", [False, True])
async def test_a_cancelled_pool_gives_a_result_for_every_job_that_was_taken(
    cancels_runs: bool,
) -> None:
    gate, witness = Gate(), Witness()
    async with opened(gate.script) as house:
        thread = house.thread()
        jobs = [job(house, f"message {n}", thread_id=thread if n % 2 else None) for n in range(100)]
        async with RunPool(
            house.client, concurrency=3, cancel_on_exit=cancels_runs, event_handler=witness
        ) as pool:
            reading = asyncio.ensure_future(read_all(pool, jobs))
            await until(lambda: witness.begun == gate.waiting == 3)
            taken = pool.counts.waiting + pool.counts.running
            single = asyncio.ensure_future(pool.run(job(house)))
            await until(lambda: pool.counts.waiting + pool.counts.running == taken + 1)
            pool.cancel()
            results = [*await reading, await single]
            assert len(results) == taken + 1 == pool.counts.done == pool.counts.failed
        for result in results:
            assert isinstance(result.exception, AsyncRunsError)
            assert "the pool was cancelled" in str(result.exception)
        begun = [result.run for result in results if result.run is not None]
        assert {result.outcome for result in results} == {None, "interrupted"}
        assert len(begun) == 3
        expected = "cancelled" if cancels_runs else "in_progress"
        for run in begun:
            assert await house.status(run.thread_id) == expected


async def read_all(pool: RunPool, jobs: list[RunJob]) -> list[RunResult]:
    return [result async for result in pool.map(jobs)]


async def test_a_job_that_is_taken_while_the_pool_is_cancelled_does_not_begin() -> None:
    async with opened(echo) as house, RunPool(house.client) as pool:

        def jobs() -> Iterator[RunJob]:
            pool.cancel()
            yield job(house)

        (result,) = [result async for result in pool.map(jobs())]
        assert isinstance(result.exception, AsyncRunsError)
        assert house.proxy.count(CREATE) == 0


async def test_a_hook_that_cancels_its_task_loses_no_result() -> None:
    class Saboteur(RunHandler):
        async def on_run_created(self, run: Run) -> None:
            task = asyncio.current_task()
            assert task is not None, run
            task.cancel()
            await asyncio.sleep(3600)

    async with (
        opened(echo) as house,
        RunPool(house.client, event_handler=Saboteur()) as pool,
    ):
        (result,) = await read_all(pool, [job(house)])
        assert str(result.exception) == "the job was cancelled from within"
        assert result.run is not None
        assert (pool.counts.done, pool.counts.failed) == (1, 1)


# Leaving


async def test_leaving_the_loop_ends_its_jobs_and_leaves_the_pool_usable() -> None:
    gate = Gate()
    gate.open.set()
    async with opened(gate.script) as house, RunPool(house.client, concurrency=3) as pool:
        async with aclosing(pool.map(endless(house))) as results:
            async for _ in results:
                gate.open.clear()
                break
            await until(lambda: gate.waiting == 3)
        await until(lambda: pool.counts.running == pool.counts.waiting == 0)
        assert house.held == 0
        gate.open.set()
        assert (await pool.run(job(house))).outcome == "completed"


async def test_leaving_the_block_stops_what_is_going() -> None:
    gate = Gate()
    async with opened(gate.script) as house:
        async with RunPool(house.client, concurrency=3) as pool:
            reading = asyncio.ensure_future(read(pool, house))
            await until(lambda: gate.waiting == 3)
        assert house.held == 0
        assert {str(result.exception) for result in await reading} == {
            "the pool was cancelled, or left, before the job was over"
        }
        assert house.proxy.count(CANCEL) == 0


async def cancelled(task: asyncio.Task[Any], _: anyio.CancelScope) -> None:
    task.cancel()


async def cancelled_twice(task: asyncio.Task[Any], _: anyio.CancelScope) -> None:
    task.cancel()
    await asyncio.sleep(0)
    task.cancel()


async def scope_cancelled(_: asyncio.Task[Any], scope: anyio.CancelScope) -> None:
    scope.cancel()


async def use_map(pool: RunPool, house: House) -> None:
    await read(pool, house)


async def use_run(pool: RunPool, house: House) -> None:
    await asyncio.gather(*(pool.run(job(house)) for _ in range(3)))


async def use_drain(pool: RunPool, house: House) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(read, pool, house)
        await until(lambda: pool.counts.running == 3)
        await pool.drain()


WAYS = [cancelled, cancelled_twice, scope_cancelled]
USES = [use_map, use_run, use_drain]


@pytest.mark.parametrize("cancel", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize("use", USES, ids=lambda use: use.__name__)
async def test_a_cancelled_caller_leaves_nothing(
    use: Callable[[RunPool, House], Awaitable[None]],
    cancel: Callable[[asyncio.Task[Any], anyio.CancelScope], Awaitable[None]],
) -> None:
    gate, witness = Gate(), Witness()
    scope = anyio.CancelScope()
    ended: list[str] = []

    async def call(house: House) -> None:
        with scope:
            async with RunPool(
                house.client, concurrency=3, cancel_on_exit=True, event_handler=witness
            ) as pool:
                await use(pool, house)
            ended.append("went on")
        ended.append("scope left")

    async with opened(gate.script) as house:
        calling = asyncio.create_task(call(house))
        await until(lambda: witness.begun == gate.waiting == 3)
        await cancel(calling, scope)
        with suppress(asyncio.CancelledError):
            await calling
        assert ended == (["scope left"] if cancel is scope_cancelled else [])
        assert calling.cancelled() is (cancel is not scope_cancelled)
        assert house.held == 0
        await until(lambda: gate.waiting == 0)  # the runs have been cancelled at the server


async def test_a_time_limit_around_a_pool_is_a_timeout_and_nothing_else() -> None:
    gate = Gate()
    async with opened(gate.script) as house:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3), RunPool(house.client, concurrency=3) as pool:
                await read(pool, house)
        assert house.held == 0
        with anyio.move_on_after(0.3) as limit:
            async with RunPool(house.client, concurrency=3) as pool:
                await read(pool, house)
        assert limit.cancelled_caught


async def test_a_deadline_ends_a_run_that_takes_too_long() -> None:
    gate = Gate()
    async with opened(gate.script) as house, RunPool(house.client, deadline=0.2) as pool:
        result = await pool.run(job(house))
        assert type(result.exception).__name__ == "RunTimeoutError"
        assert result.outcome == "interrupted"


async def test_a_client_that_is_closed_is_the_jobs_exception() -> None:
    async with opened(ask_the_weather) as house, RunPool(house.client) as pool:
        await house.client.aclose()
        results = await read_all(pool, [job(house), job(house)])
        assert {str(result.exception) for result in results} == {"the client is closed"}
