"""What can go wrong between a program and the queue of jobs.

::

    AsyncRunsError
    ├── DatabaseError       the database is out of reach, refuses, or lacks the tables
    ├── UnknownJobError     no job has the key
    └── JobConflictError    another job has the key
"""

from __future__ import annotations

from asyncruns import AsyncRunsError

__all__ = ["DatabaseError", "JobConflictError", "UnknownJobError"]


class DatabaseError(AsyncRunsError):
    """The database cannot be reached, refuses what it is asked, or lacks the queue's tables."""


class UnknownJobError(AsyncRunsError):
    """No job has this key. `key` is what was asked for."""

    def __init__(self, key: str) -> None:
        super().__init__(f"there is no job {key!r}")
        self.key = key


class JobConflictError(AsyncRunsError):
    """A job that differs from this one has its key already. `key` is that key."""

    def __init__(self, key: str) -> None:
        super().__init__(f"another job has the key {key!r} already: a key names one job for ever")
        self.key = key
