"""Sockets to outcomes: what each library does with the same stream over HTTP.

A peer is a client, made once, kept as long as its context, and used as in production. It consumes
the stream of a thread with the consuming loop that all share, and notes each piece of text or
arguments where somebody wants to know.
"""

from __future__ import annotations

import asyncio
import json
import warnings
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast
from urllib.parse import urlsplit

import aiohttp
import openai
from azure.ai.agents.aio import AgentsClient
from azure.ai.agents.models import AsyncAgentEventHandler
from azure.core.pipeline.policies import HeadersPolicy
from azure.core.pipeline.transport import AioHttpTransport

from asyncruns import Accumulator, Client, EventDecoder, Timeout
from benchmarks.bodies import Outcome
from benchmarks.consuming import Floor, Sums, add_up, outcome_of, piece_of
from benchmarks.peers import open_handler

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from azure.core.credentials_async import AsyncTokenCredential

__all__ = [
    "Consume",
    "Note",
    "WirePeer",
    "aiohttp_bytes",
    "aiohttp_floor",
    "asyncruns_core",
    "asyncruns_stream",
    "asyncruns_until_done",
    "azure_handler",
    "bare_protocol",
    "naive_json",
    "openai_handler",
    "openai_stream",
]

Note: TypeAlias = Callable[[str], object]
"""Is told each piece as the consuming loop comes to it."""

Consume: TypeAlias = Callable[[str, Note | None], Awaitable[Outcome | None]]
"""Consumes the stream of a thread; what it ended with, None for whoever only reads bytes."""

WirePeer: TypeAlias = Callable[[str], AbstractAsyncContextManager[Consume]]
"""Makes the client for a base URL."""


@asynccontextmanager
async def asyncruns_stream(url: str) -> AsyncGenerator[Consume]:
    """Iterate over `client.runs.stream`."""
    async with _client(url) as client:

        async def consume(thread: str, note: Note | None = None) -> Outcome:
            async with client.runs.stream(thread_id=thread, assistant_id="asst_1") as stream:
                async for event in stream:
                    piece = piece_of(event.event, event.data)
                    if note is not None and piece:
                        note(piece)
                return outcome_of(stream.messages, stream.steps)

        yield consume


@asynccontextmanager
async def asyncruns_until_done(url: str) -> AsyncGenerator[Consume]:
    """Read `client.runs.stream` to its end, and look at nothing but its snapshots."""
    async with _client(url) as client:

        async def consume(thread: str, _note: Note | None = None) -> Outcome:
            async with client.runs.stream(thread_id=thread, assistant_id="asst_1") as stream:
                await stream.until_done()
                return outcome_of(stream.messages, stream.steps)

        yield consume


@asynccontextmanager
async def openai_handler(url: str) -> AsyncGenerator[Consume]:
    """Iterate over openai's event handler."""
    async with openai.AsyncOpenAI(api_key="any", base_url=url, timeout=_PATIENCE) as client:

        async def consume(thread: str, note: Note | None = None) -> Outcome:
            async with open_handler(client, thread) as handler:
                async for event in handler:
                    piece = piece_of(event.event, event.data)
                    if note is not None and piece:
                        note(piece)
                steps = await handler.get_final_run_steps()
                wrote = any(step.step_details.type == "message_creation" for step in steps)
                return outcome_of(await handler.get_final_messages() if wrote else [], steps)

        yield consume


@asynccontextmanager
async def openai_stream(url: str) -> AsyncGenerator[Consume]:
    """Iterate over openai's plain stream of events, and add the pieces up."""
    async with openai.AsyncOpenAI(api_key="any", base_url=url, timeout=_PATIENCE) as client:

        async def consume(thread: str, note: Note | None = None) -> Outcome:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # about the whole protocol
                stream = await client.beta.threads.runs.create(  # pyright: ignore[reportDeprecated]
                    thread, assistant_id="asst_1", stream=True
                )
            sums = Sums()
            async for event in stream:
                piece = sums.take(event.event, event.data)
                if note is not None and piece:
                    note(piece)
            return sums.outcome()

        yield consume


@asynccontextmanager
async def azure_handler(url: str) -> AsyncGenerator[Consume]:
    """Iterate over azure-ai-agents' event handler, and add the pieces up."""
    # Its own policy for credentials refuses plain HTTP, and so never asks this one for a token.
    unasked = cast("AsyncTokenCredential", object())
    async with (
        _session() as session,  # its own has no more than 100 connections
        AgentsClient(
            url,
            unasked,
            authentication_policy=HeadersPolicy(),
            transport=AioHttpTransport(session=session, session_owner=False),
        ) as client,
    ):

        async def consume(thread: str, note: Note | None = None) -> Outcome:
            handler: AsyncAgentEventHandler[None] = AsyncAgentEventHandler()
            sums = Sums()
            opened: Any = await client.runs.stream(thread, agent_id="asst_1", event_handler=handler)
            async with opened as stream:
                async for name, data, _ in stream:
                    piece = sums.take(name, data)
                    if note is not None and piece:
                        note(piece)
            return sums.outcome()

        yield consume


