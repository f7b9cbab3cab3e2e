"""What one worker does with a job, and with what others have left of it."""

from __future__ import annotations

import asyncio
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from procrastinate.jobs import Status

from asyncruns import DEDUPE_KEY, RequestInfo, RunContext, Toolset
from asyncruns.emulator import Call, Fail, Incomplete, Parallel, Say, Wait
from asyncruns.workers.engine import QUEUE, JobManager
from tests.workers.house import SILENCE, ask, last, speak

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from asyncruns.emulator import Action, Context, Script
    from tests.workers.house import House

pytestmark = [pytest.mark.anyio, pytest.mark.database]


has_a_run = attrgetter("run_id")


async def fail(_: Context) -> AsyncGenerator[Action, Any]:
    yield Fail("rate_limit_exceeded", "Too much.")


async def break_off(_: Context) -> AsyncGenerator[Action, Any]:
    yield Say("Hel", ending=Incomplete())


@pytest.mark.parametrize(
    ("script", "outcome", "error"),
    [
        (speak, "completed", None),
        (fail, "failed", "Too much."),
        (break_off, "incomplete", None),
        (ask, "requires_action", None),
    ],
)
async def test_a_job_ends_as_its_run(
    script: Script, outcome: str, error: str | None, house: House
) -> None:
    house.server.script = script
    async with house.working():
        job = await house.queue.wait(await house.queue.submit(house.job()), deadline=30)
    assert (job.outcome, job.error, job.deliveries) == (outcome, error, 1)
    assert job.thread_id is not None
    assert job.run_id is not None
    run = await house.client.runs.retrieve(job.run_id, thread_id=job.thread_id)
    assert run.status == outcome
    assert (run.metadata or {})[DEDUPE_KEY] == job.key
    assert await house.rows("SELECT * FROM procrastinate_jobs") == []


async def test_the_message_comes_with_the_run(house: House) -> None:
    said = {"role": "user", "content": "First."}
    job = house.job(message="Second.", params={"additional_messages": [said]}, dedupe_key="one")
    async with house.working():
        await house.queue.submit(job)
        status = await house.queue.wait("one", deadline=30)
    assert status.thread_id is not None
    messages = (await house.client.messages.list(status.thread_id, order="asc")).data
    texts = [message.raw or b"" for message in messages]
    assert [b"First." in texts[0], b"Second." in texts[1], len(texts)] == [True, True, 3]
    assert house.sent("POST", "/messages") == 0


async def test_the_jobs_of_a_thread_go_one_after_the_other_in_their_order(house: House) -> None:
    thread_id, running = house.new_thread(), 0
    order: list[tuple[str, int]] = []

    async def script(context: Context) -> AsyncGenerator[Action, Any]:
        nonlocal running
        running += 1
        order.append((context.input, running))
        yield Wait(0.1)
        running -= 1

    house.server.script = script
    texts = [f"Job {number}" for number in range(6)]
    keys = [
        await house.queue.submit(house.job(thread_id=thread_id, message=text)) for text in texts
    ]
    async with house.working(), house.working():
        for key in keys:
            assert (await house.queue.wait(key, deadline=30)).deliveries == 1
    assert order == [(text, 1) for text in texts]


async def test_what_the_server_refuses_for_good_is_not_tried_again(house: House) -> None:
    async with house.working():
        key = await house.queue.submit(house.job(assistant_id="asst_none"))
        job = await house.queue.wait(key, deadline=30)
    assert (job.outcome, job.run_id, job.deliveries) == ("error", None, 1)
    assert "asst_none" in (job.error or "")


async def test_what_fails_for_a_passing_reason_is_tried_again(house: House) -> None:
    failures = 0

    def fail_once(request: RequestInfo) -> None:
        nonlocal failures
        if request.path.endswith("/runs") and request.method == "POST" and failures == 0:
            failures += 1
            raise OSError("the network is down")

    async with house.working(house.client.with_options(on_request=fail_once)):
        key = await house.queue.submit(house.job())
        job = await house.until(key, attrgetter("error"))
        assert job.error == "OSError: the network is down"
        job = await house.queue.wait(key, deadline=30)
    assert (job.outcome, job.error, job.deliveries) == ("completed", None, 2)


async def test_a_job_that_fails_too_often_ends_with_its_error(house: House) -> None:
    async with house.working(toolsets={"shop": Toolset(), "office": Toolset()}, max_failures=1):
        key = await house.queue.submit(house.job(toolset="garage"))
        job = await house.queue.wait(key, deadline=30)
    assert (job.outcome, job.run_id) == ("error", None)
    assert "this worker has no toolset 'garage', only: office, shop" in (job.error or "")


