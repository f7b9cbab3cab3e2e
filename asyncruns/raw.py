"""Answers as they came: status, headers and body beside the object that they hold."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, cast

from msgspec import Struct

from asyncruns.models import Assistant, Message, Run, RunStep
from asyncruns.pages import read_answer
from asyncruns.transport import Response

if TYPE_CHECKING:
    from collections.abc import Awaitable, Coroutine, Mapping

    from asyncruns.pages import Page, Paginator
    from asyncruns.transport import Request

__all__ = ["RawResponse", "page", "single", "unread"]

T = TypeVar("T")
P = ParamSpec("P")
ItemT = TypeVar("ItemT", bound=Run | RunStep | Message | Assistant)


class RawResponse(Struct, Generic[T], frozen=True):
    """An answer, read whole and not yet decoded."""

    response: Response
    """What was read."""
    _parse: Callable[[], T]

    @property
    def status(self) -> int:
        """The answer's status."""
        return self.response.status

    @property
    def headers(self) -> Mapping[str, str]:
        """The answer's headers, case-insensitive."""
        return self.response.headers

    @property
    def body(self) -> bytes:
        """The answer's body."""
        return self.response.body

    @property
    def request_id(self) -> str | None:
        """The `x-request-id`; None where the server sent none."""
        return self.response.request_id

    def parse(self) -> T:
        """Decode the object; raises APIStatusError for a body that does not hold it."""
        return self._parse()

    def __repr__(self) -> str:
        return f"RawResponse(status={self.status})"


def single(method: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Awaitable[RawResponse[T]]]:
    """Type a method of a resource that was made with `unread`: one request, and its answer."""

    @wraps(method)
    async def call(*args: P.args, **kwargs: P.kwargs) -> RawResponse[T]:
        if kwargs.get("stream") is True:
            raise TypeError("with_raw_response gives answers that are read whole: no stream")
        if kwargs.get("dedupe_key"):
            raise TypeError("with_raw_response takes no dedupe_key: a run found has no such answer")
        return cast("RawResponse[T]", await method(*args, **kwargs))

    return call


def page(
    method: Callable[P, Paginator[ItemT]],
) -> Callable[P, Awaitable[RawResponse[Page[ItemT]]]]:
    """The same of a method that lists: the first page."""

    @wraps(method)
    async def call(*args: P.args, **kwargs: P.kwargs) -> RawResponse[Page[ItemT]]:
        source = method(*args, **kwargs).source
        response = await source.ask()
        return RawResponse(response, lambda: source.read(response))

    return call


def unread(
    decode: Callable[[bytes], Any], response: Response, request: Request
) -> RawResponse[Any]:
    """Stand in for `read_answer` where the caller wants the answer itself."""
    return RawResponse(response, lambda: read_answer(decode, response, request))
