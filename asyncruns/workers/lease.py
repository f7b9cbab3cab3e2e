"""A job as one delivery holds it: what it reads and writes, as long as the job is its own."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, LiteralString

from asyncruns.workers.engine import HELD

if TYPE_CHECKING:
    from procrastinate.jobs import Job

    from asyncruns import RequiredActionFunctionToolCall
    from asyncruns.workers.database import Database, Row

__all__ = ["Lease", "LeaseLost"]


class LeaseLost(Exception):  # noqa: N818 -- it says what has happened
    """The job is in other hands: nothing of this delivery counts any more."""


class Lease:
    """The right to write into a job's row; every method raises LeaseLost once it is gone."""

    def __init__(self, database: Database, held: Job) -> None:
        self._database = database
        self.key = str(held.task_kwargs["key"])
        self.engine_id = held.id
        self.fence: dict[str, Any] = {
            "engine_id": held.id,
            "worker_id": held.worker_id,
            "attempts": held.attempts,
        }

    def is_of(self, row: Row) -> bool:
        """Whether the engine's row of the job is still as it was fetched."""
        return all(row[name] == self.fence[name] for name in ("worker_id", "attempts"))

    async def begin(self, worker: str) -> Row:
        """Count the delivery of a job that has no outcome yet, and give the job's row."""
        return await self._write(
            "SET worker = CASE WHEN outcome IS NULL THEN %(worker)s ELSE worker END, "
            "deliveries = CASE WHEN outcome IS NULL THEN %(attempts)s + 1 ELSE deliveries END, "
            "started_at = CASE WHEN outcome IS NULL THEN COALESCE(started_at, now()) "
            "ELSE started_at END",
            worker=worker,
        )

    async def check(self) -> None:
        """Do nothing while the job is our own."""
        if not await self._database.rows(f"{HELD} SELECT id FROM held", **self.fence):
            raise LeaseLost

    async def save_thread(self, thread_id: str) -> None:
        """Keep which thread was created."""
        await self._write("SET thread_id = %(thread_id)s", thread_id=thread_id)

    async def save_run(self, run_id: str) -> None:
        """Keep which run is the job's."""
        await self._write("SET run_id = %(run_id)s", run_id=run_id)

    async def count_failure(self, error: str) -> int:
        """Keep what an attempt failed with; gives how many have failed."""
        row = await self._write(
            "SET failures = GREATEST(failures, %(attempts)s + 1), error = %(error)s",
            error=_text(error),
        )
        return int(row["failures"])

    async def end(self, outcome: str, error: str | None = None) -> None:
        """Write the outcome, if there is none yet."""
        await self._write(
            "SET outcome = COALESCE(j.outcome, %(outcome)s), "
            "error = CASE WHEN j.outcome IS NULL THEN %(error)s ELSE j.error END, "
            "ended_at = COALESCE(j.ended_at, now())",
            outcome=outcome,
            error=_text(error),
        )
        await self.forget_outputs()

    async def output(self, call: RequiredActionFunctionToolCall) -> str | None:
        """What a tool call of the round that is going on has given already; None if nothing."""
        rows = await self._database.rows(
            f"{HELD} SELECT output FROM held LEFT JOIN asyncruns_outputs "
            "ON key = %(key)s AND call_id = %(call_id)s AND request = %(request)s",
            **self._named(call),
            **self.fence,
        )
        if not rows:
            raise LeaseLost
        output: bytes | None = rows[0]["output"]
        return None if output is None else output.decode()

    async def keep_output(self, call: RequiredActionFunctionToolCall, output: str) -> None:
        """Keep what a tool call has given, until its round is over."""
        rows = await self._database.rows(
            f"{HELD} INSERT INTO asyncruns_outputs "
            "SELECT %(key)s, %(call_id)s, %(request)s, %(output)s FROM held "
            "ON CONFLICT (key, call_id, request) DO UPDATE SET output = EXCLUDED.output "
            "RETURNING key",
            output=output.encode(),
            **self._named(call),
            **self.fence,
        )
        if not rows:
            raise LeaseLost

    async def forget_outputs(self) -> None:
        """Drop them: the round is over. Servers may use the ids of calls again."""
        await self._database.rows("DELETE FROM asyncruns_outputs WHERE key = %(key)s", key=self.key)

    async def known(self) -> Row:
        """The job's row as it is now, whoever holds the job."""
        query: LiteralString = "SELECT * FROM asyncruns_jobs WHERE key = %(key)s"
        return (await self._database.rows(query, key=self.key))[0]

    def _named(self, call: RequiredActionFunctionToolCall) -> dict[str, Any]:
        request = f"{call.function.name} {call.function.arguments}".encode("utf-8", "replace")
        digest = hashlib.sha256(request).digest()
        return {"key": self.key, "call_id": call.id, "request": digest}

    async def _write(self, change: LiteralString, **values: object) -> Row:
        rows = await self._database.rows(
            f"{HELD} UPDATE asyncruns_jobs j {change} FROM held "
            "WHERE j.engine_id = held.id RETURNING j.*",
            **self.fence,
            **values,
        )
        if not rows:
            raise LeaseLost
        return rows[0]


def _text(text: str | None) -> str | None:
    """A text as PostgreSQL takes it."""
    return None if text is None else text.replace("\0", " ").encode("utf-8", "replace").decode()
