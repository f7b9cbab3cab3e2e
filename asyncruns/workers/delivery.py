"""A job in the hands of one worker: from its row to its run, and from the run's end to its row.

A job creates one run, however often it is delivered. The run is the one in the job's row; else the
one of the thread's runs that has the job's key in its metadata; else it is created. Where a live
run holds the thread, the key is searched for once more before that run is waited for.
"""

from __future__ import annotations

import asyncio
import logging
import random
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Final

from asyncruns import (
    DEDUPE_KEY,
    ENDED_RUN,
    ActiveRunError,
    APIStatusError,
    BadRequestError,
    MaxRoundsExceeded,
    NotFoundError,
    Run,
    RunStream,
    StreamInterrupted,
    ToolError,
    UnprocessableEntityError,
)
from asyncruns.workers.endings import end
from asyncruns.workers.engine import HandedOver, Postponed
from asyncruns.workers.errors import DatabaseError
from asyncruns.workers.lease import Lease, LeaseLost
from asyncruns.workers.rows import job_of
from asyncruns.workers.sections import Sections
from asyncruns.workers.tools import KeptToolset

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping

    from asyncruns import Client, RunJob, Toolset
    from asyncruns.workers.database import Row

__all__ = ["Delivery"]

FULL_PAGE: Final = 100
"""The longest page that servers give; so many of a thread's runs are looked at in any case."""

CLOCKS: Final = 3600
"""Seconds by which the server's clock may be behind the database's: beyond a full page, runs that
are older than the job by more than this are not looked at."""

SEARCHES: Final = 10
"""How often a run is looked for whose creation may be under way."""

SEARCH_PAUSE: Final = 0.5
"""Seconds between two of these looks."""

CANCEL_DEADLINE: Final = 60.0
"""Seconds that a run may take to end once it is cancelled, before it is cancelled anew."""

LONGEST_PAUSE: Final = 300.0
"""Seconds that a job waits at most for its next attempt."""

_PERMANENT: Final = (
    BadRequestError,
    NotFoundError,
    UnprocessableEntityError,
    MaxRoundsExceeded,
    ToolError,
    TypeError,
    ValueError,
)
"""What another attempt does not help against."""

_log: Final = logging.getLogger("asyncruns.workers")


