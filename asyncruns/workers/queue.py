"""Jobs to rows: submitting, looking up and cancelling, by any program that reaches the database."""

from __future__ import annotations

import asyncio
import os
import uuid
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final, Self

import msgspec
import procrastinate
from psycopg.rows import dict_row

from asyncruns.workers.database import Connection, Database, failing_clearly
from asyncruns.workers.engine import QUEUE, TASK, engine
from asyncruns.workers.errors import JobConflictError, UnknownJobError
from asyncruns.workers.rows import STATUS, JobStatus, status_of
from asyncruns.workers.schema import migrate

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from types import TracebackType

    from asyncruns import RunJob

__all__ = ["ADDRESS", "RunQueue"]

ADDRESS: Final = "ASYNCRUNS_DATABASE"
"""The environment variable with the database's address."""

SILENCE: Final = 30.0
"""Seconds without a heartbeat after which a worker counts as dead, unless told otherwise."""

LOOK: Final = 0.5
"""Seconds between two looks at a job that is waited for."""

_INSERT: Final = """
INSERT INTO asyncruns_jobs (key, job, thread_id) VALUES (%s, %s, %s)
ON CONFLICT DO NOTHING RETURNING key
"""
_REQUEST: Final = """
UPDATE asyncruns_jobs SET cancel_requested = true WHERE key = %s RETURNING engine_id, outcome
"""
# A job that nobody has taken up has no run: it is over here and now.
_WITHDRAW: Final = """
WITH unbegun AS (
    SELECT id FROM procrastinate_jobs
    WHERE id = %(id)s AND status = 'todo' AND attempts = 0 FOR UPDATE
), withdrawn AS (
    SELECT procrastinate_cancel_job_v1(id, false, true) AS id FROM unbegun
)
UPDATE asyncruns_jobs SET outcome = 'cancelled', ended_at = now()
FROM withdrawn WHERE engine_id = withdrawn.id
"""
# Of one that waits for its next attempt a run may be alive: that attempt comes now.
_HURRY: Final = """
UPDATE procrastinate_jobs SET scheduled_at = NULL WHERE id = %(id)s AND status = 'todo'
"""


class RunQueue:
    """The queue of jobs in a PostgreSQL database, open within an `async with` block.

    `address` is what libpq takes, a URL or `key=value` pairs; `ASYNCRUNS_DATABASE` unless given,
    and libpq's own PGHOST, PGUSER and so on where that is not set either. `silence` is the
    seconds without a heartbeat after which a worker is taken for dead; it is best the same for
    all workers of a database.

    Everything raises DatabaseError where the database is out of reach, refuses, or has no tables.
    """

    def __init__(self, address: str | None = None, *, silence: float = SILENCE) -> None:
        if not silence > 0:
            raise ValueError(f"silence must be more than 0 seconds, not {silence!r}")
        self.silence = silence
        self.database = Database(os.environ.get(ADDRESS, "") if address is None else address)
        self.connector = procrastinate.PsycopgConnector()
        self._engine = engine(self.connector)

    async def __aenter__(self) -> Self:
        await self.database.open()
        await self.connector.open_async(self.database.pool)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.database.close()

    async def migrate(self) -> list[str]:
        """Create or update the tables; gives what has been done, nothing where all was there.

        Safe to call from many hosts at once. Before an update of the engine, stop the workers.
        """
        return await migrate(self.database)

    async def submit(self, job: RunJob, *, connection: Connection | None = None) -> str:
        """Queue a job, and give its key: the `dedupe_key`, or a new one.

        Submitting a job again queues nothing; raises JobConflictError where the key belongs to
        another job. With a `connection` of psycopg's the job is queued in its transaction: it is
        there once the caller commits, together with all else that the transaction did.
        """
        key = job.dedupe_key or uuid.uuid4().hex
        if "\0" in key + (job.thread_id or ""):
            raise ValueError("dedupe_key and thread_id must not have NUL characters")
        job = msgspec.structs.replace(job, dedupe_key=key)
        text = msgspec.json.encode(job).decode()
        async with self._transaction(connection) as opened:
            cursor = await opened.execute(_INSERT, [key, text, job.thread_id])
            if await cursor.fetchone() is not None:
                await self._enqueue(opened, key, job.thread_id)
            else:
                await _check_same(opened, job)
        return key

    async def status(self, key: str) -> JobStatus:
        """Look a job up; raises UnknownJobError where there is none."""
        for row in await self.database.rows(
            STATUS + "WHERE j.key = %(key)s", key=key, silence=self.silence
        ):
            return status_of(row)
        raise UnknownJobError(key)

    async def counts(self) -> dict[str, int]:
        """Count the jobs by where they are; those that have ended by their outcome."""
        query = (
            "SELECT COALESCE(outcome, state) AS name, count(*) AS count FROM "
            f"({STATUS}) AS jobs GROUP BY name ORDER BY name"
        )
        rows = await self.database.rows(query, silence=self.silence)
        return {row["name"]: row["count"] for row in rows}

    async def wait(self, key: str, *, deadline: float | None = None) -> JobStatus:
        """Give the job once it has ended; raises TimeoutError after `deadline` seconds."""
        now = asyncio.get_running_loop().time
        ends_at = None if deadline is None else now() + deadline
        while True:
            status = await self.status(key)
            if status.state == "ended":
                return status
            if ends_at is not None and now() > ends_at:
                raise TimeoutError(f"job {key!r} did not end within {deadline:g} s")
            await asyncio.sleep(LOOK)

    async def cancel(self, key: str) -> JobStatus:
        """Ask for a job to be cancelled, and give it as it is now.

        A job that no worker has taken up ends at once. The run of any other is cancelled at the
        server by the worker that has the job, or that gets it. A job that has ended stays as it
        is. Raises UnknownJobError where there is none.
        """
        async with self.database.transaction() as connection:
            cursor = await connection.execute(_REQUEST, [key])
            row = await cursor.fetchone()
            if row is None:
                raise UnknownJobError(key)
            if row["outcome"] is None:
                for query in (_WITHDRAW, _HURRY):
                    await connection.execute(query, {"id": row["engine_id"]})
        return await self.status(key)

    @asynccontextmanager
    async def _transaction(self, connection: Connection | None) -> AsyncGenerator[Connection]:
        """The caller's transaction, or one of our own."""
        if connection is None:
            async with self.database.transaction() as own:
                yield own
        else:
            with failing_clearly():
                async with connection.transaction():
                    yield connection

    async def _enqueue(self, connection: Connection, key: str, thread_id: str | None) -> None:
        """Give the job to the engine: one at a time on a thread, in the order of submission."""
        deferrer = self._engine.configure_task(
            TASK, queue=QUEUE, lock=thread_id, connection=connection
        )
        engine_id = await deferrer.defer_async(key=key)
        update = "UPDATE asyncruns_jobs SET engine_id = %s WHERE key = %s"
        await connection.execute(update, [engine_id, key])


async def _check_same(connection: Connection, job: RunJob) -> None:
    """Raise JobConflictError unless a job is the one that has its key already."""
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute("SELECT job FROM asyncruns_jobs WHERE key = %s", [job.dedupe_key])
        row = await cursor.fetchone()
    # Compared as they are stored: parameters may be structs before that.
    if row is not None and msgspec.json.decode(msgspec.json.encode(job)) != row["job"]:
        raise JobConflictError(job.dedupe_key or "")
