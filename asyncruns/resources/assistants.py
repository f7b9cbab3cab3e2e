"""Assistants: create, retrieve, modify, list, delete."""

from typing import Final, Unpack

from asyncruns import raw
from asyncruns.models import Assistant, AssistantDeleted, ObjectDecoder
from asyncruns.pages import ASSISTANT_PAGE, Paginator
from asyncruns.resources._base import Resource, request_of
from asyncruns.resources._signature import keywords
from asyncruns.resources.parameters import (
    AssistantListParams,
    AssistantParams,
    AssistantUpdateParams,
    RequestOptions,
)
from asyncruns.transport import path_of

__all__ = ["Assistants"]

_ASSISTANT: Final[ObjectDecoder[Assistant]] = ObjectDecoder(Assistant)
_DELETED: Final[ObjectDecoder[AssistantDeleted]] = ObjectDecoder(AssistantDeleted)


class Assistants(Resource):
    """The endpoints of assistants."""

    @property
    def with_raw_response(self) -> "RawAssistants":
        """The methods that send one request, giving status, headers and body as they came."""
        return RawAssistants(Assistants(self._transport, raw.unread))

    @keywords
    async def create(self, **params: Unpack[AssistantParams]) -> Assistant:
        """Create an assistant."""
        request = request_of("POST", "/assistants", params, has_body=True, repeatable=False)
        return await self._ask(_ASSISTANT, request)

    @keywords
    async def retrieve(self, assistant_id: str, **params: Unpack[RequestOptions]) -> Assistant:
        """Give an assistant."""
        return await self._ask(_ASSISTANT, request_of("GET", _path(assistant_id), params))

    @keywords
    async def update(self, assistant_id: str, **params: Unpack[AssistantUpdateParams]) -> Assistant:
        """Modify an assistant, and give it as it is then."""
        request = request_of("POST", _path(assistant_id), params, has_body=True)
        return await self._ask(_ASSISTANT, request)

    @keywords
    def list(self, **params: Unpack[AssistantListParams]) -> Paginator[Assistant]:
        """Give the assistants: `await` for one page, `async for` for all of them."""
        request = request_of("GET", "/assistants", params)
        return Paginator(self._transport, request, ASSISTANT_PAGE)

    @keywords
    async def delete(self, assistant_id: str, **params: Unpack[RequestOptions]) -> AssistantDeleted:
        """Delete an assistant."""
        return await self._delete(
            _DELETED, assistant_id, request_of("DELETE", _path(assistant_id), params)
        )


class RawAssistants:
    """The methods of Assistants that send one request, each giving a RawResponse.

    Statuses of errors are raised as ever.
    """

    def __init__(self, assistants: Assistants) -> None:
        self.create = raw.single(assistants.create)
        self.retrieve = raw.single(assistants.retrieve)
        self.update = raw.single(assistants.update)
        self.delete = raw.single(assistants.delete)
        self.list = raw.page(assistants.list)


def _path(assistant_id: str) -> str:
    return path_of("/assistants/{assistant_id}", assistant_id=assistant_id)
