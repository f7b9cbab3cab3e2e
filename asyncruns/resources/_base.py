"""What the resources share: keywords to a request, an answer to its object."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeVar

from msgspec import UNSET

from asyncruns.models import Answer, ObjectDecoder, to_json
from asyncruns.models._base import remember
from asyncruns.pages import read_answer
from asyncruns.resources.parameters import LOCAL
from asyncruns.transport import Request

if TYPE_CHECKING:
    from asyncruns.transport import Transport

__all__ = ["Resource", "request_of"]

AnswerT = TypeVar("AnswerT", bound=Answer)

_IN_QUERY: Final = frozenset({"include"})
"""Parameters that stand in the query even where the request has a body."""


class Resource:
    """The endpoints of one kind of object."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def _ask(self, decode: ObjectDecoder[AnswerT], request: Request) -> AnswerT:
        return read_answer(decode, await self._transport.send(request), request)

    async def _delete(
        self, decode: ObjectDecoder[AnswerT], object_id: str, request: Request
    ) -> AnswerT:
        response = await self._transport.send(request)
        if response.status < 300:  # noqa: PLR2004 -- the first status that is no success
            return read_answer(decode, response, request)
        # An earlier attempt, whose answer never came, has deleted it.
        gone = decode(to_json({"id": object_id, "deleted": True}))
        return remember(gone, None, response.request_id)


def request_of(
    method: str,
    path: str,
    params: Mapping[str, Any],
    *,
    has_body: bool = False,
    repeatable: bool = True,
) -> Request:
    """Put the keywords of a call where they belong: headers, query, body.

    Raises TypeError for what JSON cannot hold.
    """
    given = {
        name: value for name, value in params.items() if value is not UNSET and name not in LOCAL
    }
    headers = given.pop("extra_headers", None) or {}
    extra_query = given.pop("extra_query", None) or {}
    extra_body = given.pop("extra_body", None) or {}
    timeout = given.pop("timeout", UNSET)
    query = {name: value for name, value in given.items() if name in _IN_QUERY or not has_body}
    body = {name: _listed(value) for name, value in given.items() if name not in query}
    body.update(extra_body)
    return Request(
        method=method,
        path=path,
        query={**query, **extra_query},
        headers=headers,
        body=to_json(body) if body or has_body else None,
        timeout=timeout,
        repeatable=repeatable,
    )


def _listed(value: object) -> object:
    """Iterators are taken wherever lists are."""
    return [*value] if isinstance(value, Iterator) else value
