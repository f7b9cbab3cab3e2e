"""What the tests of many workers share: processes, a server, and the truth about its runs."""

from __future__ import annotations

import asyncio
import re
import socket
import sys
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from asyncruns import RunJob, to_dict
from asyncruns.emulator import Action, Call, Context, Emulator, Parallel, Say, Wait
from asyncruns.workers import RunQueue
from tests.workers.process import journal_tools

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import AsyncGenerator, Sequence
    from pathlib import Path

    from asyncruns.workers import JobStatus

CALLS = 3
"""Tool calls of each run of `World`, in two rounds."""

_CREATED = re.compile(r"/v1/threads/[^/]+/runs")


@dataclass
class World:
    """A server, a queue, worker processes, and what the server's runs have heard."""

    address: str
    journal: Path
    server: Emulator
    queue: RunQueue
    heard: list[str] = field(default_factory=list)
    """What the tool calls have given, by the server: one entry for each call that was answered."""
    processes: list[Process] = field(default_factory=list)
    pace: float = 0.2
    """Seconds of each tool call, and of what the model thinks between two rounds."""
    assistant_id: str = ""

    async def script(self, _: Context) -> AsyncGenerator[Action, Any]:
        """Two rounds of tool calls, and a sentence."""
        outputs: list[str] = yield Parallel(*[Call("work", {"seconds": self.pace})] * (CALLS - 1))
        self.heard += outputs
        yield Wait(self.pace)
        self.heard.append((yield Call("work", {"seconds": self.pace})))
        yield Wait(self.pace)
        yield Say("Done.")

    async def start(self, *options: str) -> Process:
        """Start a worker in a process of its own, and wait until it is there."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-W", "error", "-m", "tests.workers.process"),
            *(self.address, self.server.base_url, str(self.journal), *options),
            stdout=asyncio.subprocess.PIPE,
        )
        self.processes.append(process)
        assert process.stdout is not None
        assert await process.stdout.readline() == b"ready\n"
        return process

    def threads(self, count: int) -> list[str | None]:
        """Threads that are there, and two that are still to be created for each job."""
        return [*(self.server.add_thread()["id"] for _ in range(count)), None, None]

    async def submit(self, count: int, *, threads: Sequence[str | None] = (None,)) -> list[str]:
        """Submit jobs, on the threads in turn."""
        return [
            await self.queue.submit(
                RunJob(
                    assistant_id=self.assistant_id,
                    thread_id=threads[number % len(threads)],
                    message=f"Job {number}",
                    toolset="journal",
                )
            )
            for number in range(count)
        ]

    async def started(self, keys: list[str], *, deliveries: int = 1) -> None:
        """Return once all jobs have been taken up so many times, and have runs."""
        async with asyncio.timeout(30):
            while True:
                jobs = [await self.queue.status(key) for key in keys]
                if all(job.deliveries >= deliveries and job.run_id for job in jobs):
                    return
                await asyncio.sleep(0.1)

    def name_of(self, process: Process) -> str:
        """What the rows call a worker."""
        return f"{socket.gethostname()}:{process.pid}"

    async def ended(self, keys: list[str]) -> list[JobStatus]:
        """The jobs, once all of them have ended."""
        return [await self.queue.wait(key, deadline=60) for key in keys]

    @property
    def created(self) -> int:
        """How many runs the server has created."""
        return sum(
            request.method == "POST"
            and request.status == 200
            and _CREATED.fullmatch(request.path) is not None
            for request in self.server.requests
        )

    @property
    def cancelled(self) -> int:
        """How many runs somebody has cancelled."""
        return len(
            {
                request.path
                for request in self.server.requests
                if request.status == 200 and request.path.endswith("/cancel")
            }
        )

    @property
    def submissions(self) -> int:
        """How many rounds of tool calls the server has taken the outputs of."""
        return sum(
            request.status == 200 and request.path.endswith("/submit_tool_outputs")
            for request in self.server.requests
        )

    @property
    def executions(self) -> Counter[str]:
        """How often each tool call has come to its end, by its idempotency key."""
        return self.words("end")

    def words(self, word: str) -> Counter[str]:
        """How often each tool call has begun, or has come to its end."""
        lines = self.journal.read_text().splitlines() if self.journal.exists() else []
        return Counter(line.split()[1] for line in lines if line.startswith(f"{word} "))

    async def kept_outputs(self) -> int:
        """How many outputs the database keeps, of rounds that are not over."""
        rows = await self.queue.database.rows("SELECT count(*) FROM asyncruns_outputs")
        return int(rows[0]["count"])

    def check(self, jobs: list[JobStatus], *, slept: bool = False) -> None:
        """Every job has one outcome and one run, and every tool call was answered once.

        A worker that slept may have done so right before it sent a create: it cancels that run.
        """
        assert Counter(job.outcome for job in jobs) == {"completed": len(jobs)}
        assert len({job.run_id for job in jobs}) == len(jobs)
        assert self.created == len(jobs) + (self.cancelled if slept else 0)
        assert self.submissions == 2 * len(jobs)
        assert len(self.heard) == len(set(self.heard)) == CALLS * len(jobs)
        assert {key.partition(":")[0] for key in self.heard} == {job.run_id for job in jobs}
        assert set(self.heard) == self.executions.keys()


@asynccontextmanager
async def world(address: str, journal: Path) -> AsyncGenerator[World]:
    """A world whose processes are killed at the block's end."""
    async with Emulator(poll_after_ms=100) as server, RunQueue(address, silence=3) as queue:
        await queue.migrate()
        here = World(address, journal, server, queue)
        server.script = here.script
        tools = journal_tools(journal).definitions
        here.assistant_id = server.add_assistant(tools=[to_dict(tool) for tool in tools])["id"]
        try:
            yield here
        finally:
            for process in here.processes:
                if process.returncode is None:
                    process.kill()
            for process in here.processes:
                await process.wait()
