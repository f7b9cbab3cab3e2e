"""Jobs that many hosts share: a queue in PostgreSQL, and workers that outlive each other.

The engine is procrastinate; the extra `workers` brings it.
"""

try:
    import procrastinate as _procrastinate  # noqa: F401 -- an extra, and its absence is explained
    import psycopg_pool as _psycopg_pool  # noqa: F401
except ModuleNotFoundError as exc:
    raise ModuleNotFoundError(
        f"asyncruns.workers needs {exc.name}: pip install 'asyncruns[workers]'", name=exc.name
    ) from exc

from asyncruns.workers.errors import DatabaseError, JobConflictError, UnknownJobError
from asyncruns.workers.queue import RunQueue
from asyncruns.workers.rows import JobState, JobStatus
from asyncruns.workers.worker import RunWorker

__all__ = [
    "DatabaseError",
    "JobConflictError",
    "JobState",
    "JobStatus",
    "RunQueue",
    "RunWorker",
    "UnknownJobError",
]
