"""The engine: who works on which job, by procrastinate, and nobody else at the same time.

A worker holds a job as long as the engine's row says so: the status is `doing`, and the worker and
the number of attempts are those that the job was fetched with. Whoever gives the job to another
changes them, so that a worker that was taken for dead, and was not, can no longer end the job,
postpone it, or write into its row (see `lease`).
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final, LiteralString

import procrastinate
import procrastinate.manager
import psycopg
from procrastinate.exceptions import ConnectorException
from procrastinate.retry import BaseRetryStrategy, RetryDecision

from asyncruns.workers.endings import end, go_on_unless_cancelled

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable

    from procrastinate.jobs import Job, Status
    from procrastinate.manager import NotificationCallback

__all__ = [
    "HELD",
    "QUEUE",
    "RESCUE",
    "TASK",
    "HandedOver",
    "JobManager",
    "Postponed",
    "Redelivery",
    "engine",
]

TASK: Final = "asyncruns.run"
"""The engine's name for what is to be done; its only argument is the job's key."""

QUEUE: Final = "asyncruns"
"""The engine's queue of new jobs."""

RESCUE: Final = "asyncruns_rescue"
"""The engine's queue of jobs whose run may be alive: they have slots of their own."""

RESCUE_PRIORITY: Final = 1
"""Above that of new jobs; on one thread, a job that was begun comes before those after it."""

TROUBLE_PAUSE: Final = 5
"""Seconds until a job is tried again whose worker had trouble of its own."""

OUTAGE_PAUSE: Final = 2.0
"""Seconds between two tries while the database is away."""

_log: Final = logging.getLogger("asyncruns.workers")


class HandedOver(Exception):  # noqa: N818 -- it says what has happened, and is no failure
    """The worker stops, and another goes on with the job at once."""


class Postponed(Exception):  # noqa: N818 -- the same
    """The job is tried again later, by any worker."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"the job is tried again in {seconds:.0f} s")
        self.seconds = seconds


class Redelivery(BaseRetryStrategy):
    """Gives every job back that is not at its end: only its body knows where that is."""

    def get_retry_decision(self, *, exception: BaseException, job: Job) -> RetryDecision:  # noqa: ARG002 -- the engine passes it
        """At once for a worker that stops, which is also told by a cancellation; later if not."""
        if isinstance(exception, Postponed):
            return RetryDecision(retry_in={"seconds": round(exception.seconds)}, queue=RESCUE)
        if isinstance(exception, Exception) and not isinstance(exception, HandedOver):
            return RetryDecision(retry_in={"seconds": TROUBLE_PAUSE}, queue=RESCUE)
        return RetryDecision(queue=RESCUE, priority=RESCUE_PRIORITY)


HELD: Final = """
WITH held AS (
    SELECT id, lock, queue_name FROM procrastinate_jobs
    WHERE id = %(engine_id)s AND status = 'doing'
        AND worker_id IS NOT DISTINCT FROM %(worker_id)s AND attempts = %(attempts)s
    FOR UPDATE
)
"""
"""The engine's row of a job that is still held as it was fetched; nothing otherwise.

The lock on it makes "still" true until the end of the statement's transaction."""

_WAKE: Final = """
    pg_notify(
        'procrastinate_queue_v1#' || queue_name,
        json_build_object('type', 'job_inserted', 'job_id', id)::text
    )
"""
"""Tell the workers of a queue: the engine itself tells them of new jobs only."""

# A thread's next job waits for this one's end, and may be in either queue.
_FINISH: Final = f"""
{HELD}, ended AS (
    SELECT id, lock, procrastinate_finish_job_v1(
        id, %(status)s::procrastinate_job_status, %(delete_job)s
    )
    FROM held
), next AS (
    SELECT DISTINCT queue_name, 0 AS id FROM procrastinate_jobs
    WHERE lock = (SELECT lock FROM ended) AND status = 'todo'
)
SELECT ended.id, (SELECT count({_WAKE}) FROM next) FROM ended
"""

_RETRY: Final = f"""
{HELD}, given AS (
    SELECT id, COALESCE(%(queue)s, queue_name) AS queue_name, procrastinate_retry_job_v2(
        id, COALESCE(%(retry_at)s, now()), %(priority)s::integer,
        %(queue)s::varchar, %(lock)s::varchar
    )
    FROM held
)
SELECT id, {_WAKE} FROM given
"""


