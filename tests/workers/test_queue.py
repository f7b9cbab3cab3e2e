"""Submitting, looking up and cancelling jobs, on a real database."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import psycopg
import pytest

from asyncruns import FunctionDefinition, FunctionTool
from asyncruns.workers import (
    DatabaseError,
    JobConflictError,
    RunQueue,
    RunWorker,
    UnknownJobError,
)

if TYPE_CHECKING:
    from tests.workers.cluster import Cluster
    from tests.workers.house import House

pytestmark = [pytest.mark.anyio, pytest.mark.database]


async def test_a_job_that_is_submitted_twice_is_one_job(house: House) -> None:
    job = house.job(dedupe_key="one", message="Hi")
    assert await asyncio.gather(*[house.queue.submit(job) for _ in range(5)]) == ["one"] * 5
    assert await house.queue.counts() == {"waiting": 1}
    assert await house.rows("SELECT count(*) FROM procrastinate_jobs") == [{"count": 1}]
    async with house.working():
        await house.queue.wait("one", deadline=30)
        assert await house.queue.submit(job) == "one"
        assert await house.queue.counts() == {"completed": 1}
    assert house.sent("POST", "/runs") == 1


async def test_another_job_cannot_have_the_same_key(house: House) -> None:
    await house.queue.submit(house.job(dedupe_key="one", message="Hi"))
    with pytest.raises(JobConflictError, match="another job has the key 'one' already") as caught:
        await house.queue.submit(house.job(dedupe_key="one", message="Ho"))
    assert caught.value.key == "one"
    assert await house.queue.counts() == {"waiting": 1}


async def test_a_job_without_a_key_gets_one(house: House) -> None:
    keys = {await house.queue.submit(house.job()) for _ in range(3)}
    assert len(keys) == 3
    assert await house.queue.counts() == {"waiting": 3}


async def test_a_job_may_have_structs_and_odd_texts(house: House) -> None:
    tool = FunctionTool(function=FunctionDefinition(name="work"))
    job = house.job(dedupe_key="odd", message="a\0b 世界", params={"tools": [tool]})
    assert await house.queue.submit(job) == await house.queue.submit(job) == "odd"
    async with house.working():
        assert (await house.queue.wait("odd", deadline=30)).outcome == "completed"
    (message, _) = (await house.client.messages.list(job_thread(house), order="asc")).data
    assert b"a\\u0000b" in (message.raw or b"")


def job_thread(house: House) -> str:
    """The thread that the newest run was created on."""
    created = [request.path for request in house.server.requests if request.path.endswith("/runs")]
    return created[-1].split("/")[-2]


@pytest.mark.parametrize("fields", [{"dedupe_key": "a\0"}, {"thread_id": "a\0"}])
async def test_a_nul_that_the_database_cannot_hold_is_refused(
    fields: dict[str, str], house: House
) -> None:
    with pytest.raises(ValueError, match="must not have NUL characters"):
        await house.queue.submit(house.job(**fields))


@pytest.mark.parametrize("autocommit", [False, True])
async def test_a_job_is_queued_in_the_callers_transaction(
    autocommit: bool, house: House, address: str
) -> None:
    async with await psycopg.AsyncConnection.connect(address, autocommit=autocommit) as connection:
        async with connection.transaction(force_rollback=True):
            await house.queue.submit(house.job(dedupe_key="lost"), connection=connection)
        assert await house.queue.counts() == {}
        async with connection.transaction():
            await house.queue.submit(house.job(dedupe_key="kept"), connection=connection)
            assert await house.queue.counts() == {}
        await connection.commit()
        assert await house.queue.counts() == {"waiting": 1}
        with pytest.raises(JobConflictError):
            await house.queue.submit(
                house.job(dedupe_key="kept", message="Ho"), connection=connection
            )


async def test_a_job_that_nobody_has_taken_up_is_cancelled_at_once(house: House) -> None:
    thread_id = house.new_thread()
    for key in ("one", "two"):
        await house.queue.submit(house.job(dedupe_key=key, thread_id=thread_id))
    job = await house.queue.cancel("one")
    assert (job.state, job.outcome, job.run_id, job.deliveries) == ("ended", "cancelled", None, 0)
    async with house.working():
        assert (await house.queue.wait("two", deadline=30)).outcome == "completed"
    assert await house.queue.status("one") == job
    assert house.sent("POST", "/runs") == 1


async def test_a_job_that_has_ended_stays_as_it_is(house: House) -> None:
    key = await house.queue.submit(house.job())
    async with house.working():
        ended = await house.queue.wait(key, deadline=30)
        job = await house.queue.cancel(key)
    assert (job.outcome, job.run_id, job.ended_at) == ("completed", ended.run_id, ended.ended_at)


async def test_a_key_that_is_not_there_is_an_error(house: House) -> None:
    for ask in (house.queue.status, house.queue.cancel, house.queue.wait):
        with pytest.raises(UnknownJobError, match="there is no job 'nobody'") as caught:
            await ask("nobody")
        assert caught.value.key == "nobody"


async def test_waiting_has_a_deadline(house: House) -> None:
    key = await house.queue.submit(house.job())
    with pytest.raises(TimeoutError):
        await house.queue.wait(key, deadline=0.01)


async def test_the_address_may_be_in_the_environment(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASYNCRUNS_DATABASE", address)
    async with RunQueue() as queue:
        assert await queue.migrate()


async def test_without_a_database_there_is_an_error_without_a_password(cluster: Cluster) -> None:
    with pytest.raises(DatabaseError, match=r"cannot be reached: .*does not exist") as caught:
        await RunQueue(cluster.address("nowhere")).__aenter__()
    assert "s3cret" not in repr(caught.value)


async def test_what_makes_no_sense_is_refused(house: House) -> None:
    with pytest.raises(ValueError, match="silence must be more than 0 seconds, not 0"):
        RunQueue("", silence=0)
    with pytest.raises(ValueError, match="concurrency must be 1 or more, not 0"):
        RunWorker(house.queue, house.client, concurrency=0)
    with pytest.raises(ValueError, match="rescue_slots must be 1 or more, not -1"):
        RunWorker(house.queue, house.client, rescue_slots=-1)
    with pytest.raises(TypeError, match="unexpected keyword argument 'cancel_on_exit'"):
        RunWorker(house.queue, house.client, cancel_on_exit=True)
