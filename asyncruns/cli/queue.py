"""An address to a queue that is open while a command needs it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from asyncruns.cli.request import Failure

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from asyncruns.workers import RunQueue

__all__ = ["DATABASE", "package", "with_queue"]

T = TypeVar("T")

DATABASE: Final = click.Option(
    ["--database", "address"],
    envvar="ASYNCRUNS_DATABASE",
    metavar="ADDRESS",
    help="The PostgreSQL database, as postgresql://user:password@host/name; best set as "
    "ASYNCRUNS_DATABASE, for the command line of a process is no secret. Without both, libpq's "
    "PGHOST, PGUSER, PGPASSWORD and so on.",
)


def with_queue(
    address: str | None, act: Callable[[RunQueue], Coroutine[Any, Any, T]], **settings: float
) -> T:
    """Do something with the queue of a database."""

    async def acting() -> T:
        async with package().RunQueue(address, **settings) as queue:
            return await act(queue)

    return asyncio.run(acting())


def package() -> Any:
    """`asyncruns.workers`: its engine is an extra, and help needs none."""
    try:
        from asyncruns import workers  # noqa: PLC0415 -- only when used
    except ModuleNotFoundError as exc:
        raise Failure(str(exc)) from exc
    return workers
