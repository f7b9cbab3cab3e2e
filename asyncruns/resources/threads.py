"""Threads: create, retrieve, modify, delete; and create one with a run on it."""

from collections.abc import Mapping
from typing import Any, Final, Literal, Unpack, overload

from msgspec import UNSET, UnsetType

from asyncruns import raw
from asyncruns.models import ObjectDecoder, Run, Thread, ThreadDeleted
from asyncruns.resources._base import Resource, request_of
from asyncruns.resources._control import RUN, Polling, RunControl, stream_of
from asyncruns.resources._signature import keywords
from asyncruns.resources.parameters import (
    RequestOptions,
    ThreadAndRunParams,
    ThreadAndRunPollParams,
    ThreadAndRunStreamParams,
    ThreadParams,
    ThreadUpdateParams,
)
from asyncruns.stream import RunStream
from asyncruns.transport import Request, path_of

__all__ = ["Threads"]

_THREAD: Final[ObjectDecoder[Thread]] = ObjectDecoder(Thread)
_DELETED: Final[ObjectDecoder[ThreadDeleted]] = ObjectDecoder(ThreadDeleted)


class Threads(Resource):
    """The endpoints of threads."""

    @property
    def with_raw_response(self) -> "RawThreads":
        """The methods that send one request, giving status, headers and body as they came."""
        return RawThreads(Threads(self._transport, raw.unread))

    @keywords
    async def create(self, **params: Unpack[ThreadParams]) -> Thread:
        """Create a thread."""
        request = request_of("POST", "/threads", params, has_body=True, repeatable=False)
        return await self._ask(_THREAD, request)

    @keywords
    async def retrieve(self, thread_id: str, **params: Unpack[RequestOptions]) -> Thread:
        """Give a thread."""
        return await self._ask(_THREAD, request_of("GET", _path(thread_id), params))

    @keywords
    async def update(self, thread_id: str, **params: Unpack[ThreadUpdateParams]) -> Thread:
        """Modify a thread, and give it as it is then."""
        request = request_of("POST", _path(thread_id), params, has_body=True)
        return await self._ask(_THREAD, request)

    @keywords
    async def delete(self, thread_id: str, **params: Unpack[RequestOptions]) -> ThreadDeleted:
        """Delete a thread."""
        return await self._delete(
            _DELETED, thread_id, request_of("DELETE", _path(thread_id), params)
        )

    @overload
    async def create_and_run(
        self,
        *,
        stream: Literal[False] | UnsetType | None = UNSET,
        **params: Unpack[ThreadAndRunParams],
    ) -> Run: ...
    @overload
    async def create_and_run(
        self, *, stream: Literal[True], **params: Unpack[ThreadAndRunParams]
    ) -> RunStream: ...
    @overload
    async def create_and_run(
        self, *, stream: bool, **params: Unpack[ThreadAndRunParams]
    ) -> Run | RunStream: ...
    @keywords
    async def create_and_run(
        self,
        *,
        stream: bool | UnsetType | None = UNSET,
        **params: Unpack[ThreadAndRunParams],
    ) -> Run | RunStream:
        """Create a thread and a run on it; with `stream=True`, give its stream, opened.

        Raises AmbiguousRequestError where no answer came and both may have been created.
        """
        request = _creation({"stream": stream, **params})
        if stream is True:
            return await stream_of(RunControl(self._transport, request, params)).__aenter__()
        return await self._ask(RUN, request)

    @keywords
    def create_and_run_stream(self, **params: Unpack[ThreadAndRunStreamParams]) -> RunStream:
        """Create a thread and a run on it, and stream the run; `async with` sends the request."""
        request = _creation({**params, "stream": True})
        return stream_of(RunControl(self._transport, request, params))

    @keywords
    async def create_and_run_poll(self, **params: Unpack[ThreadAndRunPollParams]) -> Run:
        """Create a thread and a run on it, and poll it to its end, answering tool calls."""
        request = _creation(params)
        polling = Polling(RunControl(self._transport, request, params))
        with polling.traced():
            async with polling.in_time():
                run = await self._ask(RUN, request)
            return await polling.finished(run.thread_id, run.id)


class RawThreads:
    """The methods of Threads that send one request, each giving a RawResponse.

    Statuses of errors are raised as ever.
    """

    def __init__(self, threads: Threads) -> None:
        self.create = raw.single(threads.create)
        self.retrieve = raw.single(threads.retrieve)
        self.update = raw.single(threads.update)
        self.delete = raw.single(threads.delete)
        self.create_and_run = raw.single(threads.create_and_run)


def _path(thread_id: str) -> str:
    return path_of("/threads/{thread_id}", thread_id=thread_id)


def _creation(params: Mapping[str, Any]) -> Request:
    return request_of("POST", "/threads/runs", params, has_body=True, repeatable=False)
