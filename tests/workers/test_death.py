"""Workers in processes of their own, which die, sleep and stop at any moment."""

from __future__ import annotations

import asyncio
import random
import signal
from typing import TYPE_CHECKING, Any

import pytest

from asyncruns.emulator import Call, Parallel, Say
from tests.workers.fleet import world

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from asyncruns.emulator import Action, Context
    from tests.workers.cluster import Cluster

pytestmark = [pytest.mark.anyio, pytest.mark.database, pytest.mark.timeout(120)]

JOBS = 60
FEWER = 16


@pytest.mark.parametrize("seed", [random.randrange(1000)], ids=["any moments"])
async def test_sixty_jobs_survive_the_death_of_two_of_three_workers(
    seed: int, address: str, tmp_path: Path
) -> None:
    moments = random.Random(seed)
    async with world(address, tmp_path / "journal") as here:
        first, *_ = [
            await here.start(),
            await here.start("--at-create", f"{moments.randint(3, 9)}:SIGKILL"),
            await here.start(),
        ]
        keys = await here.submit(JOBS, threads=here.threads(10))
        await asyncio.sleep(moments.uniform(0.2, 3))
        first.kill()
        jobs = await here.ended(keys)
        here.check(jobs)
        assert max(job.deliveries for job in jobs) > 1
        died = [process.returncode for process in here.processes]
        assert died == [-signal.SIGKILL, -signal.SIGKILL, None]


async def test_a_worker_that_slept_for_too_long_changes_nothing_and_works_on(
    address: str, tmp_path: Path
) -> None:
    async with world(address, tmp_path / "journal") as here:
        sleepers = [await here.start("--at-create", "2:SIGSTOP"), await here.start()]
        await here.start()
        keys = await here.submit(FEWER, threads=here.threads(8))
        await asyncio.sleep(1)
        sleepers[1].send_signal(signal.SIGSTOP)
        jobs = await here.ended(keys)
        for process in sleepers:
            process.send_signal(signal.SIGCONT)
        await asyncio.sleep(2)  # they find out, and begin anew
        here.check(await here.ended(keys), slept=True)
        assert await here.ended(keys) == jobs

        here.processes[2].kill()
        keys += await here.submit(FEWER)
        jobs = await here.ended(keys)
        here.check(jobs, slept=True)
        assert {job.worker for job in jobs[FEWER:]} <= {
            here.name_of(process) for process in sleepers
        }


async def test_a_worker_that_wakes_up_while_another_has_its_jobs_lets_go_of_them(
    address: str, tmp_path: Path
) -> None:
    async with world(address, tmp_path / "journal") as here:
        here.pace = 2
        sleeper = await here.start()
        keys = await here.submit(4)
        await here.started(keys)
        sleeper.send_signal(signal.SIGSTOP)
        await here.start()
        await here.started(keys, deliveries=2)
        sleeper.send_signal(signal.SIGCONT)  # the tool calls, and the runs, are still going on
        jobs = await here.ended(keys)
        here.check(jobs)
        assert {job.worker for job in jobs} == {here.name_of(here.processes[1])}
        assert {job.deliveries for job in jobs} == {2}


async def test_a_tool_call_that_has_returned_is_not_carried_out_again(
    address: str, tmp_path: Path
) -> None:
    async def script(_: Context) -> AsyncGenerator[Action, Any]:
        here.heard += yield Parallel(
            Call("work", {"seconds": 0}), Call("work", {"seconds": 4}), Call("work", {"seconds": 0})
        )
        yield Say("Done.")

    async with world(address, tmp_path / "journal") as here:
        here.server.script = script
        worker = await here.start()
        keys = await here.submit(1)
        async with asyncio.timeout(30):
            while await here.kept_outputs() < 2:  # noqa: ASYNC110 -- another process writes them
                await asyncio.sleep(0.1)
        worker.kill()
        await here.start()
        await here.ended(keys)
        assert here.submissions == 1
        assert len(set(here.heard)) == 3
        assert here.executions == dict.fromkeys(here.heard, 1)
        begun = here.words("begin")
        assert sorted(begun.values()) == [1, 1, 2]


async def test_a_worker_that_is_told_to_stop_hands_its_jobs_over_and_leaves_their_runs_alive(
    address: str, tmp_path: Path
) -> None:
    async with world(address, tmp_path / "journal") as here:
        here.pace = 0.4
        leaving = [await here.start(), await here.start()]
        await here.start()
        keys = await here.submit(FEWER, threads=here.threads(8))
        await asyncio.sleep(1.5)
        for process in leaving:
            process.send_signal(signal.SIGTERM)
        assert [await process.wait() for process in leaving] == [0, 0]
        jobs = await here.ended(keys)
        here.check(jobs)
        assert max(job.deliveries for job in jobs) > 1
        assert set(here.executions.values()) == {1}, "a tool call was broken off"
        assert not any("/cancel" in request.path for request in here.server.requests)


async def test_jobs_go_on_when_the_database_has_been_away(
    cluster: Cluster, address: str, tmp_path: Path
) -> None:
    async with world(address, tmp_path / "journal") as here:
        await here.start()
        await here.start()
        keys = await here.submit(FEWER)
        await asyncio.sleep(1)
        cluster.stop()
        await asyncio.sleep(4)
        cluster.start()
        jobs = await here.ended(keys)
        here.check(jobs)
        assert [process.returncode for process in here.processes] == [None, None]
