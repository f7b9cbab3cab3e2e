"""Migrating: an empty database, one of the engine's, an older one, and many hosts at once."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from procrastinate.schema import SchemaManager

from asyncruns.workers import DatabaseError, RunQueue

if TYPE_CHECKING:
    from tests.workers.house import House

pytestmark = [pytest.mark.anyio, pytest.mark.database]

OLD = "3.1.0"
"""A version of the engine before the one that workers need."""


def install_engine(address: str, *, before: str) -> None:
    """Create the engine's tables as they were before a version."""
    steps = sorted(Path(SchemaManager.get_migrations_path()).glob("*.sql"))
    with psycopg.connect(address, autocommit=True) as connection:
        for step in steps:
            if step.name < before:
                connection.execute(step.read_bytes())


def functions(address: str) -> list[tuple[str, str]]:
    """The engine's functions, with their bodies, but for old ones that it has left behind."""
    query = "SELECT proname, prosrc FROM pg_proc WHERE proname LIKE 'procrastinate_%' ORDER BY 1, 2"
    with psycopg.connect(address) as connection:
        return list(connection.execute(query).fetchall())


async def test_many_hosts_may_migrate_at_once(address: str) -> None:
    async def migrated() -> list[str]:
        async with RunQueue(address) as queue:
            return await queue.migrate()

    done = await asyncio.gather(*[migrated() for _ in range(4)])
    assert sorted(map(len, done)) == [0, 0, 0, 2]


async def test_the_engines_tables_are_used_where_they_are_there_for_others(address: str) -> None:
    install_engine(address, before="99")
    async with RunQueue(address) as queue:
        assert await queue.migrate() == ["created the tables of asyncruns"]
        assert await queue.migrate() == []


async def test_the_tables_of_an_older_engine_are_left_to_whoever_has_made_them(
    address: str,
) -> None:
    install_engine(address, before="03.02")
    async with RunQueue(address) as queue:
        with pytest.raises(DatabaseError, match="the tables of an older procrastinate: migrate"):
            await queue.migrate()


async def test_an_older_engine_of_ours_is_brought_up_to_date(house: House, address: str) -> None:
    fresh = functions(address)
    await house.rows("DROP SCHEMA public CASCADE")
    await house.rows("CREATE SCHEMA public")
    install_engine(address, before="03.02")
    async with RunQueue(address) as queue:
        await queue.database.rows("CREATE TABLE asyncruns_schema (version integer, engine text)")
        await queue.database.rows("INSERT INTO asyncruns_schema VALUES (1, %(old)s)", old=OLD)
        (said,) = await queue.migrate()
        assert said.startswith("migrated the tables of procrastinate to 3.")
        assert set(fresh) <= set(functions(address))
        assert await queue.migrate() == []


async def test_a_newer_queue_is_left_alone(house: House) -> None:
    await house.rows("UPDATE asyncruns_schema SET version = 99")
    with pytest.raises(DatabaseError, match="the database has version 99 of the queue"):
        await house.queue.migrate()
