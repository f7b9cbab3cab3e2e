"""Jobs to their ends: a worker takes them from the queue, and the dead ones' jobs from the dead."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from typing import TYPE_CHECKING, Any, Final, Unpack

from procrastinate.exceptions import ConnectorException

from asyncruns.workers.delivery import Delivery
from asyncruns.workers.endings import end, go_on_unless_cancelled
from asyncruns.workers.engine import QUEUE, RESCUE, TASK, JobManager, Redelivery, engine
from asyncruns.workers.errors import DatabaseError
from asyncruns.workers.lease import Lease

if TYPE_CHECKING:
    from collections.abc import Mapping

    import procrastinate

    from asyncruns import Client, StreamOptions, Toolset
    from asyncruns.workers.queue import RunQueue

__all__ = ["RunWorker"]

TICK: Final = 1.0
"""Seconds between two heartbeats, and two looks at what has become of the jobs."""

POLL: Final = 2.0
"""Seconds between two looks for new jobs, of which a worker is told at once as a rule."""

BACKSTOP: Final = 5.0
"""Seconds beyond the grace after which a job that does not stop is cancelled."""

NEVER: Final = 1e9
"""Seconds until the engine does what is done here in its place."""

OPTIONS: Final = {
    "idle_timeout",
    "max_parallel_tools",
    "max_rounds",
    "on_tool_error",
    "recovery_deadline",
    "tool_timeout",
}
"""The options of a stream that a job's delivery may have."""

_HELD: Final = """
SELECT e.id, e.worker_id, e.attempts, j.cancel_requested
FROM procrastinate_jobs e JOIN asyncruns_jobs j ON j.engine_id = e.id
WHERE e.status = 'doing' AND e.id = ANY(%(ids)s)
"""

_log: Final = logging.getLogger("asyncruns.workers")


