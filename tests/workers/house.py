"""What the tests of one worker share: a server beside them, and jobs that a worker carries out."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from anyio.from_thread import start_blocking_portal

from asyncruns import Client, RunJob
from asyncruns.emulator import Call, Emulator, Say, Wait
from asyncruns.workers import RunQueue, RunWorker

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from anyio.from_thread import BlockingPortal
    from procrastinate.jobs import Job

    from asyncruns.emulator import Action, Context, Script
    from asyncruns.workers import JobStatus
    from asyncruns.workers.engine import JobManager

SILENCE = 2.0


async def speak(_: Context) -> AsyncGenerator[Action, Any]:
    yield Say("Hello.")


async def last(_: Context) -> AsyncGenerator[Action, Any]:
    yield Wait(3600)


async def ask(_: Context) -> AsyncGenerator[Action, Any]:
    yield Say("I heard: " + (yield Call("work", {"number": 1})))


@dataclass
class House:
    """A server in a thread of its own, a client of it, and a queue."""

    server: Emulator
    portal: BlockingPortal
    client: Client
    queue: RunQueue
    assistant_id: str

    def job(self, **fields: Any) -> RunJob:
        named: dict[str, Any] = {"assistant_id": self.assistant_id, **fields}
        return RunJob(**named)

    def new_thread(self) -> str:
        return str(self.server.add_thread()["id"])

    def add_run(self, thread_id: str, script: Script, **fields: Any) -> str:
        """Add a run to the server, and give its id once it has ended or waits."""
        add = self.server.add_run
        run = self.portal.call(lambda: add(thread_id, self.assistant_id, script=script, **fields))
        return str(run["id"])

    def sent(self, method: str, end: str) -> int:
        """How many requests of a kind the server has carried out."""
        return sum(
            request.method == method and request.status == 200 and request.path.endswith(end)
            for request in self.server.requests
        )

    @asynccontextmanager
    async def working(
        self, client: Client | None = None, **options: Any
    ) -> AsyncGenerator[RunWorker]:
        """A worker, until the block's end."""
        settings: dict[str, Any] = {"grace": 1, **options}
        worker = RunWorker(self.queue, client or self.client, **settings)
        task = asyncio.create_task(worker.run())
        try:
            yield worker
        finally:
            worker.stop()
            await task

    async def until(self, key: str, condition: Callable[[JobStatus], object]) -> JobStatus:
        """Give a job once it is as it should be."""
        async with asyncio.timeout(30):
            while True:
                job = await self.queue.status(key)
                if condition(job):
                    return job
                await asyncio.sleep(0.05)

    async def rows(self, query: Any, **values: object) -> list[dict[str, Any]]:
        """Ask the database itself."""
        return await self.queue.database.rows(query, **values)

    async def fetched(self, manager: JobManager) -> Job:
        """A job in the hands of a worker that will not be heard of again."""
        worker_id = await manager.register_worker()
        job = await manager.fetch_job(None, worker_id)
        assert job is not None
        return job


@asynccontextmanager
async def opened(address: str) -> AsyncGenerator[House]:
    """A house with an assistant and a migrated queue."""
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(Emulator(speak, poll_after_ms=50)) as server,
    ):
        async with (
            Client(base_url=server.base_url, api_key="any") as client,
            RunQueue(address, silence=SILENCE) as queue,
        ):
            await queue.migrate()
            assistant_id = server.add_assistant()["id"]
            yield House(server, portal, client, queue, assistant_id)
