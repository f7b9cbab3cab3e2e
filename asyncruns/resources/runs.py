"""Runs: create, retrieve, modify, list, cancel, submit, stream (reference: Runs)."""

from collections.abc import Iterable
from functools import cached_property
from typing import Literal, Unpack, overload

from msgspec import UNSET, UnsetType

from asyncruns import raw
from asyncruns.models import Run
from asyncruns.pages import RUN_PAGE, Paginator
from asyncruns.resources._base import Resource, request_of
from asyncruns.resources._control import (
    RUN,
    Polling,
    RunAttachment,
    RunControl,
    RunCreation,
    RunSubmission,
    run_path,
    runs_path,
    stream_of,
    submission,
)
from asyncruns.resources._signature import keywords
from asyncruns.resources.parameters import (
    AttachParams,
    ListParams,
    MetadataParams,
    PollParams,
    RequestOptions,
    RunCreateParams,
    RunPollParams,
    RunStreamParams,
    SubmitPollParams,
    SubmitStreamParams,
    ToolOutput,
)
from asyncruns.resources.steps import Steps
from asyncruns.stream import RunStream

__all__ = ["Runs"]


class Runs(Resource):
    """The endpoints of a thread's runs."""

    @property
    def with_raw_response(self) -> "RawRuns":
        """The methods that send one request, giving status, headers and body as they came."""
        return RawRuns(Runs(self._transport, raw.unread))

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
        **params: Unpack[RunCreateParams],
    ) -> Run: ...
    @overload
    async def create(
        self, thread_id: str, *, stream: Literal[True], **params: Unpack[RunCreateParams]
    ) -> RunStream: ...
    @overload
    async def create(
        self, thread_id: str, *, stream: bool, **params: Unpack[RunCreateParams]
    ) -> Run | RunStream: ...
    @keywords
    async def create(
        self,
        thread_id: str,
        *,
        stream: bool | UnsetType | None = UNSET,
        **params: Unpack[RunCreateParams],
    ) -> Run | RunStream:
        """Create a run on a thread; with `stream=True`, give its stream, opened.

        Raises ActiveRunError while another run is alive on the thread, and AmbiguousRequestError
        where no answer came and a run may have been created; see `on_active_run`, `dedupe_key`.
        """
        if stream is True:
            return await self.stream(thread_id=thread_id, **params).__aenter__()
        control = RunCreation(self._transport, thread_id, {"stream": stream, **params})
        return await control.create(lambda: self._ask(RUN, control.start))

    @keywords
    async def retrieve(
        self, run_id: str, *, thread_id: str, **params: Unpack[RequestOptions]
    ) -> Run:
        """Give a run as it is now."""
        return await self._ask(RUN, request_of("GET", run_path(thread_id, run_id), params))

    @keywords
    async def update(self, run_id: str, *, thread_id: str, **params: Unpack[MetadataParams]) -> Run:
        """Modify a run's metadata, and give the run as it is then."""
        request = request_of("POST", run_path(thread_id, run_id), params, has_body=True)
        return await self._ask(RUN, request)

    @keywords
    def list(self, thread_id: str, **params: Unpack[ListParams]) -> Paginator[Run]:
        """Give a thread's runs: `await` for one page, `async for` for all of them."""
        request = request_of("GET", runs_path(thread_id), params)
        return Paginator(self._transport, request, RUN_PAGE)

    @keywords
    async def cancel(self, run_id: str, *, thread_id: str, **params: Unpack[RequestOptions]) -> Run:
        """Begin to cancel a run, and give it: `cancelling`, as a rule, and not yet at its end."""
        request = request_of("POST", run_path(thread_id, run_id) + "/cancel", params)
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
        outputs = {"tool_outputs": [*tool_outputs], "stream": stream, **params}
        if stream is True:
            control = RunSubmission(self._transport, outputs, thread_id=thread_id, run_id=run_id)
            return await stream_of(control).__aenter__()
        return await self._ask(RUN, submission(run_path(thread_id, run_id), outputs))

    @keywords
    def stream(self, *, thread_id: str, **params: Unpack[RunStreamParams]) -> RunStream:
        """Create a run and stream it to its end, over all its tool rounds.

        `async with` sends the request, `async for` gives the events.
        """
        return stream_of(RunCreation(self._transport, thread_id, {**params, "stream": True}))

    create_and_stream = stream

    @keywords
    def attach(self, run_id: str, *, thread_id: str, **params: Unpack[AttachParams]) -> RunStream:
        """Follow a run that is going already: the same stream, fed by polling.

        Gives the events of what the run, its steps and its messages have gained since the last
        look; tool calls are answered if there is a `toolset`. No request is sent before iterating.
        """
        request = request_of("GET", run_path(thread_id, run_id), params)
        return stream_of(
            RunAttachment(self._transport, request, params, thread_id=thread_id, run_id=run_id)
        )

    @keywords
    async def poll(self, run_id: str, thread_id: str, **params: Unpack[PollParams]) -> Run:
        """Look at a run until it has ended or requires an action, and give it.

        Raises RunTimeoutError, with the run as last seen, after `deadline` seconds.
        """
        request = request_of("GET", run_path(thread_id, run_id), params)
        control = RunControl(self._transport, request, params, thread_id=thread_id)
        return await Polling(control).settled(thread_id, run_id)

    @keywords
    async def create_and_poll(self, *, thread_id: str, **params: Unpack[RunPollParams]) -> Run:
        """Create a run and poll it to its end, answering tool calls if there is a `toolset`."""
        control = RunCreation(self._transport, thread_id, params)
        polling = Polling(control)
        with polling.traced():
            async with polling.in_time():
                run = await control.create(lambda: self._ask(RUN, control.start))
            return await polling.finished(thread_id, run.id)

    @keywords
    async def submit_tool_outputs_and_poll(
        self,
        *,
        tool_outputs: Iterable[ToolOutput],
        run_id: str,
        thread_id: str,
        **params: Unpack[SubmitPollParams],
    ) -> Run:
        """Submit the outputs of all calls that a run waits for, and poll it to its end."""
        request = submission(
            run_path(thread_id, run_id), {**params, "tool_outputs": [*tool_outputs]}
        )
        polling = Polling(RunControl(self._transport, request, params, thread_id=thread_id))
        with polling.traced():
            async with polling.in_time():
                await self._ask(RUN, request)
            return await polling.finished(thread_id, run_id)

    @keywords
    def submit_tool_outputs_stream(
        self,
        run_id: str,
        *,
        thread_id: str,
        tool_outputs: Iterable[ToolOutput],
        **params: Unpack[SubmitStreamParams],
    ) -> RunStream:
        """Submit the outputs of all calls that a run waits for, and stream what it does then."""
        outputs = {**params, "tool_outputs": [*tool_outputs], "stream": True}
        return stream_of(
            RunSubmission(self._transport, outputs, thread_id=thread_id, run_id=run_id)
        )


class RawRuns:
    """The methods of Runs that send one request, each giving a RawResponse.

    Statuses of errors are raised as ever.
    """

    def __init__(self, runs: Runs) -> None:
        self.create = raw.single(runs.create)
        self.retrieve = raw.single(runs.retrieve)
        self.update = raw.single(runs.update)
        self.cancel = raw.single(runs.cancel)
        self.submit_tool_outputs = raw.single(runs.submit_tool_outputs)
        self.list = raw.page(runs.list)