@pytest.mark.parametrize("script", [speak, ask, last])
async def test_a_run_that_has_the_jobs_key_is_the_jobs_run(script: Script, house: House) -> None:
    house.server.script = ask  # for a run that is created all the same
    thread_id = house.new_thread()
    run_id = house.add_run(thread_id, script, metadata={DEDUPE_KEY: "one"})
    if script is last:
        house.portal.call(house.server.clock.advance, 3600)
    await house.queue.submit(house.job(dedupe_key="one", thread_id=thread_id))
    async with house.working():
        job = await house.queue.wait("one", deadline=30)
    assert job.run_id == run_id
    assert house.sent("POST", "/runs") == 0


async def test_a_run_is_found_behind_a_hundred_newer_ones(house: House) -> None:
    thread_id = house.new_thread()
    run_id = house.add_run(thread_id, speak, metadata={DEDUPE_KEY: "one"})
    for _ in range(120):
        house.add_run(thread_id, speak)
    await house.queue.submit(house.job(dedupe_key="one", thread_id=thread_id))
    async with house.working():
        assert (await house.queue.wait("one", deadline=30)).run_id == run_id
    assert house.sent("POST", "/runs") == 0


async def test_where_a_run_holds_the_thread_the_key_is_searched_again_before_waiting(
    house: House,
) -> None:
    house.server.script = last  # what would be waited for in vain
    thread_id = house.new_thread()
    created: list[str] = []

    def be_late(request: RequestInfo) -> None:
        """Let the create of a dead worker arrive just before ours."""
        if request.path.endswith("/runs") and request.method == "POST" and not created:
            created.append(house.add_run(thread_id, ask, metadata={DEDUPE_KEY: "one"}))

    async with house.working(house.client.with_options(on_request=be_late)):
        await house.queue.submit(house.job(dedupe_key="one", thread_id=thread_id))
        job = await house.queue.wait("one", deadline=30)
    assert [job.run_id] == created
    assert job.outcome == "requires_action"


async def test_a_run_that_was_created_too_late_is_cancelled(house: House, address: str) -> None:
    house.server.script = last
    thread_id = house.new_thread()
    created: list[str] = []

    def sleep(request: RequestInfo) -> None:
        """Go to sleep just before creating, for as long as it takes another to end the job's run."""
        if request.path.endswith("/runs") and request.method == "POST" and not created:
            created.append(house.add_run(thread_id, speak, metadata={DEDUPE_KEY: "one"}))
            with psycopg.connect(address, autocommit=True) as connection:
                connection.execute("UPDATE procrastinate_jobs SET worker_id = NULL, attempts = 1")
                connection.execute("UPDATE asyncruns_jobs SET run_id = %s", created)

    async with house.working(house.client.with_options(on_request=sleep)):
        await house.queue.submit(house.job(dedupe_key="one", thread_id=thread_id))
        job = await house.queue.wait("one", deadline=30)
    assert (job.outcome, [job.run_id]) == ("completed", created)
    late, _ = (await house.client.runs.list(thread_id)).data
    assert late.id not in created
    assert late.status in {"cancelling", "cancelled"}


async def test_options_of_a_job_hold_for_every_request_of_its_run(house: House) -> None:
    house.server.script = last
    async with house.working():
        params = {"extra_headers": {"x-tenant": "seven"}}
        key = await house.queue.submit(house.job(params=params))
        await house.until(key, has_a_run)
    async with house.working():
        await house.until(key, lambda job: job.deliveries > 1)
        await house.queue.cancel(key)
        await house.queue.wait(key, deadline=30)
    assert {request.headers.get("x-tenant") for request in house.server.requests} == {"seven"}


async def test_a_tool_that_must_not_fail_ends_the_job(house: House) -> None:
    async def work(number: int) -> str:
        """Work."""
        raise OSError(f"{number} is out of order")

    house.server.script = ask
    options: dict[str, Any] = {"toolsets": {"shop": Toolset(work)}, "on_tool_error": "raise"}
    async with house.working(**options):
        key = await house.queue.submit(house.job(toolset="shop"))
        job = await house.queue.wait(key, deadline=30)
    assert (job.outcome, job.deliveries) == ("error", 1)
    assert "1 is out of order" in (job.error or "")


async def test_a_run_that_holds_the_thread_is_waited_for(house: House) -> None:
    async def short(_: Context) -> AsyncGenerator[Action, Any]:
        yield Wait(1)

    thread_id = house.new_thread()
    other = house.add_run(thread_id, short)
    key = await house.queue.submit(house.job(thread_id=thread_id))
    async with house.working():
        job = await house.queue.wait(key, deadline=30)
    assert job.outcome == "completed"
    assert job.run_id != other


async def test_an_outcome_that_is_there_is_not_written_again(house: House) -> None:
    key = await house.queue.submit(house.job())
    await house.rows("UPDATE asyncruns_jobs SET outcome = 'incomplete', ended_at = now()")
    before = await house.queue.status(key)
    async with house.working():
        second = await house.queue.submit(house.job())
        await house.queue.wait(second, deadline=30)
    assert await house.queue.status(key) == before
    assert await house.rows("SELECT * FROM procrastinate_jobs") == []
    assert house.sent("POST", "/runs") == 1


