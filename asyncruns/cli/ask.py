"""Parameters to an answer: sends a command's request and prints what comes back."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

import msgspec

from asyncruns import to_json
from asyncruns.cli.output import joined, print_json, print_raw
from asyncruns.cli.request import Failure
from asyncruns.cli.text import readable

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence

    from asyncruns import Client, RawResponse
    from asyncruns.cli.connection import Connection
    from asyncruns.pages import Page

__all__ = ["FULL_PAGE", "ask", "ask_for_list"]

FULL_PAGE: Final = 100
"""The longest page that servers give."""

T = TypeVar("T")


class Sheet(NamedTuple):
    """One page of a list, and those of its items that are wanted."""

    body: bytes
    items: Sequence[msgspec.Raw]
    more: bool
    """Whether the list goes on after these items."""


class _Items(msgspec.Struct):
    """A list of which each item stays JSON."""

    data: list[msgspec.Raw]


def ask(
    connection: Connection, path: str, params: dict[str, Any], *, shape: str, raw: bool
) -> None:
    """Send one request, and print the object that comes back.

    `path` is the method's, below the client: `runs.steps.retrieve`.
    """
    body = asyncio.run(_ask(connection, path, params))
    if raw:
        print_raw(body)
    elif shape == "table":
        from asyncruns.cli.table import print_fields  # noqa: PLC0415 -- rich, only now

        print_fields(_decoded(body, dict[str, Any]))
    else:
        print_json(body, on_one_line=shape == "jsonl")


def ask_for_list(
    connection: Connection,
    path: str,
    params: dict[str, Any],
    *,
    shape: str,
    raw: bool,
    max_items: int | None,
) -> None:
    """Ask for one page, or for as many as `max_items` takes, and print the items.

    Lines and raw bytes are printed page by page, as they come.
    """
    if max_items is not None:
        params = {"limit": min(max_items, FULL_PAGE), **params}
    pages = _pages(connection, path, params, max_items)
    if raw:
        asyncio.run(_print_bytes(pages))
    elif shape == "jsonl":
        asyncio.run(_print_lines(pages))
    else:
        sheets = asyncio.run(_all(pages))
        items = [item for sheet in sheets for item in sheet.items]
        if shape == "table":
            from asyncruns.cli.table import print_rows  # noqa: PLC0415 -- rich, only now

            print_rows([_decoded(bytes(item), dict[str, Any]) for item in items])
        elif max_items is None:
            print_json(sheets[0].body)
        else:
            print_json(joined(sheets[0].body, items, more=sheets[-1].more))


async def _ask(connection: Connection, path: str, params: dict[str, Any]) -> bytes:
    async with connection.open() as client:
        answer = await _method(client, path)(**params)
        # No body comes where an earlier attempt at deleting, whose answer was lost, has done it.
        return answer.body or to_json(answer.parse())


async def _pages(
    connection: Connection, path: str, params: dict[str, Any], max_items: int | None
) -> AsyncGenerator[Sheet]:
    """Give the first page, or as many as it takes to have `max_items` items."""
    async with connection.open() as client:
        answer = await _method(client, path)(**params)
        items = _decoded(answer.body, _Items).data
        if max_items is None:
            yield Sheet(answer.body, items, more=False)
            return
        page: Page[Any] = answer.parse()
        while True:
            goes_on = page.has_next_page()
            yield Sheet(page.raw or b"", items[:max_items], goes_on or len(items) > max_items)
            max_items -= len(items)
            if max_items <= 0 or not goes_on:
                return
            last, page = page.data[-1].id, await page.get_next_page()
            # A server that does not know `after` gives the same page again and again.
            if page.data and page.data[-1].id == last:
                return
            items = _decoded(page.raw or b"", _Items).data


async def _print_bytes(pages: AsyncGenerator[Sheet]) -> None:
    between = b""
    async with aclosing(pages):
        async for page in pages:
            print_raw(between + page.body)
            between = b"\n"


async def _print_lines(pages: AsyncGenerator[Sheet]) -> None:
    async with aclosing(pages):
        async for page in pages:
            for item in page.items:
                print_json(bytes(item), on_one_line=True)


async def _all(pages: AsyncGenerator[Sheet]) -> list[Sheet]:
    return [page async for page in pages]


def _method(client: Client, path: str) -> Callable[..., Awaitable[RawResponse[Any]]]:
    resource, _, method = path.rpartition(".")
    found: Callable[..., Awaitable[RawResponse[Any]]]
    found = getattr(attrgetter(resource)(client).with_raw_response, method)
    return found


def _decoded(body: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(readable(body), type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise Failure(f"the answer cannot be read: {exc}") from exc