class RunWorker:
    """Works on the jobs of a queue, `concurrency` of them at once, until it is stopped.

    `toolsets` are the functions that answer tool calls, by the names that jobs give them.
    A worker whose heartbeat is missing for the queue's `silence` counts as dead, and each of its
    jobs goes on elsewhere: in the free slots, and in `rescue_slots` that take nothing else.
    A worker that stops lets tool calls that are under way come to their end for up to `grace`
    seconds, and hands its jobs over; their runs stay alive. A job whose attempts fail for passing
    reasons is tried again, with growing pauses, until `max_failures` of them have failed.
    `options` are those of `runs.stream` that say how tool calls are answered and how long a stream
    may be silent.

    The queue and the client stay the caller's to close.
    """

    def __init__(
        self,
        queue: RunQueue,
        client: Client,
        *,
        toolsets: Mapping[str, Toolset] | None = None,
        concurrency: int = 10,
        rescue_slots: int = 1,
        grace: float = 10.0,
        max_failures: int = 8,
        **options: Unpack[StreamOptions],
    ) -> None:
        for name, value in (("concurrency", concurrency), ("rescue_slots", rescue_slots)):
            if value < 1:
                raise ValueError(f"{name} must be 1 or more, not {value!r}")
        unknown = options.keys() - OPTIONS
        if unknown:
            raise TypeError(f"RunWorker() got an unexpected keyword argument {min(unknown)!r}")
        self._queue = queue
        self._client = client
        self._toolsets = dict(toolsets or {})
        self._slots = {(QUEUE, RESCUE): concurrency, (RESCUE,): rescue_slots}
        self._grace = grace
        self._max_failures = max_failures
        self._options = options
        self._name = f"{socket.gethostname()}:{os.getpid()}"
        self._deliveries: set[Delivery] = set()
        self._stop = asyncio.Event()
        self._beat_at: float | None = None
        self._judges_from = 0.0

    @property
    def name(self) -> str:
        """What the jobs' rows call this worker: host and process."""
        return self._name

    @property
    def running(self) -> int:
        """How many jobs it is working on."""
        return len(self._deliveries)

    def stop(self) -> None:
        """Hand all jobs over and end `run`; to be called in its event loop."""
        self._stop.set()

    async def run(self) -> None:
        """Work until `stop` is called; raises DatabaseError where the queue has no tables."""
        await self._queue.counts()  # tells at once what is wrong with the database
        app = engine(self._queue.connector)
        manager = app.job_manager
        assert isinstance(manager, JobManager)  # noqa: S101 -- `engine` made it
        app.task(name=TASK, pass_context=True, retry=Redelivery())(self._deliver)
        serving = [
            asyncio.create_task(self._serve(app, queues, slots))
            for queues, slots in self._slots.items()
        ]
        watching = [asyncio.create_task(self._watch(manager))]
        stopping = asyncio.create_task(self._stop.wait())
        try:
            ends: set[asyncio.Task[Any]] = {stopping, *serving, *watching}
            done, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()  # none but the first ends by itself, unless it fails
        finally:
            stopping.cancel()
            manager.closing = True
            for delivery in self._deliveries:
                delivery.hand_over()
            await end(serving, patience=self._grace + 2 * BACKSTOP)
            await end(watching)  # the heart beats to the end

    async def _serve(self, app: procrastinate.App, queues: tuple[str, ...], slots: int) -> None:
        """Run the engine's worker, and another where it fails: a sleeper is forgotten."""
        while True:
            try:
                await app.run_worker_async(
                    name=self._name,
                    queues=list(queues),  # as a PostgreSQL array
                    concurrency=slots,
                    fetch_job_polling_interval=POLL,
                    abort_job_polling_interval=NEVER,
                    update_heartbeat_interval=NEVER,
                    stalled_worker_timeout=self._queue.silence,
                    shutdown_graceful_timeout=self._grace + BACKSTOP,
                    install_signal_handlers=False,
                    delete_jobs="always",
                )
            except ConnectorException as exc:
                _log.warning("the worker begins anew: %s", exc.__cause__ or exc)
            go_on_unless_cancelled()
            await asyncio.sleep(TICK)

    async def _deliver(self, context: procrastinate.JobContext, key: str) -> None:  # noqa: ARG002 -- the engine passes it
        """Carry out one delivery of a job; what it raises tells the engine who goes on."""
        delivery = Delivery(
            self._client,
            Lease(self._queue.database, context.job),
            self._toolsets,
            worker=self._name,
            grace=self._grace,
            max_failures=self._max_failures,
            options=self._options,
        )
        self._deliveries.add(delivery)
        if self._stop.is_set():
            delivery.hand_over()
        try:
            await delivery.carry_out()
        finally:
            self._deliveries.discard(delivery)

    async def _watch(self, manager: JobManager) -> None:
        """Tell again and again that the worker is alive, and look after the jobs of all."""
        while True:
            try:
                await manager.beat()
                if self._may_judge():
                    for key in await manager.rescue(self._queue.silence):
                        _log.warning("job %s: its worker is silent, another goes on with it", key)
                await self._tell_deliveries()
            except (ConnectorException, DatabaseError) as exc:
                _log.warning("the database does not answer: %s", exc.__cause__ or exc)
            go_on_unless_cancelled()
            await asyncio.sleep(min(TICK, self._queue.silence / 4))

    def _may_judge(self) -> bool:
        """Whether the silence of others says something: not so after a time without heartbeats.

        The database was away then, or we were, and they get the time to be heard again.
        """
        now, silence = asyncio.get_running_loop().time(), self._queue.silence
        if self._beat_at is not None and now - self._beat_at > silence / 2:
            self._judges_from = now + silence
        self._beat_at = now
        return now >= self._judges_from

    async def _tell_deliveries(self) -> None:
        """Tell the deliveries what others want of their jobs."""
        deliveries = list(self._deliveries)
        ids = [delivery.lease.engine_id for delivery in deliveries]
        if not ids:
            return
        rows = {row["id"]: row for row in await self._queue.database.rows(_HELD, ids=ids)}
        for delivery in deliveries:
            row = rows.get(delivery.lease.engine_id)
            if row is None or not delivery.lease.is_of(row):
                delivery.lose()
            elif row["cancel_requested"]:
                delivery.call_off()