async def test_cancelling_a_job_cancels_its_run(house: House) -> None:
    house.server.script = last
    async with house.working():
        key = await house.queue.submit(house.job())
        await house.until(key, has_a_run)
        assert (await house.queue.cancel(key)).cancel_requested
        job = await house.queue.wait(key, deadline=30)
    assert (job.outcome, job.deliveries) == ("cancelled", 1)
    run = await house.client.runs.retrieve(job.run_id or "", thread_id=job.thread_id or "")
    assert run.status == "cancelled"


async def test_cancelling_reaches_a_job_whose_worker_is_gone(house: House) -> None:
    house.server.script = last
    key = await house.queue.submit(house.job())
    async with house.working():
        await house.until(key, has_a_run)
    job = await house.queue.cancel(key)  # handed over, and nobody has it
    assert (job.state, job.outcome, job.cancel_requested) == ("waiting", None, True)
    async with house.working():
        job = await house.queue.wait(key, deadline=30)
    assert (job.outcome, job.deliveries) == ("cancelled", 2)
    assert house.sent("POST", "/runs") == 1


async def test_cancelling_does_not_wait_for_the_run_that_holds_the_thread(house: House) -> None:
    thread_id = house.new_thread()
    house.add_run(thread_id, last)
    async with house.working():
        key = await house.queue.submit(house.job(thread_id=thread_id))
        await house.until(key, attrgetter("deliveries"))
        await house.queue.cancel(key)
        job = await house.queue.wait(key, deadline=30)
    assert (job.outcome, job.run_id) == ("cancelled", None)


async def test_tool_calls_have_a_key_of_their_own_and_are_answered(house: House) -> None:
    seen: list[str] = []

    async def work(number: int, context: RunContext) -> str:
        """Work."""
        seen.append(context.idempotency_key)
        return f"{number} done"

    async def script(_: Context) -> AsyncGenerator[Action, Any]:
        heard: list[str] = yield Parallel(Call("work", {"number": 1}), Call("work", {"number": 2}))
        # Servers may use an id again: it is another call.
        heard.append((yield Call("work", {"number": 3}, id="call_x")))
        heard.append((yield Call("work", {"number": 3}, id="call_x")))
        heard.append((yield Call("work", {"number": "x"})))
        yield Say(str(heard))

    house.server.script = script
    async with house.working(toolsets={"shop": Toolset(work)}):
        job = await house.queue.wait(
            await house.queue.submit(house.job(toolset="shop")), deadline=30
        )
    assert job.outcome == "completed"
    assert [key.partition(":")[0] for key in seen] == [job.run_id] * 4
    assert len(set(seen)) == 3
    assert await house.rows("SELECT * FROM asyncruns_outputs") == []


async def test_a_silent_workers_job_has_a_slot_of_its_own(house: House) -> None:
    house.server.script = last
    busy = await house.queue.submit(house.job())
    async with house.working(concurrency=1):
        await house.until(busy, has_a_run)
        house.server.script = speak
        thread_id = house.new_thread()
        orphan, following = [
            await house.queue.submit(house.job(thread_id=thread_id)) for _ in range(2)
        ]
        manager = JobManager(house.queue.connector)
        await house.fetched(manager)
        assert (await house.queue.status(orphan)).state == "running"
        await house.until(orphan, lambda job: job.state == "stalled")
        job = await house.queue.wait(orphan, deadline=30)
        assert (job.outcome, job.deliveries) == ("completed", 2)
        assert (await house.queue.status(busy)).state == "running"
        assert (await house.queue.status(following)).state == "waiting"


async def test_a_worker_stops_whenever_it_is_told_to(house: House) -> None:
    keys = [await house.queue.submit(house.job()) for _ in range(20)]
    for number in range(20):  # in the midst of one statement or another
        async with asyncio.timeout(30), house.working():
            await asyncio.sleep(number * 0.005)
    async with house.working():
        for key in keys:
            await house.queue.wait(key, deadline=30)
    assert house.sent("POST", "/runs") == len(keys)


async def test_a_late_finish_is_refused(house: House) -> None:
    key = await house.queue.submit(house.job())
    late, living = JobManager(house.queue.connector), JobManager(house.queue.connector)
    job = await house.fetched(late)
    assert await living.rescue(SILENCE) == []
    await asyncio.sleep(SILENCE)
    assert await living.rescue(SILENCE) == [key]
    assert await living.rescue(SILENCE) == []
    again = await house.fetched(living)
    assert (again.id, again.attempts) == (job.id, 1)

    await late.finish_job(job, Status.SUCCEEDED, delete_job=True)
    await late.retry_job(job, queue=QUEUE)
    (row,) = await house.rows("SELECT status, attempts, worker_id FROM procrastinate_jobs")
    assert row == {"status": "doing", "attempts": 1, "worker_id": again.worker_id}
    await living.finish_job(again, Status.SUCCEEDED, delete_job=True)
    assert await house.rows("SELECT * FROM procrastinate_jobs") == []
