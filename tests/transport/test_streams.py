"""Streams of bytes: as they come, until somebody ends them, and their connections after that."""

from __future__ import annotations

import asyncio
import gc
import gzip
from typing import TYPE_CHECKING

import anyio
import pytest

from asyncruns import (
    AmbiguousRequestError,
    APIConnectionError,
    AsyncRunsError,
    Client,
    PoolTimeoutError,
)
from asyncruns.transport import Request
from tests.transport.wires import STREAM_HEAD, answer, chunk, until, wire

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from asyncruns.connections import ByteStream
    from tests.transport.wires import Answer

pytestmark = pytest.mark.anyio

END = chunk(b"")


async def open_stream(client: Client) -> ByteStream:
    return await client._transport.open(Request(method="POST", path="/x", body=b"{}"))


async def rest(chunks: AsyncIterator[bytes]) -> bytes:
    return b"".join([chunk async for chunk in chunks])


async def one_chunk_then_silence(writer: asyncio.StreamWriter) -> None:
    writer.write(STREAM_HEAD + chunk(b"one"))
    await asyncio.sleep(3600)


def streams(*chunks: bytes) -> Answer:
    return STREAM_HEAD + b"".join(map(chunk, chunks)) + END


async def test_chunks_come_when_they_are_sent() -> None:
    shown = asyncio.Event()

    async def in_two(writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM_HEAD + chunk(b"one"))
        await shown.wait()
        writer.write(chunk(b"two") + END)

    async with wire(in_two) as server, Client(api_key="", base_url=server.url) as client:
        stream = await open_stream(client)
        chunks = aiter(stream)
        assert await anext(chunks) == b"one"
        shown.set()
        assert [chunk async for chunk in chunks] == [b"two"]
        assert (stream.status, stream.request_id) == (200, "req_1")
        assert stream.headers["content-TYPE"] == "text/event-stream; charset=utf-8"


async def test_the_timeout_ends_with_the_headers() -> None:
    async def slow(writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM_HEAD)
        await asyncio.sleep(0.15)
        writer.write(chunk(b"late") + END)

    async with (
        wire(slow) as server,
        Client(api_key="", base_url=server.url, timeout=0.05) as client,
    ):
        assert [chunk async for chunk in await open_stream(client)] == [b"late"]


async def test_a_stream_read_to_its_end_gives_its_connection_back() -> None:
    async with wire(streams(b"a")) as server, Client(api_key="", base_url=server.url) as client:
        for _ in range(3):
            stream = await open_stream(client)
            assert [chunk async for chunk in stream] == [b"a"]
            await stream.aclose()
        assert server.connections == 1


async def test_a_stream_left_early_closes_its_connection() -> None:
    async with (
        wire(one_chunk_then_silence) as server,
        Client(api_key="", base_url=server.url, max_connections=1) as client,
    ):
        for _ in range(3):
            stream = await open_stream(client)
            async for _ in stream:
                break
            await stream.aclose()
            await stream.aclose()
        await until(lambda: server.hung_up == 3)


async def test_a_cancelled_reader_can_still_close() -> None:
    async with (
        wire(one_chunk_then_silence) as server,
        Client(api_key="", base_url=server.url) as client,
    ):
        stream = await open_stream(client)
        with anyio.move_on_after(0.05):
            async for _ in stream:
                pass
        await stream.aclose()
        await until(lambda: server.hung_up == 1)


async def test_a_stream_that_breaks_off_is_a_connection_error() -> None:
    async def break_off(writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM_HEAD + chunk(b"one"))
        await asyncio.sleep(0.02)
        writer.close()

    async with (
        wire(break_off) as server,
        Client(api_key="", base_url=server.url, max_connections=1) as client,
    ):
        for _ in range(2):
            chunks = aiter(await open_stream(client))
            assert await anext(chunks) == b"one"
            with pytest.raises(APIConnectionError, match="POST /x: the answer broke off"):
                _ = [chunk async for chunk in chunks]


async def test_a_stream_closed_by_another_task_ends_its_reader() -> None:
    async with (
        wire(one_chunk_then_silence) as server,
        Client(api_key="", base_url=server.url) as client,
    ):
        stream = await open_stream(client)
        chunks = aiter(stream)
        await anext(chunks)
        reader = asyncio.create_task(rest(chunks))
        await asyncio.sleep(0)
        await stream.aclose()
        with pytest.raises(APIConnectionError, match="the connection failed"):
            await reader


async def test_closing_the_client_ends_live_streams_with_an_error() -> None:
    async with wire(one_chunk_then_silence) as server:
        client = Client(api_key="", base_url=server.url)
        waiting, idle = [aiter(await open_stream(client)) for _ in range(2)]
        await anext(waiting)
        await anext(idle)
        reader = asyncio.create_task(rest(waiting))
        await asyncio.sleep(0)
        await client.aclose()
        for read in (reader, rest(idle)):
            with pytest.raises(APIConnectionError, match="the client was closed"):
                await read
        await until(lambda: server.hung_up == 2)


