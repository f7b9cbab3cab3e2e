"""Jobs that many hosts share: a queue in PostgreSQL, and workers that outlive each other.

The engine is procrastinate; the extra `workers` brings it.
"""

from asyncruns.workers.errors import DatabaseError, JobConflictError, UnknownJobError

try:
    from asyncruns.workers.queue import RunQueue
    from asyncruns.workers.rows import JobState, JobStatus
    from asyncruns.workers.worker import RunWorker
except ModuleNotFoundError as exc:
    if (exc.name or "").partition(".")[0] not in {"procrastinate", "psycopg", "psycopg_pool"}:
        raise
    raise ModuleNotFoundError(
        f"asyncruns.workers needs {exc.name}: pip install 'asyncruns[workers]'", name=exc.name
    ) from exc

__all__ = [
    "DatabaseError",
    "JobConflictError",
    "JobState",
    "JobStatus",
    "RunQueue",
    "RunWorker",
    "UnknownJobError",
]
