"""Messages of a thread: create, retrieve, modify, list, delete."""

from typing import Final, Unpack

from asyncruns import raw
from asyncruns.models import Message, MessageDeleted, ObjectDecoder
from asyncruns.pages import MESSAGE_PAGE, Paginator
from asyncruns.resources._base import Resource, request_of
from asyncruns.resources._control import RunControl, creator_of
from asyncruns.resources._signature import keywords
from asyncruns.resources.parameters import (
    MessageCreateParams,
    MessageListParams,
    MetadataParams,
    RequestOptions,
)
from asyncruns.transport import path_of

__all__ = ["Messages"]

_MESSAGE: Final[ObjectDecoder[Message]] = ObjectDecoder(Message)
_DELETED: Final[ObjectDecoder[MessageDeleted]] = ObjectDecoder(MessageDeleted)


class Messages(Resource):
    """The endpoints of a thread's messages."""

    @property
    def with_raw_response(self) -> "RawMessages":
        """The methods that send one request, giving status, headers and body as they came."""
        return RawMessages(Messages(self._transport, raw.unread))

    @keywords
    async def create(self, thread_id: str, **params: Unpack[MessageCreateParams]) -> Message:
        """Add a message to a thread.

        Raises ActiveRunError while a run is alive on it; see `on_active_run`.
        """
        path = path_of("/threads/{thread_id}/messages", thread_id=thread_id)
        request = request_of("POST", path, params, has_body=True, repeatable=False)
        creator = creator_of(RunControl(self._transport, request, params), thread_id)
        return await creator.create(lambda: self._ask(_MESSAGE, request))

    @keywords
    async def retrieve(
        self, message_id: str, *, thread_id: str, **params: Unpack[RequestOptions]
    ) -> Message:
        """Give a message."""
        return await self._ask(_MESSAGE, request_of("GET", _path(thread_id, message_id), params))

    @keywords
    async def update(
        self, message_id: str, *, thread_id: str, **params: Unpack[MetadataParams]
    ) -> Message:
        """Modify a message's metadata, and give the message as it is then."""
        request = request_of("POST", _path(thread_id, message_id), params, has_body=True)
        return await self._ask(_MESSAGE, request)

    @keywords
    def list(self, thread_id: str, **params: Unpack[MessageListParams]) -> Paginator[Message]:
        """Give a thread's messages: `await` for one page, `async for` for all of them."""
        path = path_of("/threads/{thread_id}/messages", thread_id=thread_id)
        return Paginator(self._transport, request_of("GET", path, params), MESSAGE_PAGE)

    @keywords
    async def delete(
        self, message_id: str, *, thread_id: str, **params: Unpack[RequestOptions]
    ) -> MessageDeleted:
        """Delete a message."""
        return await self._delete(
            _DELETED, message_id, request_of("DELETE", _path(thread_id, message_id), params)
        )


class RawMessages:
    """The methods of Messages that send one request, each giving a RawResponse.

    Statuses of errors are raised as ever.
    """

    def __init__(self, messages: Messages) -> None:
        self.create = raw.single(messages.create)
        self.retrieve = raw.single(messages.retrieve)
        self.update = raw.single(messages.update)
        self.delete = raw.single(messages.delete)
        self.list = raw.page(messages.list)


def _path(thread_id: str, message_id: str) -> str:
    template = "/threads/{thread_id}/messages/{message_id}"
    return path_of(template, thread_id=thread_id, message_id=message_id)
