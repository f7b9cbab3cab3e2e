"""Rows of the database to what a caller sees of a job."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from asyncruns import RunJob

if TYPE_CHECKING:
    from asyncruns.workers.database import Row

__all__ = ["STATUS", "JobState", "JobStatus", "job_of", "status_of"]

JobState = Literal["waiting", "running", "stalled", "ended"]
"""Where a job is: `stalled` is held by a worker that is silent; another will go on with it."""


class JobStatus(msgspec.Struct, kw_only=True, frozen=True):
    """What is known of a job."""

    key: str
    """The job's name: its dedupe_key, or the one that it got when it was submitted."""
    state: JobState
    """Whether it waits, runs, has lost its worker, or is over."""
    outcome: str | None
    """How it ended: as its run, `requires_action` where nobody answered it, or `error` where no
    end of a run could be reached; None before that."""
    error: str | None
    """What kept it from its end, or what the last attempt failed with."""
    thread_id: str | None
    """Its thread; None where a new one is still to be created."""
    run_id: str | None
    """Its run; None before the run is known."""
    worker: str | None
    """Who has, or had it last: host and process."""
    deliveries: int
    """How many times a worker has taken it up: once if all went well."""
    cancel_requested: bool
    """Whether somebody wants it cancelled."""
    submitted_at: dt.datetime
    """When it was submitted, by the database's clock, as the other times."""
    started_at: dt.datetime | None
    """When it was taken up first."""
    ended_at: dt.datetime | None
    """When its outcome was written."""


STATUS: Final = """
SELECT j.key, j.outcome, j.error, j.thread_id, j.run_id, j.worker, j.deliveries,
    j.cancel_requested, j.submitted_at, j.started_at, j.ended_at,
    CASE
        WHEN j.outcome IS NOT NULL THEN 'ended'
        WHEN e.status IS DISTINCT FROM 'doing' THEN 'waiting'
        WHEN w.last_heartbeat > now() - make_interval(secs => %(silence)s) THEN 'running'
        ELSE 'stalled'
    END AS state
FROM asyncruns_jobs j
LEFT JOIN procrastinate_jobs e ON e.id = j.engine_id
LEFT JOIN procrastinate_workers w ON w.id = e.worker_id
"""


def status_of(row: Row) -> JobStatus:
    """What a row of STATUS says."""
    return JobStatus(**row)


def job_of(row: Row) -> RunJob:
    """The job that was submitted."""
    return msgspec.convert(row["job"], RunJob)
