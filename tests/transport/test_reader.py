"""Reading a body directly: the bytes of aiohttp's own reader, however they come, and its limits."""

from __future__ import annotations

import asyncio
import zlib
from itertools import pairwise
from typing import Any

import pytest
from aiohttp import ClientPayloadError, StreamReader
from aiohttp.client_proto import ResponseHandler
from hypothesis import given
from hypothesis import strategies as st

from asyncruns import APIConnectionError, Client
from asyncruns.reader import DirectReader, read_directly
from tests.transport.test_streams import END, open_stream, streams
from tests.transport.wires import STREAM_HEAD, answer, chunk, until, wire

pytestmark = pytest.mark.anyio

EVENTS = "text/event-stream"
UNTIL_CLOSED = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"

BUFFER = 64
"""As small as makes a body of some chunks pass its bounds."""


class Line(asyncio.Transport):
    """A connection that only knows whether it is to be read."""

    def __init__(self) -> None:
        super().__init__()
        self.paused = False

    def close(self) -> None:
        """Nothing is to be closed."""

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False


async def opened(*, directly: bool, head: bytes = STREAM_HEAD) -> tuple[ResponseHandler, Any]:
    """A connection whose answer has begun, and the reader of the body."""
    protocol = ResponseHandler(asyncio.get_running_loop())
    protocol.connection_made(Line())
    protocol.set_response_params(read_bufsize=BUFFER)
    protocol.data_received(head)
    _, content = await protocol.read()
    if directly:
        read_directly(content)
    return protocol, content


async def received(reads: list[bytes], *, directly: bool) -> tuple[bytes, bool]:
    """What a reader gives of bytes that come in these reads, and whether it had to hold some up."""
    protocol, content = await opened(directly=directly)
    line, got, held_up = protocol.transport, b"", False
    assert isinstance(line, Line)
    for read in reads:
        # A connection that is paused is not read; then the reader reads on first.
        while line.paused:
            held_up = True
            got += await content.readany()
        protocol.data_received(read)
    while not content.at_eof():
        got += await asyncio.wait_for(content.readany(), 5)
    return got + await content.readany(), held_up


def cut(body: bytes, places: list[int]) -> list[bytes]:
    bounds = [0, *sorted({place % (len(body) + 1) for place in places}), len(body)]
    return [body[start:end] for start, end in pairwise(bounds)]


@given(
    st.lists(st.binary(min_size=1, max_size=100), max_size=40),
    st.lists(st.integers(min_value=0), max_size=40),
)
def test_it_gives_the_bytes_of_aiohttps_reader(sent: list[bytes], places: list[int]) -> None:
    reads = cut(b"".join(map(chunk, sent)) + END, places)
    direct, _ = asyncio.run(received(reads, directly=True))
    assert direct == asyncio.run(received(reads, directly=False))[0] == b"".join(sent)


def test_what_comes_too_fast_waits_for_its_reader() -> None:
    sent = [bytes([number % 256]) * 50 for number in range(200)]
    reads = cut(b"".join(map(chunk, sent)) + END, list(range(0, 20_000, 333)))
    assert asyncio.run(received(reads, directly=True)) == (b"".join(sent), True)


async def test_many_small_chunks_before_the_first_read_do_not_stop_the_body() -> None:
    # aiohttp's reader pauses at so many, in the name of a count that is not kept from then on.
    protocol, content = await opened(directly=False)
    protocol.data_received(b"".join(map(chunk, [b"x"] * 20)))
    line = protocol.transport
    assert isinstance(line, Line)
    assert line.paused
    read_directly(content)
    got = await content.readany()
    assert not line.paused
    protocol.data_received(chunk(b"y") + END)
    while data := await asyncio.wait_for(content.readany(), 5):
        got += data
    assert got == b"x" * 20 + b"y"


