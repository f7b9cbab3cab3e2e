"""How long the parts of a request may take, and how much an answer may hold."""

from __future__ import annotations

import asyncio
import socket
import tracemalloc
import zlib
from typing import TYPE_CHECKING

import pytest

from asyncruns import (
    AmbiguousRequestError,
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    AsyncRunsError,
    Client,
    LimitExceededError,
    PoolTimeoutError,
    StreamInterrupted,
    Timeout,
)
from asyncruns.connections import _lasting_socket
from asyncruns.transport import Request
from tests.transport.wires import STREAM_HEAD, answer, chunk, hang, then_hang_up, until, wire

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.anyio

BOMB_SIZE = 256 * 2**20
SOFT = Timeout(total=None)


@pytest.fixture(scope="module")
def bomb() -> bytes:
    packer = zlib.compressobj(wbits=31)
    zeros = bytes(2**20)
    return b"".join(packer.compress(zeros) for _ in range(BOMB_SIZE // 2**20)) + packer.flush()


@pytest.fixture
def memory() -> Iterator[None]:
    """At most 64 MB more than before."""
    tracemalloc.start()
    yield
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 64_000_000


@pytest.mark.usefixtures("memory")
async def test_a_gzip_bomb_in_json_is_an_error_before_it_fills_the_memory(bomb: bytes) -> None:
    whole = answer(bomb, headers=("Content-Encoding: gzip",))
    async with wire(whole) as server, Client(api_key="", base_url=server.url) as client:
        with pytest.raises(LimitExceededError, match="more than 50331648 bytes"):
            await client.runs.retrieve("run_1", thread_id="thread_1")


@pytest.mark.usefixtures("memory")
async def test_a_gzip_bomb_in_an_error_is_cut(bomb: bytes) -> None:
    whole = answer(bomb, status="400 No", headers=("Content-Encoding: gzip",))
    async with wire(whole) as server, Client(api_key="", base_url=server.url) as client:
        with pytest.raises(APIStatusError) as caught:
            await client.runs.retrieve("run_1", thread_id="thread_1")
    assert len(caught.value.body) == 64 * 1024


@pytest.mark.usefixtures("memory")
async def test_a_gzip_bomb_in_a_stream_is_an_error_before_it_fills_the_memory(bomb: bytes) -> None:
    head = STREAM_HEAD.replace(b"X-Request", b"Content-Encoding: gzip\r\nX-Request")
    async with (
        wire(then_hang_up(head + chunk(bomb) + chunk(b""))) as server,
        Client(api_key="", base_url=server.url) as client,
    ):
        with pytest.raises(AsyncRunsError, match="passes the limit of 16,777,216 bytes"):
            async with client.runs.stream(
                thread_id="thread_1", assistant_id="asst_1", on_interrupt="raise"
            ) as stream:
                await stream.until_done()


async def test_an_answer_that_cannot_be_decompressed_is_an_error() -> None:
    broken = answer(b"no gzip", headers=("Content-Encoding: gzip",))
    async with (
        wire(broken) as server,
        Client(api_key="", base_url=server.url, max_retries=0) as client,
    ):
        with pytest.raises(APIConnectionError, match=r"broke off|not HTTP"):
            await client.request("GET", "/x")


@pytest.mark.parametrize("headers", [("X-Long: " + "x" * 70_000,), ("X-Many: x",) * 200])
async def test_headers_are_bounded(headers: tuple[str, ...]) -> None:
    async with (
        wire(answer(headers=headers)) as server,
        Client(api_key="", base_url=server.url, max_retries=0) as client,
    ):
        with pytest.raises(APIConnectionError, match="the answer is not HTTP"):
            await client.request("GET", "/x")


def test_a_number_is_a_total() -> None:
    assert Timeout.of(3) == Timeout(total=3, connect=5, write=30)
    assert Timeout.of(None).total is None
    assert Timeout.of(SOFT) is SOFT


@pytest.mark.parametrize("timeout", [Timeout(total=0.05), Timeout(total=None, read=0.05)])
async def test_a_silent_server_is_a_timeout(timeout: Timeout) -> None:
    async with wire(hang) as server:
        settings = Client(api_key="", base_url=server.url, timeout=timeout, max_retries=0)
        async with settings as client:
            with pytest.raises(APITimeoutError):
                await client.request("GET", "/x")
            with pytest.raises(AmbiguousRequestError):
                await client.request("POST", "/x")
        async with Client(api_key="", base_url=server.url, max_retries=0) as client:
            with pytest.raises(APITimeoutError):
                await client.runs.retrieve("run_1", thread_id="t", timeout=timeout)


async def test_a_stream_that_falls_silent_is_a_timeout_where_read_is_limited() -> None:
    async def one_then_silence(writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM_HEAD + chunk(b"one"))
        await asyncio.sleep(3600)

    timeout = Timeout(read=0.05)
    async with (
        wire(one_then_silence) as server,
        Client(api_key="", base_url=server.url, timeout=timeout) as client,
    ):
        chunks = aiter(await client._transport.open(Request(method="POST", path="/x")))
        assert await anext(chunks) == b"one"
        with pytest.raises(APITimeoutError):
            _ = [chunk async for chunk in chunks]


async def test_a_host_that_does_not_accept_is_a_timeout() -> None:
    # A full backlog takes no further connection, and answers nothing.
    with socket.socket() as listener, socket.socket() as first, socket.socket() as second:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for filler in (first, second):
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        timeout = Timeout(connect=0.05)
        async with Client(api_key="", base_url=url, timeout=timeout, max_retries=0) as client:
            with pytest.raises(
                APITimeoutError, match=r"within 0.05 s \(the connect timeout\)"
            ) as caught:
                await client.threads.create()
    assert type(caught.value) is APITimeoutError


async def test_a_server_that_does_not_read_is_a_timeout() -> None:
    body, timeout = bytes(20_000_000), Timeout(total=None, write=0.05)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()  # the system takes the connection, and nobody reads from it
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        async with Client(api_key="", base_url=url, timeout=timeout, max_retries=0) as client:
            for method in ("POST", "PUT"):
                # Nobody can have carried out what never went out whole.
                with pytest.raises(APITimeoutError, match="the body was not taken") as caught:
                    await client.request(method, "/x", body=body)
                assert not isinstance(caught.value, AmbiguousRequestError)
                assert caught.value.retryable


@pytest.mark.parametrize("timeout", [Timeout(pool=0.05), Timeout(total=0.05, pool=9), 0.05])
async def test_the_wait_for_a_connection_has_a_limit_and_an_error(
    timeout: Timeout | float,
) -> None:
    request = Request(method="POST", path="/x", repeatable=False, timeout=timeout)
    async with (
        wire(STREAM_HEAD) as server,
        Client(api_key="", base_url=server.url, max_connections=1) as client,
    ):
        first = await client._transport.open(Request(method="POST", path="/x"))
        message = r"none of the client's 1 connections became free within 0.05 s"
        with pytest.raises(PoolTimeoutError, match=message):
            await client._transport.open(request)
        await first.aclose()
        assert len(server.requests) == 1


async def test_a_token_that_does_not_come_is_a_timeout() -> None:
    async def slow() -> str:
        await asyncio.sleep(3600)
        return "late"

    async with Client(api_key=slow, base_url="http://127.0.0.1:9", timeout=0.02) as client:
        with pytest.raises(APITimeoutError, match="GET /x: no token came in time"):
            await client.request("GET", "/x")


async def test_a_timeout_of_the_token_provider_s_own_passes_as_it_is() -> None:
    def broken() -> str:
        raise TimeoutError("the vault is slow")

    async with Client(api_key=broken, base_url="http://127.0.0.1:9") as client:
        with pytest.raises(TimeoutError, match="the vault is slow"):
            await client.request("GET", "/x")


async def test_silent_connections_are_probed() -> None:
    with _lasting_socket((socket.AF_INET, socket.SOCK_STREAM, 0, "", ("", 0))) as made:
        assert made.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        if hasattr(socket, "TCP_KEEPIDLE"):
            assert made.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 60


async def test_settings_of_the_connector_are_taken() -> None:
    async with (
        wire(answer()) as server,
        Client(api_key="", base_url=server.url, connector={"force_close": True}) as client,
    ):
        await client.request("GET", "/x")
        await client.request("GET", "/x")
        assert server.connections == 2
        await until(lambda: server.hung_up == 2)


async def test_a_compressed_stream_of_comments_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asyncruns.connections.MAX_INFLATED", 2**20)
    packer = zlib.compressobj(wbits=31)
    pings = packer.compress(b": ping\n\n" * 2**18) + packer.flush()
    head = STREAM_HEAD.replace(b"X-Request", b"Content-Encoding: gzip\r\nX-Request")
    async with (
        wire(then_hang_up(head + chunk(pings) + chunk(b""))) as server,
        Client(api_key="", base_url=server.url) as client,
        client.runs.stream(thread_id="t", assistant_id="a", on_interrupt="raise") as stream,
    ):
        with pytest.raises(StreamInterrupted, match="the compressed stream has more than"):
            await stream.until_done()


@pytest.mark.parametrize(
    "lines",
    ["X-Long: " + "x" * 17_000, "Content-Encoding: br"],
    ids=["a long header", "an encoding that nobody asked for"],
)
async def test_an_answer_that_can_never_be_read_is_not_asked_for_again(lines: str) -> None:
    async with (
        wire(answer(headers=(lines,))) as server,
        Client(api_key="", base_url=server.url) as client,
    ):
        with pytest.raises(AsyncRunsError) as caught:
            await client.request("GET", "/x")
        assert len(server.requests) == 1
    assert isinstance(caught.value, APIConnectionError)
    assert not caught.value.retryable