class Delivery:
    """One attempt at a job, which may be the last that it needs."""

    def __init__(
        self,
        client: Client,
        lease: Lease,
        toolsets: Mapping[str, Toolset],
        *,
        worker: str,
        grace: float,
        max_failures: int,
        options: Mapping[str, Any],
    ) -> None:
        self.lease = lease
        self._client = client
        self._toolsets = toolsets
        self._worker = worker
        self._grace = grace
        self._max_failures = max_failures
        self._options = options
        self._creation, self._calls = Sections(), Sections()
        self._leaves: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()
        self._is_called_off = asyncio.Event()
        self._may_be_creating = False
        self._created = self._is_new_thread = False

    def hand_over(self) -> None:
        """Leave the job, and its run alive, to another worker."""
        if not self._leaves.done():
            self._leaves.set_result(HandedOver())

    def lose(self) -> None:
        """Take note that the job is in other hands."""
        if not self._leaves.done():
            self._leaves.set_result(LeaseLost())

    def call_off(self) -> None:
        """Cancel the run."""
        self._is_called_off.set()

    async def carry_out(self) -> None:
        """Bring the job to its end.

        Raises HandedOver, Postponed, LeaseLost or DatabaseError where others must do that.
        """
        row = await self.lease.begin(self._worker)
        if row["outcome"] is not None:
            return  # its worker died between writing that and telling the engine
        self._may_be_creating = row["deliveries"] > 1
        if row["cancel_requested"]:
            self.call_off()
        if not await self._led_to_an_end(self._drive(row), unless=self._is_called_off):
            await self._led_to_an_end(self._cancel())

    async def _led_to_an_end(
        self, work: Coroutine[Any, Any, None], *, unless: asyncio.Event | None = None
    ) -> bool:
        """Do the work; False if the event came first. What leads away from here is raised."""
        task = asyncio.create_task(work)
        alarm = asyncio.create_task(unless.wait()) if unless is not None else None
        watched: set[asyncio.Future[Any]] = {task, self._leaves}
        if alarm is not None:
            watched.add(alarm)
        try:
            await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                # A run must not be left half-created; a tool call only counts for the next worker.
                calls_too = isinstance(self._left(), HandedOver)
                await asyncio.gather(
                    self._creation.close(self._grace),
                    self._calls.close(self._grace if calls_too else 0),
                )
        finally:
            await end([task] if alarm is None else [task, alarm])
        if not task.cancelled():
            await self._judge(task.exception())
            return True
        if (reason := self._left()) is not None:
            raise reason
        return False

    def _left(self) -> Exception | None:
        """Why the job is left before its end; None where it is not."""
        return self._leaves.result() if self._leaves.done() else None

    async def _judge(self, exc: BaseException | None) -> None:
        """End the job that no further attempt helps; raises Postponed for any other failure."""
        if exc is None:
            return
        if isinstance(exc, LeaseLost | DatabaseError) or not isinstance(exc, Exception):
            raise exc
        reason = f"{type(exc).__name__}: {exc}"
        failures = await self.lease.count_failure(reason)
        if _is_permanent(exc) or failures >= self._max_failures:
            await self.lease.end("error", reason)
            _log.error("job %s: %s", self.lease.key, reason)
            return
        postponed = Postponed(_pause(exc, failures))
        _log.warning("job %s: %s; %s", self.lease.key, reason, postponed)
        raise postponed from exc

    async def _drive(self, row: Row) -> None:
        """Bring the run to its end."""
        job = job_of(row)
        tools = self._tools(job)
        async with AsyncExitStack() as stack:
            async with self._creation.enter():
                thread_id = await self._thread(row, job)
                stream = await self._stream(row, job, thread_id, tools)
                await stack.enter_async_context(stream)
                await self._save_first(stream, thread_id)
            async for event in stream:
                goes_on = isinstance(event.data, Run) and event.data.status != "requires_action"
                if goes_on and tools is not None:
                    await tools.end_round()
        stopped = stream.run.last_error if stream.run is not None else None
        await self._end(stream.outcome or "interrupted", stopped.message if stopped else None)

    def _tools(self, job: RunJob) -> KeptToolset | None:
        if job.toolset is None:
            return None
        toolset = self._toolsets.get(job.toolset)
        if toolset is None:
            known = ", ".join(sorted(self._toolsets)) or "none"
            raise LookupError(f"this worker has no toolset {job.toolset!r}, only: {known}")
        return KeptToolset(toolset, self.lease, self._calls)

    async def _thread(self, row: Row, job: RunJob) -> str:
        """The job's thread, which may have to be created."""
        known: str | None = row["thread_id"]
        if known is not None:
            return known
        new: dict[str, Any] = {**(job.thread or {}), **_kept(job)}
        thread = await self._client.threads.create(**new)
        await self.lease.save_thread(thread.id)
        self._is_new_thread = True
        return thread.id

    async def _stream(
        self, row: Row, job: RunJob, thread_id: str, tools: KeptToolset | None
    ) -> RunStream:
        """The stream of the job's run, wherever that is found."""
        run_id = row["run_id"]
        if run_id is None and not self._is_new_thread:
            run_id = await self._found(row, thread_id)
        if run_id is not None:
            included = {"include": job.params["include"]} if "include" in job.params else {}
            return self._client.runs.attach(
                run_id,
                thread_id=thread_id,
                toolset=tools,
                **included,
                **_kept(job),
                **self._options,
            )
        await self.lease.check()  # searching took its time
        self._may_be_creating = self._created = True
        return self._client.runs.stream(
            thread_id=thread_id,
            assistant_id=job.assistant_id,
            toolset=tools,
            dedupe_key=self.lease.key,
            on_active_run="wait",
            **_parameters(job),
            **self._options,
        )

    async def _found(self, row: Row, thread_id: str) -> str | None:
        """The run of the thread that has the job's key; None where there is none."""
        began = row["submitted_at"].timestamp() - CLOCKS
        looked_at = 0
        async for run in self._client.runs.list(thread_id, limit=FULL_PAGE, **_kept(job_of(row))):
            if (run.metadata or {}).get(DEDUPE_KEY) == self.lease.key:
                return run.id
            looked_at += 1
            if looked_at >= FULL_PAGE and run.created_at is not None and run.created_at < began:
                break
        return None

    async def _save_first(self, stream: RunStream, thread_id: str) -> None:
        """Read until the run is known, and keep which it is."""
        async for _ in stream:
            if stream.run is not None:
                break
        if stream.run is None:
            return
        run_id = stream.run.id
        _log.info("job %s: %s %s", self.lease.key, "run" if self._created else "back to", run_id)
        try:
            await self.lease.save_run(run_id)
        except LeaseLost:
            # A worker that slept between its last look and the create: another has gone ahead.
            row = await self.lease.known()
            if self._created and row["run_id"] not in {None, run_id}:
                await self._client.runs.cancel(run_id, thread_id=thread_id, **_kept(job_of(row)))
            raise

    async def _cancel(self) -> None:
        """Cancel the run, and follow it to its end; a job that has no run is over."""
        row = await self.lease.known()  # driving it may have found out more
        thread_id, run_id = row["thread_id"], row["run_id"]
        if run_id is None and thread_id is not None:
            run_id = await self._searched(row, thread_id)
        if run_id is None or thread_id is None:
            await self._end("cancelled")
            return
        await self.lease.save_run(run_id)
        kept = _kept(job_of(row))
        try:
            await self._client.runs.cancel(run_id, thread_id=thread_id, **kept)
        except BadRequestError as exc:
            _log.debug("run %s was not cancelled: %s", run_id, exc)  # it is over, as a rule
        run = await self._client.runs.poll(
            run_id, thread_id, until=ENDED_RUN, deadline=CANCEL_DEADLINE, **kept
        )
        await self._end(run.status)

    async def _searched(self, row: Row, thread_id: str) -> str | None:
        """Look for the run; for a while, where its creation may be under way."""
        for _ in range(SEARCHES if self._may_be_creating else 1):
            run_id = await self._found(row, thread_id)
            if run_id is not None:
                return run_id
            await asyncio.sleep(SEARCH_PAUSE)
        return None

    async def _end(self, outcome: str, error: str | None = None) -> None:
        await self.lease.end(outcome, error)
        _log.info("job %s: %s", self.lease.key, outcome)


def _kept(job: RunJob) -> dict[str, Any]:
    """The options of the job that hold for each request of its run."""
    names = ("extra_headers", "extra_query", "timeout")
    return {name: job.params[name] for name in names if name in job.params}


def _parameters(job: RunJob) -> dict[str, Any]:
    """The further parameters of the run's creation: the message comes with it, or not at all."""
    if job.message is None:
        return job.params
    said = {"role": "user", "content": job.message}
    before = job.params.get("additional_messages") or []
    return {**job.params, "additional_messages": [*before, said]}


def _is_permanent(exc: BaseException | None) -> bool:
    """Whether the next attempt would fail the same way; a stream chains what it failed of."""
    if isinstance(exc, _PERMANENT) and not isinstance(exc, ActiveRunError):
        return True
    return isinstance(exc, StreamInterrupted) and _is_permanent(exc.__cause__)


def _pause(exc: Exception, failures: int) -> float:
    """Seconds until the next attempt: growing, some at random, and no less than is asked for."""
    asked = exc.retry_after if isinstance(exc, APIStatusError) else None
    grown = min(2.0**failures, LONGEST_PAUSE)
    return max(asked or 0, grown * random.uniform(0.75, 1.25))  # noqa: S311 -- spreads load
