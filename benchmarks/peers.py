"""Bodies to outcomes, in process: what each library does with the same bytes.

A peer takes the bytes as reads without sockets, along its own ordinary path, and runs the same
consuming loop: it looks at every event's data and at its text or arguments. At the end it reads its
snapshots, or adds the pieces up itself where a library gives none. Only that is on the watch; what
a client sets up once, or once a request, is not.
"""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Self, TypeAlias

import httpx2
import openai
from azure.ai.agents.models import AsyncAgentEventHandler

from asyncruns.accumulator import Accumulator
from asyncruns.events import EventDecoder
from asyncruns.stream import RunStream
from benchmarks.bodies import Body, Outcome
from benchmarks.consuming import Floor, Sums, add_up, outcome_of, piece_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from openai.lib.streaming import AsyncAssistantEventHandler, AsyncAssistantStreamManager

__all__ = [
    "Peer",
    "Watch",
    "asyncruns_core",
    "asyncruns_stream",
    "asyncruns_until_done",
    "azure_handler",
    "floor",
    "naive_json",
    "open_handler",
    "openai_handler",
    "openai_stream",
    "openai_until_done",
]


class Watch:
    """Sums up the CPU time that this process spends in its `with` blocks."""

    def __init__(self) -> None:
        self.ns = 0
        self._since = 0

    def __enter__(self) -> Self:
        self._since = time.process_time_ns()
        return self

    def __exit__(self, *_: object) -> None:
        self.ns += time.process_time_ns() - self._since


Peer: TypeAlias = Callable[[Body, int, Watch], Awaitable[Outcome]]
"""Consumes a body in reads of a size, on the watch, and gives what it ended with."""


async def asyncruns_stream(body: Body, read: int, watch: Watch) -> Outcome:
    """Iterate over asyncruns' RunStream, which decodes and folds underneath."""
    source = _source(body.reads(read))
    with watch:
        async with RunStream(source) as stream:
            async for event in stream:
                piece_of(event.event, event.data)
            return outcome_of(stream.messages, stream.steps)


async def asyncruns_until_done(body: Body, read: int, watch: Watch) -> Outcome:
    """Read asyncruns' RunStream to its end, and look at nothing but its snapshots."""
    source = _source(body.reads(read))
    with watch:
        async with RunStream(source) as stream:
            await stream.until_done()
            return outcome_of(stream.messages, stream.steps)


async def asyncruns_core(body: Body, read: int, watch: Watch) -> Outcome:
    """Feed asyncruns' EventDecoder and Accumulator, as with a transport of one's own."""
    source = _source(body.reads(read))
    with watch:
        decoder, accumulator = EventDecoder(), Accumulator()
        async for chunk in source:
            for event in decoder.feed(chunk):
                accumulator.apply(event)
                piece_of(event.event, event.data)
        return outcome_of(accumulator.messages, accumulator.steps)


async def openai_handler(body: Body, read: int, watch: Watch) -> Outcome:
    """Iterate over openai's event handler, entered by its public call over an answer in memory."""
    async with _openai(body, read) as client, open_handler(client, "thread_1") as handler:
        with watch:
            async for event in handler:
                piece_of(event.event, event.data)
            messages = await handler.get_final_messages() if body.expected.texts else []
            return outcome_of(messages, await handler.get_final_run_steps())


async def openai_until_done(body: Body, read: int, watch: Watch) -> Outcome:
    """Read openai's event handler to its end, and look at nothing but its snapshots."""
    async with _openai(body, read) as client, open_handler(client, "thread_1") as handler:
        with watch:
            await handler.until_done()
            messages = await handler.get_final_messages() if body.expected.texts else []
            return outcome_of(messages, await handler.get_final_run_steps())


async def openai_stream(body: Body, read: int, watch: Watch) -> Outcome:
    """Iterate over openai's plain stream of events, and add the pieces up."""
    async with _openai(body, read) as client:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # about the whole protocol
            stream = await client.beta.threads.runs.create(  # pyright: ignore[reportDeprecated]
                "thread_1", assistant_id="asst_1", stream=True
            )
        with watch:
            sums = Sums()
            async for event in stream:
                sums.take(event.event, event.data)
            return sums.outcome()


async def azure_handler(body: Body, read: int, watch: Watch) -> Outcome:
    """Iterate over azure-ai-agents' event handler, and add the pieces up."""
    handler: AsyncAgentEventHandler[None] = AsyncAgentEventHandler()
    handler.initialize(_source(body.reads(read)), _answers_nothing)
    with watch:
        sums = Sums()
        async for name, data, _ in handler:
            sums.take(name, data)
        return sums.outcome()


async def naive_json(body: Body, read: int, watch: Watch) -> Outcome:
    """Read line by line, decode with the standard library, and add up dicts, as people write it."""
    source = _source(body.reads(read))
    with watch:
        texts: dict[str, str] = {}
        calls: dict[tuple[str, int], dict[str, str]] = {}
        name, tail = "", b""
        async for chunk in source:
            *lines, tail = (tail + chunk).split(b"\n")
            for line in lines:
                if line.startswith(b"event: "):
                    name = line[7:].decode()
                elif line.startswith(b"data: ") and line != b"data: [DONE]":
                    add_up(name, json.loads(line[6:]), texts, calls)
        return Outcome(texts, {call["id"]: call["input"] for call in calls.values()})


async def floor(body: Body, _read: int, watch: Watch) -> Outcome:
    """Split the whole body at once, decode to the same structs, and append: nothing can be less."""
    with watch:
        sums = Floor()
        sums.take(body.data.split(b"\n\n"))
        return sums.outcome()


def open_handler(
    client: openai.AsyncOpenAI, thread: str
) -> AsyncAssistantStreamManager[AsyncAssistantEventHandler]:
    """Ask openai's client for a run with its event handler."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # about the whole protocol
        return client.beta.threads.runs.stream(  # pyright: ignore[reportDeprecated]
            thread_id=thread, assistant_id="asst_1"
        )


async def _source(reads: Iterable[bytes]) -> AsyncIterator[bytes]:
    for read in reads:
        yield read


async def _answers_nothing(*_: Any) -> list[Any]:
    """Stand for a program that answers no tool call."""
    return []


def _openai(body: Body, read: int) -> openai.AsyncOpenAI:
    """Make a client that every request is answered to with the same stream, without a socket."""
    session = httpx2.AsyncClient(transport=_InMemory(body.reads(read)), trust_env=False)
    return openai.AsyncOpenAI(api_key="none", base_url="http://in.memory", http_client=session)


class _InMemory(httpx2.AsyncBaseTransport):
    def __init__(self, reads: Iterable[bytes]) -> None:
        self._reads = reads

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        headers = {"content-type": "text/event-stream"}
        return httpx2.Response(200, headers=headers, stream=_Reads(self._reads), request=request)


class _Reads(httpx2.AsyncByteStream):
    def __init__(self, reads: Iterable[bytes]) -> None:
        self._reads = reads

    def __aiter__(self) -> AsyncIterator[bytes]:
        return _source(self._reads)
