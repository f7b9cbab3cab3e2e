"""Parameters to an answer: sends a command's request and prints what comes back."""

from __future__ import annotations

import asyncio
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from asyncruns import RawResponse
    from asyncruns.cli.connection import Connection

__all__ = ["answer"]


def answer(
    connection: Connection,
    resource: str,
    method: str,
    params: dict[str, Any],
    *,
    shape: str,
    raw: bool,
    max_items: int | None = None,
) -> None:
    """Send the request, and print what comes back."""
    body = asyncio.run(_ask(connection, resource, method, params))
    del shape, raw, max_items
    click.echo(body)


async def _ask(connection: Connection, resource: str, method: str, params: dict[str, Any]) -> bytes:
    async with connection.open() as client:
        methods = attrgetter(resource)(client).with_raw_response
        answer: RawResponse[Any] = await getattr(methods, method)(**params)
        return answer.body
