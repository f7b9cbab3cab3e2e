"""What the resources share: keywords to a request, an answer to its object."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

from msgspec import UNSET

from asyncruns.models import Answer, to_json
from asyncruns.pages import read_answer
from asyncruns.resources.parameters import LOCAL
from asyncruns.transport import Request

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from asyncruns.transport import Transport

__all__ = ["Resource", "request_of"]

AnswerT = TypeVar("AnswerT", bound=Answer)

_IN_QUERY: Final = frozenset({"include"})
"""Parameters that stand in the query even where the request has a body."""


class Resource:
    """The endpoints of one kind of object; `read` makes of an answer what is given for it."""

    def __init__(self, transport: Transport, read: Callable[..., Any] = read_answer) -> None:
        self._transport = transport
        self._read = read

    async def _ask(self, decode: Callable[[bytes], AnswerT], request: Request) -> AnswerT:
        answer: AnswerT = self._read(decode, await self._transport.send(request), request)
        return answer

    async def _delete(
        self, decode: Callable[[bytes], AnswerT], object_id: str, request: Request
    ) -> AnswerT:
        # No body comes with a 204, and where an earlier attempt, of which nothing came, did it.
        gone = to_json({"id": object_id, "deleted": True})
        return await self._ask(lambda body: decode(body or gone), request)


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
    body = {name: value for name, value in given.items() if name not in query}
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