@asynccontextmanager
async def naive_json(url: str) -> AsyncGenerator[Consume]:
    """Read lines with aiohttp, decode with the standard library, add up dicts, as people do."""
    async with _session() as session:

        async def consume(thread: str, note: Note | None = None) -> Outcome:
            texts: dict[str, str] = {}
            calls: dict[tuple[str, int], dict[str, str]] = {}
            name = ""
            async with session.post(_path(url, thread), json=_ASKED) as response:
                async for line in response.content:
                    if line.startswith(b"event: "):
                        name = line[7:-1].decode()
                    elif line.startswith(b"data: ") and line != b"data: [DONE]\n":
                        piece = add_up(name, json.loads(line[6:]), texts, calls)
                        if note is not None and piece:
                            note(piece)
            return Outcome(texts, {call["id"]: call["input"] for call in calls.values()})

        yield consume


@asynccontextmanager
async def aiohttp_bytes(url: str) -> AsyncGenerator[Consume]:
    """Read the bytes with aiohttp, and do nothing with them."""
    async with _session() as session:

        async def consume(thread: str, _note: Note | None = None) -> None:
            async with session.post(_path(url, thread), json=_ASKED) as response:
                async for _ in response.content.iter_any():
                    pass

        yield consume


@asynccontextmanager
async def aiohttp_floor(url: str) -> AsyncGenerator[Consume]:
    """Do the work of the floor on what aiohttp reads: nothing on top of it can be less."""
    async with _session() as session:

        async def consume(thread: str, _note: Note | None = None) -> Outcome:
            floor, tail = Floor(look=piece_of), b""
            async with session.post(_path(url, thread), json=_ASKED) as response:
                async for chunk in response.content.iter_any():
                    *blocks, tail = (tail + chunk).split(b"\n\n")
                    floor.take(blocks)
            return floor.outcome()

        yield consume


@asynccontextmanager
async def asyncruns_core(url: str) -> AsyncGenerator[Consume]:
    """Feed asyncruns' EventDecoder and Accumulator with what aiohttp reads, and look at each event.

    No watch, no repair and no iterator of its own: what typed events and snapshots alone cost.
    """
    async with _session() as session:

        async def consume(thread: str, _note: Note | None = None) -> Outcome:
            decoder, accumulator = EventDecoder(), Accumulator()
            async with session.post(_path(url, thread), json=_ASKED) as response:
                async for chunk in response.content.iter_any():
                    for event in decoder.feed(chunk):
                        accumulator.apply(event)
                        piece_of(event.event, event.data)
            return outcome_of(accumulator.messages, accumulator.steps)

        yield consume


@asynccontextmanager
async def bare_protocol(url: str) -> AsyncGenerator[Consume]:
    """Do the work of the floor in an asyncio.Protocol that knows just as much HTTP as it needs.

    It connects for each stream, as a Protocol without a pool does, and looks at each event.
    """
    loop, place = asyncio.get_running_loop(), urlsplit(url)
    host, port = place.hostname or "", place.port or 80

    async def consume(thread: str, _note: Note | None = None) -> Outcome:
        transport, protocol = await loop.create_connection(_Bare, host, port)
        transport.write(_request(url, thread))
        try:
            return await protocol.ended
        finally:
            transport.close()

    yield consume


class _Bare(asyncio.Protocol):
    """Takes the chunks of an answer apart and folds their blocks."""

    def __init__(self) -> None:
        self.ended: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._floor = Floor(look=piece_of)
        self._received = b""
        self._in_body = False
        self._block = b""

    def data_received(self, data: bytes) -> None:
        received = self._received + data if self._received else data
        at = 0
        if not self._in_body:
            at = received.find(b"\r\n\r\n") + 4
            self._in_body = at > 3  # noqa: PLR2004 -- where nothing is found, it is 3
            if not self._in_body:
                self._received = received
                return
        pieces, ended = [self._block], False
        while not ended and (line_end := received.find(b"\r\n", at)) > 0:
            size = int(received[at:line_end], 16)
            start = line_end + 2
            end = start + size + 2
            if len(received) < end:
                break
            pieces.append(received[start : start + size])
            at, ended = end, size == 0
        self._received = received[at:]
        *blocks, self._block = b"".join(pieces).split(b"\n\n")
        self._floor.take(blocks)
        if ended:
            self.ended.set_result(self._floor.outcome())

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_exception(exc or ConnectionError("the server hung up"))


_PATIENCE: Final = 600.0  # on a busy machine, a thousand connections take their time

_ASKED: Final = {"assistant_id": "asst_1", "stream": True}


def _path(url: str, thread: str) -> str:
    return f"{url}/threads/{thread}/runs"


def _request(url: str, thread: str) -> bytes:
    body = json.dumps(_ASKED).encode()
    path = urlsplit(_path(url, thread)).path
    return (
        f"POST {path} HTTP/1.1\r\nHost: {urlsplit(url).netloc}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body


def _client(url: str) -> Client:
    timeout = Timeout(total=_PATIENCE, connect=_PATIENCE)
    return Client(base_url=url, api_key="any", timeout=timeout, max_connections=2_000)


def _session() -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(limit=0)
    return aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(_PATIENCE))
