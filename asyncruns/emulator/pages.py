"""Lists: the objects of a collection and a query to one page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncruns.emulator.errors import bad_request, not_found

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from asyncruns.emulator.records import Json

DEFAULT_LIMIT = 20
LARGEST_LIMIT = 100


def page(kind: str, oldest_first: Iterable[Json], query: Mapping[str, str]) -> Json:
    """Return the page that the query asks for by limit, order, after and before.

    Raises ApiError: 400 for a bad limit or order, 404 for a cursor that is not in the list.
    """
    limit = _limit(query)
    ordered = _in_order(list(oldest_first), query)
    ids = [record["id"] for record in ordered]
    first = _position(kind, ids, query["after"]) + 1 if "after" in query else 0
    last = _position(kind, ids, query["before"]) if "before" in query else len(ids)
    if "before" in query and "after" not in query:
        data = ordered[max(last - limit, 0) : last]
    else:
        data = ordered[first:last][:limit]
    return {
        "object": "list",
        "data": data,
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
        "has_more": max(last - first, 0) > len(data),
    }


def _limit(query: Mapping[str, str]) -> int:
    text = query.get("limit", str(DEFAULT_LIMIT))
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= LARGEST_LIMIT):
        raise bad_request(
            f"Invalid 'limit': expected an integer from 1 to {LARGEST_LIMIT}, got '{text}'.",
            param="limit",
            code="invalid_value",
        )
    return int(text)


def _in_order(oldest_first: list[Json], query: Mapping[str, str]) -> list[Json]:
    order = query.get("order", "desc")
    if order not in {"asc", "desc"}:
        raise bad_request(
            f"Invalid value for 'order': '{order}' is not supported.",
            param="order",
            code="invalid_value",
        )
    return oldest_first if order == "asc" else oldest_first[::-1]


def _position(kind: str, ids: list[str], cursor: str) -> int:
    try:
        return ids.index(cursor)
    except ValueError:
        raise not_found(kind, cursor) from None
