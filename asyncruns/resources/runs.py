"""Runs: create, retrieve, modify, list, cancel, submit, stream (reference: Runs)."""

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, Final, Literal, Unpack, overload

from msgspec import UNSET, UnsetType

from asyncruns.connections import ByteStream
from asyncruns.models import Message, ObjectDecoder, Run, RunStep
from asyncruns.pages import RUN_PAGE, Paginator
from asyncruns.resources._base import Resource, request_of
from asyncruns.resources._signature import keywords
from asyncruns.resources.messages import Messages
from asyncruns.resources.parameters import (
    ListParams,
    MetadataParams,
    RequestOptions,
    RunParams,
    ToolOutput,
)
from asyncruns.resources.steps import Steps
from asyncruns.stream import RunStream
from asyncruns.transport import Request, Transport, path_of

__all__ = ["RUN", "RunControl", "Runs"]

RUN: Final[ObjectDecoder[Run]] = ObjectDecoder(Run)

_FULL_PAGE: Final = 100
"""The longest page that servers give."""


class Runs(Resource):
    """The endpoints of a thread's runs."""

    @cached_property
    def steps(self) -> Steps:
        """The endpoints of a run's steps."""
        return Steps(self._transport)

    @overload
    async def create(
        self,
        thread_id: str,
        *,
        stream: Literal[False] | UnsetType | None = UNSET,
        **params: Unpack[RunParams],
    ) -> Run: ...
    @overload
    async def create(
        self, thread_id: str, *, stream: Literal[True], **params: Unpack[RunParams]
    ) -> RunStream: ...
    @overload
    async def create(
        self, thread_id: str, *, stream: bool, **params: Unpack[RunParams]
    ) -> Run | RunStream: ...
    @keywords
    async def create(
        self,
        thread_id: str,
        *,
        stream: bool | UnsetType | None = UNSET,
        **params: Unpack[RunParams],
    ) -> Run | RunStream:
        """Create a run on a thread; with `stream=True`, give its stream, opened.

        Raises ActiveRunError while another run is alive on the thread, and AmbiguousRequestError
        where no answer came and a run may have been created.
        """
        request = _creation(thread_id, {"stream": stream, **params})
        if stream is True:
            return await RunStream(RunControl(self._transport, request, params)).__aenter__()
        return await self._ask(RUN, request)

    @keywords
    async def retrieve(
        self, run_id: str, *, thread_id: str, **params: Unpack[RequestOptions]
    ) -> Run:
        """Give a run as it is now."""
        return await self._ask(RUN, request_of("GET", _path(thread_id, run_id), params))

    @keywords
    async def update(self, run_id: str, *, thread_id: str, **params: Unpack[MetadataParams]) -> Run:
        """Modify a run's metadata, and give the run as it is then."""
        request = request_of("POST", _path(thread_id, run_id), params, has_body=True)
        return await self._ask(RUN, request)

    @keywords
    def list(self, thread_id: str, **params: Unpack[ListParams]) -> Paginator[Run]:
        """Give a thread's runs: `await` for one page, `async for` for all of them."""
        request = request_of("GET", _collection(thread_id), params)
        return Paginator(self._transport, request, RUN_PAGE)

    @keywords
    async def cancel(self, run_id: str, *, thread_id: str, **params: Unpack[RequestOptions]) -> Run:
        """Begin to cancel a run, and give it: `cancelling`, as a rule, and not yet at its end."""
        request = request_of("POST", _path(thread_id, run_id) + "/cancel", params)
        return await self._ask(RUN, request)

    @overload
    async def submit_tool_outputs(
        self,
        run_id: str,
        *,
        thread_id: str,
        tool_outputs: Iterable[ToolOutput],
        stream: Literal[False] | UnsetType | None = UNSET,
        **params: Unpack[RequestOptions],
    ) -> Run: ...
    @overload
    async def submit_tool_outputs(
        self,
        run_id: str,
        *,
        thread_id: str,
        tool_outputs: Iterable[ToolOutput],
        stream: Literal[True],
        **params: Unpack[RequestOptions],
    ) -> RunStream: ...
    @overload
    async def submit_tool_outputs(
        self,
        run_id: str,
        *,
        thread_id: str,
        tool_outputs: Iterable[ToolOutput],
        stream: bool,
        **params: Unpack[RequestOptions],
    ) -> Run | RunStream: ...
    @keywords
    async def submit_tool_outputs(
        self,
        run_id: str,
        *,
        thread_id: str,
        tool_outputs: Iterable[ToolOutput],
        stream: bool | UnsetType | None = UNSET,
        **params: Unpack[RequestOptions],
    ) -> Run | RunStream:
        """Submit the outputs of all calls that a run waits for, in one request.

        With `stream=True`, give the stream of what the run does then, opened.
        """
        outputs = {"tool_outputs": [*tool_outputs], "stream": stream}
        request = _submission(thread_id, run_id, {**outputs, **params})
        if stream is True:
            return await RunStream(RunControl(self._transport, request, params)).__aenter__()
        return await self._ask(RUN, request)

    @keywords
    def stream(self, *, thread_id: str, **params: Unpack[RunParams]) -> RunStream:
        """Create a run and stream it: `async with` sends the request, `async for` gives events."""
        request = _creation(thread_id, {**params, "stream": True})
        return RunStream(RunControl(self._transport, request, params))

    create_and_stream = stream

    @keywords
    def submit_tool_outputs_stream(
        self,
        run_id: str,
        *,
        thread_id: str,
        tool_outputs: Iterable[ToolOutput],
        **params: Unpack[RequestOptions],
    ) -> RunStream:
        """Submit the outputs of all calls that a run waits for, and stream what it does then."""
        outputs = {"tool_outputs": [*tool_outputs], "stream": True}
        request = _submission(thread_id, run_id, {**params, **outputs})
        return RunStream(RunControl(self._transport, request, params))


