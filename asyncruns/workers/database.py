"""An address to connections: PostgreSQL, and its failures as errors of ours.

Passwords are never shown: neither an address nor what was made from it is part of any message.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, Final

import procrastinate.exceptions
import psycopg
import psycopg.errors
import psycopg.rows
from psycopg.conninfo import conninfo_to_dict
from psycopg_pool import AsyncConnectionPool

from asyncruns.workers.endings import go_on_unless_cancelled
from asyncruns.workers.errors import DatabaseError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator
    from typing import LiteralString

__all__ = ["Connection", "Database", "Row", "failing_clearly"]

Row = dict[str, Any]
Connection = psycopg.AsyncConnection[Any]

CONNECT_TIMEOUT: Final = 10
"""Seconds that connecting may take, unless the address has a `connect_timeout`."""

MAX_CONNECTIONS: Final = 8
"""How many connections one queue opens at most; its statements are short."""

ATTEMPTS: Final = 4
"""How often a statement that may be repeated is sent before its failure counts."""

_SHORT: Final = "SET LOCAL idle_in_transaction_session_timeout = '10s'"
"""What keeps the locks of a process that is stopped within a transaction from lasting."""

_SHAPE: Final = "postgresql://user:password@host:5432/name"


class Database:
    """The connections of one queue, open within an `async with` block."""

    def __init__(self, address: str) -> None:
        """Raises DatabaseError for an address that cannot be read."""
        try:
            known = conninfo_to_dict(address)
        except psycopg.Error:
            # The reason would quote the address, and its password with it.
            message = f"the database's address cannot be read: expected {_SHAPE}"
            raise DatabaseError(message) from None
        self._address = address
        self._password = str(known.get("password") or "")
        self._timeout = float(known.get("connect_timeout") or CONNECT_TIMEOUT)
        options: dict[str, Any] = {"row_factory": psycopg.rows.dict_row}
        if "connect_timeout" not in known:
            options["connect_timeout"] = CONNECT_TIMEOUT
        self._options = options
        self.pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
            address,
            kwargs=options,
            min_size=1,
            max_size=MAX_CONNECTIONS,
            open=False,
            configure=_commit_each_statement,
            check=AsyncConnectionPool.check_connection,
            name="asyncruns",
        )

    async def open(self) -> None:
        """Connect; raises DatabaseError, which says why, where that fails."""
        with failing_clearly(self._password):
            # A pool would try for half a minute, and not tell the reason.
            async with await psycopg.AsyncConnection.connect(self._address, **self._options):
                pass
            await self.pool.open(wait=True, timeout=self._timeout)

    async def close(self) -> None:
        """Close the connections."""
        await self.pool.close()

    @asynccontextmanager
    async def transaction(self) -> AsyncGenerator[Connection]:
        """A connection with a transaction that is committed at the block's end."""
        with failing_clearly(self._password):
            async with self.pool.connection() as connection, connection.transaction():
                await connection.execute(_SHORT)
                yield connection

    async def rows(self, query: LiteralString, **values: object) -> list[Row]:
        """Send a statement that may be repeated without harm, and give its rows.

        It is sent again where the connection broke; raises DatabaseError where that does not help.
        """
        for attempt in range(1, ATTEMPTS + 1):
            try:
                with failing_clearly(self._password):
                    async with self.pool.connection() as connection:
                        cursor = await connection.execute(query, values)
                        return await cursor.fetchall() if cursor.description else []
            except DatabaseError as exc:
                go_on_unless_cancelled()
                if not isinstance(exc.__cause__, psycopg.OperationalError) or attempt == ATTEMPTS:
                    raise
            await asyncio.sleep(0.1 * 2**attempt)
        raise AssertionError("unreachable")


async def _commit_each_statement(connection: Connection) -> None:
    """Make each statement a transaction: a process that is stopped after one holds no lock."""
    await connection.set_autocommit(True)


@contextmanager
def failing_clearly(password: str = "") -> Generator[None]:
    """Turn the failures of psycopg and of the engine into DatabaseError."""
    try:
        yield
    except (psycopg.Error, procrastinate.exceptions.ConnectorException) as exc:
        cause = exc if isinstance(exc, psycopg.Error) else exc.__cause__ or exc
        raise DatabaseError(_reason(cause, password)) from cause


def _reason(exc: BaseException, password: str) -> str:
    if isinstance(exc, psycopg.errors.UndefinedTable | psycopg.errors.UndefinedFunction):
        return "the database has no queue yet, or an older one: run `asyncruns workers migrate`"
    said = " ".join(str(exc).split("\n")[0].split()) or type(exc).__name__
    if password:
        said = said.replace(password, "***")
    if isinstance(exc, psycopg.OperationalError):
        return f"the database cannot be reached: {said}"
    return f"the database refuses: {said}"
