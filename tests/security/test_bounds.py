"""What a server sends is bounded, and the error names the bound."""

from __future__ import annotations

import re
import tracemalloc
import zlib
from typing import TYPE_CHECKING, Any

import pytest

from asyncruns import AsyncRunsError, Client, StreamInterrupted
from asyncruns.parts import MAX_INDEX
from asyncruns.sse import MAX_FRAME
from asyncruns.transport import MAX_BODY
from tests.stream.frames import frame, run_frame
from tests.transport.wires import STREAM_HEAD, chunk, wire

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable, Iterator

    from asyncruns import RunStream

pytestmark = pytest.mark.anyio

PIECE = 2**20


@pytest.fixture
def memory() -> Iterator[None]:
    """At most 150 MB more than before, of which a third is this side's own."""
    tracemalloc.start()
    yield
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 150_000_000


def for_ever(head: bytes, piece: bytes) -> Callable[[asyncio.StreamWriter], Awaitable[None]]:
    """Send a head, and then the same again and again until the client has had enough."""

    async def act(writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        while True:
            writer.write(piece)
            await writer.drain()

    return act


def opened(client: Client) -> RunStream:
    return client.runs.stream(thread_id="thread_1", assistant_id="asst_1", on_interrupt="raise")


async def interruption(client: Client) -> StreamInterrupted:
    """How a stream ends that is not repaired."""
    with pytest.raises(StreamInterrupted) as caught:
        async with opened(client) as stream:
            await stream.until_done()
    return caught.value


LINES = {
    "one line": b"x" * PIECE,
    "a line of lines": b"data: x\n" * (PIECE // 8),
    "a comment": b":" * PIECE,
    "carriage returns": b"data\r" * (PIECE // 8),
}


@pytest.mark.usefixtures("memory")
@pytest.mark.parametrize("piece", LINES.values(), ids=LINES)
async def test_a_frame_without_an_end_is_bounded(piece: bytes) -> None:
    endless = for_ever(STREAM_HEAD + chunk(run_frame("in_progress")), chunk(piece))
    async with wire(endless) as server, Client(api_key="", base_url=server.url) as client:
        error = await interruption(client)
    assert f"passes the limit of {MAX_FRAME:,} bytes" in str(error)
    assert error.run is not None


def step_delta(*calls: dict[str, Any]) -> bytes:
    details = {"type": "tool_calls", "tool_calls": list(calls)}
    data = {"id": "step_1", "object": "thread.run.step.delta", "delta": {"step_details": details}}
    return frame("thread.run.step.delta", data)


DEEP = b"[" * 100_000

FRAMES = {
    "an index": (step_delta({"index": 10**9, "type": "function"}), f"not in 0 to {MAX_INDEX}"),
    "an index beyond all numbers": (step_delta({"index": 10**40, "type": "function"}), "index"),
    "an index below": (step_delta({"index": -1, "type": "function"}), "index"),
    "a nesting": (b'event: thread.run.queued\ndata: {"x":' + DEEP + b"\n\n", "thread.run.queued"),
    "a nesting in an unknown call": (
        step_delta({"index": 0, "type": "odd", "x": 1}).replace(
            b'"x": 1', b'"x": ' + b"[" * 5_000 + b"]" * 5_000
        ),
        "nest|deep|recursion",
    ),
}


@pytest.mark.usefixtures("memory")
@pytest.mark.parametrize(("sent", "said"), FRAMES.values(), ids=FRAMES)
async def test_what_a_frame_may_hold_is_bounded(sent: bytes, said: str) -> None:
    body = STREAM_HEAD + chunk(run_frame("in_progress")) + chunk(sent) + chunk(b"")
    async with wire(body) as server, Client(api_key="", base_url=server.url) as client:
        error = await interruption(client)
    assert error.run is not None
    assert re.search(said, str(error))


@pytest.mark.usefixtures("memory")
@pytest.mark.parametrize("status", ["200 OK", "400 No"])
async def test_a_body_without_an_end_is_bounded(status: str) -> None:
    head = STREAM_HEAD.replace(b"text/event-stream", b"application/json")
    head = head.replace(b"200 OK", status.encode())
    async with (
        wire(for_ever(head, chunk(b"[" * PIECE))) as server,
        Client(api_key="", base_url=server.url, max_retries=0) as client,
    ):
        bound = f"more than {MAX_BODY} bytes" if status == "200 OK" else "400 on GET"
        with pytest.raises(AsyncRunsError, match=bound):
            await client.runs.retrieve("run_1", thread_id="thread_1")


@pytest.mark.usefixtures("memory")
async def test_a_bomb_of_bombs_in_one_frame_is_bounded() -> None:
    packer = zlib.compressobj(wbits=31)
    once = b"".join(packer.compress(bytes(PIECE)) for _ in range(64)) + packer.flush()
    head = STREAM_HEAD.replace(b"X-Request", b"Content-Encoding: gzip\r\nX-Request")
    async with (
        wire(for_ever(head, chunk(once))) as server,
        Client(api_key="", base_url=server.url) as client,
    ):
        error = await interruption(client)
    assert f"passes the limit of {MAX_FRAME:,} bytes" in str(error)