class RunControl:
    """What a RunStream asks the server for, with the options of the call that made the stream."""

    def __init__(self, transport: Transport, start: Request, params: Mapping[str, Any]) -> None:
        self._transport = transport
        self._start = start
        kept = ("extra_headers", "extra_query", "timeout")
        self._options: Any = {name: params[name] for name in kept if name in params}
        self._include: Any = {"include": params["include"]} if "include" in params else {}

    async def open(self) -> ByteStream:
        """Send the request that starts the stream."""
        return await self._transport.open(self._start)

    async def retrieve(self, thread_id: str, run_id: str) -> Run:
        """Look the run up."""
        return await Runs(self._transport).retrieve(run_id, thread_id=thread_id, **self._options)

    async def list_steps(self, thread_id: str, run_id: str) -> list[RunStep]:
        """Give all steps of the run, oldest first."""
        steps = Steps(self._transport).list(
            run_id,
            thread_id=thread_id,
            order="asc",
            limit=_FULL_PAGE,
            **self._include,
            **self._options,
        )
        return [step async for step in steps]

    async def list_messages(self, thread_id: str, run_id: str) -> list[Message]:
        """Give all messages of the run, oldest first."""
        messages = Messages(self._transport).list(
            thread_id, run_id=run_id, order="asc", limit=_FULL_PAGE, **self._options
        )
        return [message async for message in messages]

    async def submit(
        self, thread_id: str, run_id: str, tool_outputs: Sequence[Mapping[str, object]]
    ) -> ByteStream:
        """Submit the outputs of tool calls, and open the stream that goes on from there."""
        outputs = {"tool_outputs": [*tool_outputs], "stream": True}
        request = _submission(thread_id, run_id, {**self._options, **outputs})
        return await self._transport.open(request)

    async def cancel(self, thread_id: str, run_id: str) -> Run:
        """Begin to cancel the run."""
        return await Runs(self._transport).cancel(run_id, thread_id=thread_id, **self._options)


def _collection(thread_id: str) -> str:
    return path_of("/threads/{thread_id}/runs", thread_id=thread_id)


def _path(thread_id: str, run_id: str) -> str:
    return path_of("/threads/{thread_id}/runs/{run_id}", thread_id=thread_id, run_id=run_id)


def _creation(thread_id: str, params: Mapping[str, Any]) -> Request:
    path = _collection(thread_id)
    return request_of("POST", path, params, has_body=True, repeatable=False)


def _submission(thread_id: str, run_id: str, params: Mapping[str, Any]) -> Request:
    path = _path(thread_id, run_id) + "/submit_tool_outputs"
    return request_of("POST", path, params, has_body=True, repeatable=False)