async def test_closing_the_client_ends_requests_that_wait_for_an_answer() -> None:
    async def half(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(b"a"))
        await asyncio.sleep(3600)

    async def nothing(_: asyncio.StreamWriter) -> None:
        await asyncio.sleep(3600)

    async with wire(half, nothing) as server:
        client = Client(api_key="", base_url=server.url)
        first = asyncio.ensure_future(client.threads.create())
        await until(lambda: len(server.requests) == 1)
        second = asyncio.ensure_future(client.threads.create())
        await until(lambda: len(server.requests) == 2)
        await asyncio.sleep(0.02)
        await client.aclose()
        for request in (first, second):
            with pytest.raises(AmbiguousRequestError, match="the client was closed"):
                await request


async def test_streams_at_the_limit_leave_connections_to_other_requests() -> None:
    async with (
        wire(one_chunk_then_silence, one_chunk_then_silence, answer(b"through")) as server,
        Client(api_key="", base_url=server.url, max_connections=2) as client,
    ):
        live = [await open_stream(client) for _ in range(2)]
        bodies = await asyncio.gather(*(client.request("POST", "/cancel") for _ in range(30)))
        assert bodies == [b"through"] * 30
        assert server.connections <= 2 + 10
        for stream in live:
            await stream.aclose()


async def test_a_stream_beyond_the_limit_waits_and_says_for_what() -> None:
    async with (
        wire(one_chunk_then_silence) as server,
        Client(api_key="", base_url=server.url, max_connections=1, timeout=0.05) as client,
    ):
        first = await open_stream(client)
        with pytest.raises(PoolTimeoutError, match=r"POST /x: none of the client's 1 connections"):
            await open_stream(client)
        second = asyncio.ensure_future(open_stream(client))
        await asyncio.sleep(0)
        await first.aclose()
        await (await second).aclose()
        assert len(server.requests) == 2


async def test_a_stream_that_nobody_closed_gives_its_place_back_when_collected() -> None:
    async with (
        wire(streams(b"a")) as server,
        Client(api_key="", base_url=server.url, max_connections=1, timeout=5) as client,
    ):
        for _ in range(3):
            await open_stream(client)
            gc.collect()
        assert len(server.requests) == 3


async def test_failed_and_cancelled_requests_give_their_places_back() -> None:
    async def hang(_: asyncio.StreamWriter) -> None:
        await asyncio.sleep(3600)

    refused = answer(b"{}", status="500 Oops")
    async with (
        wire(hang, refused, answer(b"<h1>", kind="text/html"), streams(b"a")) as server,
        Client(api_key="", max_retries=0, base_url=server.url, max_connections=1) as client,
    ):
        with anyio.move_on_after(0.05):
            await open_stream(client)
        for _ in range(2):
            with pytest.raises(AsyncRunsError):
                await open_stream(client)
        assert [chunk async for chunk in await open_stream(client)] == [b"a"]


async def test_a_stream_that_gives_up_waiting_for_other_requests_gives_its_place_back() -> None:
    async def hang(_: asyncio.StreamWriter) -> None:
        await asyncio.sleep(3600)

    async with (
        wire(hang) as server,
        Client(api_key="", base_url=server.url, max_connections=1) as client,
    ):
        others = [asyncio.ensure_future(client.request("GET", "/x")) for _ in range(11)]
        await until(lambda: len(server.requests) == 11)
        for _ in range(2):
            with pytest.raises(PoolTimeoutError):
                await client._transport.open(Request(method="GET", path="/x", timeout=0.02))
        for other in others:
            other.cancel()
        await asyncio.wait(others)
        with anyio.move_on_after(0.2):
            await open_stream(client)
        assert len(server.requests) == 12


async def test_an_event_stream_may_be_compressed() -> None:
    packed = gzip.compress(b"event: done\ndata: [DONE]\n\n")
    head = STREAM_HEAD.replace(b"X-Request", b"Content-Encoding: gzip\r\nX-Request")
    async with (
        wire(head + chunk(packed[:9]) + chunk(packed[9:]) + END) as server,
        Client(api_key="", base_url=server.url) as client,
    ):
        chunks = [chunk async for chunk in await open_stream(client)]
        assert b"".join(chunks) == b"event: done\ndata: [DONE]\n\n"


@pytest.mark.parametrize("late", [b"0\r\n\r\n", b""], ids=["a moment later", "never"])
async def test_a_connection_is_used_again_where_a_body_s_end_comes_late(
    late: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    if late:
        monkeypatch.setattr("asyncruns.service.DRAIN", 5)  # a busy machine takes longer, too
    ended = b'event: thread.run.completed\ndata: {"id":"run_1","status":"completed"}\n\n'
    whole = STREAM_HEAD + chunk(ended) + chunk(b"event: done\ndata: [DONE]\n\n")

    async def dawdle(writer: asyncio.StreamWriter) -> None:
        writer.write(whole)
        await writer.drain()
        await asyncio.sleep(0.002)
        writer.write(late)
        if not late:
            await asyncio.sleep(60)

    async with wire(dawdle) as server, Client(api_key="", base_url=server.url) as client:
        for _ in range(3):
            async with client.runs.stream(thread_id="t", assistant_id="a") as stream:
                run = await stream.get_final_run()
            assert run.status == "completed"
        assert server.connections == (1 if late else 3)