class JobManager(procrastinate.manager.JobManager):
    """The engine's statements: for those who hold a job only, and for databases that go away.

    The engine itself stops, or loses a job that has just ended, where the database does not
    answer; here it waits until the database is back.
    """

    def __init__(self, connector: procrastinate.PsycopgConnector) -> None:
        super().__init__(connector)
        self._connector = connector
        self.worker_ids: set[int] = set()
        self.closing = False

    async def beat(self) -> None:
        """Tell that the workers of this process are alive."""
        query: LiteralString = """
            UPDATE procrastinate_workers SET last_heartbeat = now() WHERE id = ANY(%(ids)s)
        """
        await self._connector.execute_query_async(query, ids=list(self.worker_ids))

    async def register_worker(self) -> int:
        """Begin to be a worker."""
        worker_id = await super().register_worker()
        self.worker_ids.add(worker_id)
        return worker_id

    async def unregister_worker(self, worker_id: int) -> None:
        """Cease to be a worker."""
        self.worker_ids.discard(worker_id)
        await super().unregister_worker(worker_id)

    async def listen_for_jobs(
        self, *, on_notification: NotificationCallback, queues: Iterable[str] | None = None
    ) -> None:
        """Listen for new jobs, whatever becomes of the connection meanwhile."""
        while True:
            listening = asyncio.create_task(
                super().listen_for_jobs(on_notification=on_notification, queues=queues)
            )
            try:
                await asyncio.wait({listening})
                listening.result()
            except ConnectorException as exc:
                _log.warning("new jobs are noticed late, the database is away: %s", exc.__cause__)
            finally:
                await end([listening])
            await asyncio.sleep(OUTAGE_PAUSE)

    async def fetch_job(self, queues: Iterable[str] | None, worker_id: int) -> Job | None:
        """Take the next job; None where there is none, or no database."""
        try:
            return await super().fetch_job(queues, worker_id)
        except ConnectorException as exc:
            go_on_unless_cancelled()
            if not _is_outage(exc):
                raise
            return None

    async def finish_job(self, job: Job, status: Status, delete_job: bool) -> None:
        """End a job."""
        values = {"status": status.value, "delete_job": delete_job}
        if not await self._as_holder(job, _FINISH, values):
            _log.warning(_IN_OTHER_HANDS, job.task_kwargs.get("key"))

    async def retry_job(
        self,
        job: Job,
        retry_at: dt.datetime | None = None,
        priority: int | None = None,
        queue: str | None = None,
        lock: str | None = None,
    ) -> None:
        """Give a job back, at once where no time is given, and wake the others."""
        values = {"retry_at": retry_at, "priority": priority, "queue": queue, "lock": lock}
        if not await self._as_holder(job, _RETRY, values):
            _log.warning(_IN_OTHER_HANDS, job.task_kwargs.get("key"))

    async def rescue(self, silence: float) -> list[str]:
        """Give the jobs of workers that have been silent for so many seconds to the others.

        Gives their keys.
        """
        stalled = await self.get_stalled_jobs(task_name=TASK, seconds_since_heartbeat=silence)
        values = {"retry_at": None, "priority": RESCUE_PRIORITY, "queue": RESCUE, "lock": None}
        return [
            str(job.task_kwargs["key"])
            for job in stalled
            if await self._as_holder(job, _RETRY, values)  # and nobody else was faster
        ]

    async def _as_holder(self, job: Job, query: LiteralString, values: dict[str, Any]) -> bool:
        """Send a statement about a job that is held; False where it is not, any more."""
        fence = {"engine_id": job.id, "worker_id": job.worker_id, "attempts": job.attempts}
        while True:
            try:
                return bool(await self._connector.execute_query_all_async(query, **fence, **values))
            except ConnectorException as exc:
                go_on_unless_cancelled()
                # A worker that stops leaves the job to those who will find it stalled.
                if self.closing or not _is_outage(exc):
                    raise
            await asyncio.sleep(OUTAGE_PAUSE)


_IN_OTHER_HANDS: Final = "job %s is in other hands: what became of it here is dropped"


def _is_outage(exc: ConnectorException) -> bool:
    return isinstance(exc.__cause__, psycopg.OperationalError)


def engine(connector: procrastinate.PsycopgConnector) -> procrastinate.App:
    """The engine, on connections that stay the caller's own."""
    app = procrastinate.App(connector=connector)
    app.job_manager = JobManager(connector)
    return app
