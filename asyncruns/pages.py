"""A list request to its pages: await one page, or iterate over the items of all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Generic, Literal, TypeVar

import msgspec
from msgspec.structs import replace

from asyncruns.errors import APIStatusError, AsyncRunsError, error_message
from asyncruns.models import (
    Answer,
    Assistant,
    ListAssistantsResponse,
    ListMessagesResponse,
    ListRunsResponse,
    ListRunStepsResponse,
    Message,
    ObjectDecoder,
    Run,
    RunStep,
)
from asyncruns.models._base import remember

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator, Iterator

    from asyncruns.transport import Request, Response, Transport

__all__ = [
    "ASSISTANT_PAGE",
    "MESSAGE_PAGE",
    "RUN_PAGE",
    "RUN_STEP_PAGE",
    "Page",
    "Paginator",
    "read_answer",
]

T = TypeVar("T", bound=Run | RunStep | Message | Assistant)
AnswerT = TypeVar("AnswerT", bound=Answer)
ObjectT = TypeVar("ObjectT")


class Paginator(Generic[T]):
    """A list that nothing has been asked of yet: `await` it, or iterate with `async for`."""

    def __init__(
        self, transport: Transport, request: Request, decode: ObjectDecoder[Page[T]]
    ) -> None:
        self.source = _Source(transport, request, decode)

    def __await__(self) -> Generator[None, None, Page[T]]:
        """Ask for the first page."""
        return self.source.load().__await__()

    async def __aiter__(self) -> AsyncGenerator[T, None]:
        """Give every item of all pages; a page is asked for when the one before it is used up."""
        async for item in await self:
            yield item


class Page(Answer, Generic[T]):
    """One page of a list: `for` gives its items, `async for` those of the later pages too.

    Every page is also the reference's object for its list, such as `ListRunsResponse`.
    """

    data: list[T]
    """The page's items."""
    first_id: str | None
    """The id of the first item; None on an empty page."""
    last_id: str | None
    """The id of the last item; None on an empty page."""
    has_more: bool | None
    """Whether there are items after the last; None where the server does not say."""
    object: Literal["list"] | str
    """Always `list`."""
    _source: _Source[T]

    def has_next_page(self) -> bool:
        """Say whether to ask for another page.

        No, where `has_more` is false, where the page is empty, and where it ends with the item
        that it was to begin after. A server that leaves `has_more` out is asked until then.
        """
        asked = self._source.request.query.get("after")
        return self.has_more is not False and _cursor(self) not in {None, asked}

    async def get_next_page(self) -> Page[T]:
        """Ask for the items after the last one; raises AsyncRunsError where there are none."""
        if not self.has_next_page():
            raise AsyncRunsError("there is no next page: has_next_page() says so")
        return await self._source.after(_cursor(self)).load()

    def __iter__(self) -> Iterator[T]:
        return iter(self.data)

    async def __aiter__(self) -> AsyncGenerator[T, None]:
        page = self
        while True:
            for item in page.data:
                yield item
            if not page.has_next_page():
                return
            before, page = page, await page.get_next_page()
            # A server that does not know `after` gives the same page again and again.
            if _cursor(page) == _cursor(before):
                return


def _cursor(page: Page[T]) -> str | None:
    """The id that the next page begins after."""
    return (page.last_id or page.data[-1].id) if page.data else None


class _Source(Generic[T]):
    """Where a page comes from."""

    def __init__(
        self, transport: Transport, request: Request, decode: ObjectDecoder[Page[T]]
    ) -> None:
        self.request = request
        self._transport = transport
        self._decode = decode

    def after(self, cursor: str | None) -> _Source[T]:
        request = replace(self.request, query={**self.request.query, "after": cursor})
        return _Source(self._transport, request, self._decode)

    async def ask(self) -> Response:
        return await self._transport.send(self.request)

    async def load(self) -> Page[T]:
        return self.read(await self.ask())

    def read(self, response: Response) -> Page[T]:
        items = _decoded(_decode_items, response, self.request).data
        page = read_answer(self._decode, response, self.request)
        page._source = self  # noqa: SLF001 -- decoding cannot pass it
        for item, raw in zip(page.data, items or (), strict=True):
            remember(item, bytes(raw), response.request_id)
        return page


def read_answer(
    decode: Callable[[bytes], AnswerT], response: Response, request: Request
) -> AnswerT:
    """Decode the object that an answer holds, and note what came beside its fields.

    Raises APIStatusError for what cannot be read.
    """
    answer = _decoded(decode, response, request)
    return remember(answer, response.body or None, response.request_id)


def _decoded(decode: Callable[[bytes], ObjectT], response: Response, request: Request) -> ObjectT:
    try:
        return decode(response.body)
    except ValueError as exc:
        response = response.hidden()
        response.blots.exception(exc)
        # Some gateways tell an error with a good status.
        told = error_message(response.body)
        said = f" (the server says: {told})" if told else ""
        raise APIStatusError(
            f"the answer cannot be read: {exc}{said}",
            status=response.status,
            headers=response.headers,
            body=response.body,
            method=request.method,
            path=request.place,
        ) from exc


# What a page holds beside its fields, the way to the next one, may be part of a cycle: gc=True.


class _RunPage(ListRunsResponse, Page[Run], kw_only=True, gc=True):
    """A page of a thread's runs."""


class _RunStepPage(ListRunStepsResponse, Page[RunStep], kw_only=True, gc=True):
    """A page of a run's steps."""


class _MessagePage(ListMessagesResponse, Page[Message], kw_only=True, gc=True):
    """A page of a thread's messages."""


class _AssistantPage(ListAssistantsResponse, Page[Assistant], kw_only=True, gc=True):
    """A page of assistants."""


class _Items(msgspec.Struct, gc=False):
    """A page, of which each item stays JSON; an answer without items is no page."""

    data: list[msgspec.Raw] | None


_decode_items: Final[ObjectDecoder[_Items]] = ObjectDecoder(_Items)

RUN_PAGE: Final[ObjectDecoder[Page[Run]]] = ObjectDecoder(_RunPage)
RUN_STEP_PAGE: Final[ObjectDecoder[Page[RunStep]]] = ObjectDecoder(_RunStepPage)
MESSAGE_PAGE: Final[ObjectDecoder[Page[Message]]] = ObjectDecoder(_MessagePage)
ASSISTANT_PAGE: Final[ObjectDecoder[Page[Assistant]]] = ObjectDecoder(_AssistantPage)
