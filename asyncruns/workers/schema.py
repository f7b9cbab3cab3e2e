"""An empty database to one with the queue's tables: ours, and the engine's."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final

from procrastinate.schema import SchemaManager

from asyncruns.workers.errors import DatabaseError

if TYPE_CHECKING:
    from asyncruns.workers.database import Connection, Database

__all__ = ["migrate"]

VERSION: Final = 1
"""The version of our own tables."""

LOCK: Final = 0x6173796E63
"""The advisory lock under which one process at a time migrates."""

TABLES: Final = """
CREATE TABLE asyncruns_jobs (
    key text PRIMARY KEY,
    engine_id bigint UNIQUE,
    job json NOT NULL,
    thread_id text,
    run_id text,
    worker text,
    deliveries integer NOT NULL DEFAULT 0,
    failures integer NOT NULL DEFAULT 0,
    cancel_requested boolean NOT NULL DEFAULT false,
    outcome text,
    error text,
    submitted_at timestamptz NOT NULL DEFAULT now(),
    started_at timestamptz,
    ended_at timestamptz
);
CREATE INDEX asyncruns_jobs_open ON asyncruns_jobs (submitted_at) WHERE outcome IS NULL;
CREATE TABLE asyncruns_outputs (
    key text REFERENCES asyncruns_jobs ON DELETE CASCADE,
    call_id text,
    request bytea,
    output bytea NOT NULL,
    PRIMARY KEY (key, call_id, request)
);
CREATE TABLE asyncruns_schema (version integer NOT NULL, engine text);
"""
"""`job` is text, not jsonb, which takes no NUL; `engine` is None where the engine's tables were
there already, for other uses, and are somebody else's to migrate."""


async def migrate(database: Database) -> list[str]:
    """Create or update the tables; gives what has been done, nothing where all was there.

    Safe to call at any time and from many hosts at once; it is done whole or not at all.
    """
    async with database.transaction() as connection:
        await connection.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
        known = await _known(connection)
        if known is not None and known[0] > VERSION:
            raise DatabaseError(
                f"the database has version {known[0]} of the queue, and this asyncruns knows "
                f"{VERSION}: update asyncruns"
            )
        done = await _migrate_engine(connection, None if known is None else known[1])
        if known is None:
            await connection.execute(TABLES)
            engine = _installed() if done else None
            await connection.execute("INSERT INTO asyncruns_schema VALUES (%s, %s)", [1, engine])
            done.append("created the tables of asyncruns")
        return done


async def _known(connection: Connection) -> tuple[int, str | None] | None:
    """Our version and the engine's, as they were migrated to; None in a new database."""
    if not await _exists(connection, "asyncruns_schema"):
        return None
    cursor = await connection.execute("SELECT version, engine FROM asyncruns_schema")
    row = await cursor.fetchone()
    return None if row is None else (row["version"], row["engine"])


async def _migrate_engine(connection: Connection, migrated_to: str | None) -> list[str]:
    """Bring the engine's tables to the version that is installed, where they are ours."""
    installed = _installed()
    if not await _exists(connection, "procrastinate_jobs"):
        await connection.execute(SchemaManager.get_schema())
        return [f"created the tables of procrastinate {installed}"]
    if migrated_to is None:
        if not await _is_new_enough(connection):
            raise DatabaseError(
                "the database has the tables of an older procrastinate: migrate them first, as "
                "procrastinate's documentation says"
            )
        return []
    steps = _steps_after(migrated_to)
    for step in steps:
        await connection.execute(step.read_bytes())
    if _numbers(installed) > _numbers(migrated_to):
        await connection.execute("UPDATE asyncruns_schema SET engine = %s", [installed])
    return [f"migrated the tables of procrastinate to {installed}"] if steps else []


def _installed() -> str:
    return version("procrastinate")


def _steps_after(migrated_to: str) -> list[Path]:
    """The engine's own migrations after a version; their files are named 03.02.00_01_…sql."""
    files = sorted(Path(SchemaManager.get_migrations_path()).glob("*.sql"))
    return [file for file in files if _numbers(file.name.partition("_")[0]) > _numbers(migrated_to)]


def _numbers(dotted: str) -> tuple[int, ...]:
    return tuple(int(number) for number in dotted.split(".")[:3])


async def _exists(connection: Connection, table: str) -> bool:
    cursor = await connection.execute("SELECT to_regclass(%s) AS found", [table])
    row = await cursor.fetchone()
    return row is not None and row["found"] is not None


async def _is_new_enough(connection: Connection) -> bool:
    """Whether the engine's tables have what workers need: the newest function that they call."""
    cursor = await connection.execute(
        "SELECT count(*) AS found FROM pg_proc WHERE proname = 'procrastinate_retry_job_v2'"
    )
    row = await cursor.fetchone()
    return row is not None and row["found"] > 0