async def test_who_waits_is_handed_what_comes() -> None:
    protocol, content = await opened(directly=True)
    for sent in (b"one", b"two"):
        arrival = content.arrival()
        assert not arrival.done()
        protocol.data_received(chunk(sent))
        assert await arrival == sent
    last = content.arrival()
    protocol.data_received(END)
    assert await last == b""
    assert content.arrival() is None
    assert await content.readany() == b""


async def test_a_cancelled_read_is_not_waited_for_by_what_comes() -> None:
    protocol, content = await opened(directly=True)
    content.arrival().cancel()
    protocol.data_received(chunk(b"one"))
    assert content.arrival() is None
    assert await content.readany() == b"one"


async def test_what_came_before_a_failure_is_given_before_it() -> None:
    protocol, content = await opened(directly=True)
    protocol.data_received(chunk(b"one") + chunk(b"two") + b"5\r\nthr")
    protocol.connection_lost(None)
    assert await content.readany() == b"onetwothr"
    for _ in range(2):
        assert content.arrival() is None
        with pytest.raises(ClientPayloadError):
            await content.readany()


async def test_a_failure_wakes_who_waits_and_is_told_by_the_next_read() -> None:
    protocol, content = await opened(directly=True)
    arrival = content.arrival()
    protocol.connection_lost(None)
    assert await arrival == b""
    with pytest.raises(ClientPayloadError):
        await content.readany()


async def test_a_second_reader_is_refused() -> None:
    _, content = await opened(directly=True)
    reading = asyncio.create_task(content.readany())
    await asyncio.sleep(0)
    with pytest.raises(RuntimeError, match="another coroutine"):
        await content.readany()
    reading.cancel()


async def test_a_connection_that_was_closed_here_is_not_waited_for() -> None:
    protocol, content = await opened(directly=True)
    protocol.close()
    with pytest.raises(RuntimeError, match=r"Connection closed"):
        await asyncio.wait_for(content.readany(), 5)


async def test_a_reader_of_another_kind_stays_what_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    class Other(StreamReader):
        __slots__ = ()

    _, content = await opened(directly=False)
    content.__class__ = Other
    read_directly(content)
    assert type(content) is Other

    monkeypatch.setattr("asyncruns.reader._PARTS", {"_a_name_that_is_gone"})
    protocol, content = await opened(directly=True)
    assert type(content) is StreamReader
    protocol.data_received(chunk(b"one"))
    assert await content.readany() == b"one"


@pytest.mark.parametrize(
    "answered",
    [streams(b"one"), answer(b"one", kind=EVENTS), UNTIL_CLOSED + b"one"],
    ids=["chunked", "length", "until it closes"],
)
async def test_bodies_are_read_directly(answered: bytes) -> None:
    async def once(writer: asyncio.StreamWriter) -> None:
        writer.write(answered)
        await writer.drain()
        writer.close()

    async with wire(once) as server, Client(api_key="", base_url=server.url) as client:
        stream = await open_stream(client)
        assert type(stream._response.content) is DirectReader
        assert b"".join([read async for read in stream]) == b"one"


async def test_compressed_bodies_are_not() -> None:
    packed = zlib.compress(b"one" * 1_000)
    whole = answer(packed, kind=EVENTS, headers=("Content-Encoding: deflate",))
    async with wire(whole) as server, Client(api_key="", base_url=server.url) as client:
        stream = await open_stream(client)
        assert type(stream._response.content) is StreamReader
        assert b"".join([read async for read in stream]) == b"one" * 1_000


async def test_a_cut_stream_gives_all_that_came_though_nobody_was_reading() -> None:
    gone = asyncio.Event()

    async def cut_off(writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM_HEAD + chunk(b"one"))
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.write(chunk(b"two") + chunk(b"three"))
        await writer.drain()
        writer.close()
        gone.set()

    async with wire(cut_off) as server, Client(api_key="", base_url=server.url) as client:
        stream = await open_stream(client)
        assert await anext(aiter(stream)) == b"one"
        await gone.wait()
        content = stream._response.content
        await until(lambda: content.exception() is not None)
        assert await anext(stream) == b"twothree"
        with pytest.raises(APIConnectionError):
            await anext(stream)
