"""Bodies to outcomes, in process: what each library does with the same bytes.

A peer takes the bytes as reads without sockets, along its own ordinary path, and runs the same
consuming loop: it looks at every event's data and at its text or arguments. At the end it reads its
snapshots. Only that is on the watch; what a client sets up once, or once a request, is not.
"""

from __future__ import annotations

import json
import time
import warnings
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, Self, TypeAlias

import httpx2
import msgspec
import openai

from asyncruns.accumulator import Accumulator
from asyncruns.events import EVENTS, DoneEvent, EventDecoder
from asyncruns.stream import RunStream
from benchmarks.bodies import Body, Outcome

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from openai.lib.streaming import AsyncAssistantEventHandler, AsyncAssistantStreamManager

__all__ = [
    "Peer",
    "Watch",
    "asyncruns_core",
    "asyncruns_stream",
    "floor",
    "naive_json",
    "openai_handler",
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
                piece_of(event)
            return _outcome(stream.messages, stream.steps)


async def asyncruns_core(body: Body, read: int, watch: Watch) -> Outcome:
    """Feed asyncruns' EventDecoder and Accumulator, as with a transport of one's own."""
    source = _source(body.reads(read))
    with watch:
        decoder, accumulator = EventDecoder(), Accumulator()
        async for chunk in source:
            for event in decoder.feed(chunk):
                accumulator.apply(event)
                piece_of(event)
        return _outcome(accumulator.messages, accumulator.steps)


async def openai_handler(body: Body, read: int, watch: Watch) -> Outcome:
    """Iterate over openai's event handler, entered by its public call over an answer in memory."""
    transport = _InMemory(body.reads(read))
    session = httpx2.AsyncClient(transport=transport, trust_env=False)
    client = openai.AsyncOpenAI(api_key="none", base_url="http://in.memory", http_client=session)
    async with client, _open(client) as handler:
        with watch:
            async for event in handler:
                piece_of(event)
            messages = await handler.get_final_messages() if body.expected.texts else []
            return _outcome(messages, await handler.get_final_run_steps())


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
                    _add_up(name, json.loads(line[6:]), texts, calls)
        return Outcome(texts, {call["id"]: call["input"] for call in calls.values()})


async def floor(body: Body, _read: int, watch: Watch) -> Outcome:
    """Split the whole body at once, decode to the same structs, and append: nothing can be less."""
    with watch:
        texts: defaultdict[str, list[str]] = defaultdict(list)
        calls: defaultdict[tuple[str, int], list[str]] = defaultdict(list)
        call_ids: dict[tuple[str, int], str] = {}
        for block in body.data.split(b"\n\n"):
            head, _, data = block.partition(b"\ndata: ")
            decode = _DECODERS.get(head)
            if decode is None:
                continue
            change = decode(data)
            if head == _MESSAGE_DELTA:
                for part in change.delta.content:
                    texts[change.id].append(part.text.value)
            elif head == _STEP_DELTA:
                for call in change.delta.step_details.tool_calls:
                    key = change.id, call.index
                    if call.id is not None:
                        call_ids[key] = call.id
                    if piece := _input_of(call):
                        calls[key].append(piece)
            elif head == _MESSAGE_COMPLETED:
                texts[change.id] = [part.text.value for part in change.content]
        return Outcome(
            {message_id: "".join(pieces) for message_id, pieces in texts.items()},
            {call_ids[key]: "".join(pieces) for key, pieces in calls.items()},
        )


def piece_of(event: Any) -> str | None:
    """Look at an event as every consuming loop here does: at its data, and its text or arguments.

    The events of asyncruns and of openai have the same shape, so that both pay the same for it.
    """
    piece: str | None = None
    if event.event == "thread.message.delta":
        for part in event.data.delta.content:
            if part.type == "text":
                piece = part.text.value
    elif event.event == "thread.run.step.delta":
        for call in event.data.delta.step_details.tool_calls:
            piece = _input_of(call)
    else:
        _ = event.data
    return piece


def _input_of(call: Any) -> str | None:
    """The arguments or the code in a tool call, or in a piece of one; None where it has neither."""
    text: str | None = None
    if call.type == "function":
        text = call.function.arguments
    elif call.type == "code_interpreter":
        text = call.code_interpreter.input
    return text


def _outcome(messages: Iterable[Any], steps: Iterable[Any]) -> Outcome:
    """What snapshots say; asyncruns' and openai's have the same shape."""
    texts = {
        message.id: "".join(part.text.value for part in message.content) for message in messages
    }
    inputs: dict[str, str] = {}
    for step in steps:
        if step.step_details.type == "tool_calls":
            for call in step.step_details.tool_calls:
                if text := _input_of(call):
                    inputs[call.id] = text
    return Outcome(texts, inputs)


async def _source(reads: Iterable[bytes]) -> AsyncIterator[bytes]:
    for read in reads:
        yield read


class _InMemory(httpx2.AsyncBaseTransport):
    """Answers every request with the same stream, without a socket."""

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


def _open(client: openai.AsyncOpenAI) -> AsyncAssistantStreamManager[AsyncAssistantEventHandler]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # openai's, about the whole protocol
        return client.beta.threads.runs.stream(  # pyright: ignore[reportDeprecated]
            thread_id="thread_1", assistant_id="asst_1"
        )


def _add_up(
    name: str, data: Any, texts: dict[str, str], calls: dict[tuple[str, int], dict[str, str]]
) -> None:
    """Fold one decoded event of the naive loop."""
    if name == "thread.message.delta":
        for part in data["delta"]["content"]:
            if part["type"] == "text":
                texts[data["id"]] = texts.get(data["id"], "") + part["text"]["value"]
    elif name == "thread.run.step.delta":
        for piece in data["delta"]["step_details"]["tool_calls"]:
            kind = piece["type"]
            if kind != "file_search":
                key = data["id"], piece["index"]
                call = calls.setdefault(key, {"id": piece.get("id", ""), "input": ""})
                field = "arguments" if kind == "function" else "input"
                call["input"] += piece[kind].get(field, "")
    elif name == "thread.message.completed":
        texts[data["id"]] = "".join(part["text"]["value"] for part in data["content"])


_MESSAGE_DELTA: Final = b"event: thread.message.delta"
_MESSAGE_COMPLETED: Final = b"event: thread.message.completed"
_STEP_DELTA: Final = b"event: thread.run.step.delta"
_DECODERS: Final[dict[bytes, Callable[[bytes], Any]]] = {
    b"event: " + name.encode(): msgspec.json.Decoder(msgspec.structs.fields(kind)[0].type).decode
    for name, kind in EVENTS.items()
    if kind is not DoneEvent
}
