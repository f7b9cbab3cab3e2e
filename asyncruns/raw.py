"""Answers as they came: status, headers and body beside the object that they hold."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from asyncruns.pages import Paginator, read_answer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from asyncruns.transport import Request, Response

__all__ = ["RawMethods", "RawResponse", "unread"]

T = TypeVar("T")

SINGLE: Final = frozenset(
    {
        "cancel",
        "create",
        "create_and_run",
        "delete",
        "list",
        "retrieve",
        "submit_tool_outputs",
        "update",
    }
)
"""The methods that send one request."""


@dataclass(frozen=True, slots=True)
class RawResponse(Generic[T]):
    """An answer, read whole and not yet decoded."""

    response: Response = field(repr=False)
    """What was read."""
    _parse: Callable[[], T] = field(repr=False)

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


class RawMethods:
    """The methods of a resource that send one request, each giving a RawResponse.

    Statuses of errors are raised as ever.
    """

    def __init__(self, resource: Any) -> None:
        self._resource = resource

    def __getattr__(self, name: str) -> Callable[..., Awaitable[RawResponse[Any]]]:
        if name not in SINGLE:
            raise AttributeError(f"with_raw_response has no method {name!r}")
        method = getattr(self._resource, name)

        async def call(*args: Any, **kwargs: Any) -> RawResponse[Any]:
            if kwargs.get("stream") is True:
                raise TypeError("with_raw_response gives answers that are read whole: no stream")
            outcome = method(*args, **kwargs)
            if isinstance(outcome, Paginator):
                return await _first_page(outcome)
            raw: RawResponse[Any] = await outcome
            return raw

        return call

    def __dir__(self) -> list[str]:
        return sorted(SINGLE & set(dir(self._resource)))


def unread(
    decode: Callable[[bytes], Any], response: Response, request: Request
) -> RawResponse[Any]:
    """Stand in for `read_answer` where the caller wants the answer itself."""
    return RawResponse(response, lambda: read_answer(decode, response, request))


async def _first_page(pages: Paginator[Any]) -> RawResponse[Any]:
    source = pages.source
    response = await source.ask()
    return RawResponse(response, lambda: source.read(response))
