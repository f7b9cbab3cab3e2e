"""Requests that get no answer: what is said of them, and how often they arrive."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

import aiohttp
import anyio
import pytest

from asyncruns import (
    AmbiguousRequestError,
    APIConnectionError,
    APITimeoutError,
    Client,
)
from asyncruns.transport import Request
from tests.transport.wires import STREAM_HEAD, answer, hang, hang_up, then_hang_up, until, wire

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Call = Callable[[Client], Awaitable[object]]

pytestmark = pytest.mark.anyio


def closed_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


async def create_run(client: Client) -> object:
    return await client.runs.create("thread_1", assistant_id="asst_1")


async def stream_run(client: Client) -> object:
    request = Request(method="POST", path="/threads/runs", body=b"{}", repeatable=False)
    return await client._transport.open(request)


async def submit(client: Client) -> object:
    return await client.runs.submit_tool_outputs("run_1", thread_id="t_1", tool_outputs=[])


async def add_message(client: Client) -> object:
    return await client.messages.create("thread_1", role="user", content="hi")


async def create_thread(client: Client) -> object:
    return await client.threads.create()


async def create_assistant(client: Client) -> object:
    return await client.assistants.create(model="m")


async def post_nothing(client: Client) -> object:
    return await client.request("POST", "/x")


async def retrieve_run(client: Client) -> object:
    return await client.runs.retrieve("run_1", thread_id="thread_1")


async def cancel_run(client: Client) -> object:
    return await client.runs.cancel("run_1", thread_id="thread_1")


async def modify_run(client: Client) -> object:
    return await client.runs.update("run_1", thread_id="thread_1", metadata={})


CREATING = [
    create_run,
    stream_run,
    submit,
    add_message,
    create_thread,
    create_assistant,
    post_nothing,
]
HARMLESS = [retrieve_run, cancel_run, modify_run]


@pytest.mark.parametrize("call", [*CREATING, *HARMLESS])
async def test_a_refused_connection_was_certainly_not_used(call: Call) -> None:
    async with Client(
        api_key="sk-1", max_retries=0, base_url=f"http://127.0.0.1:{closed_port()}"
    ) as client:
        with pytest.raises(APIConnectionError, match="no connection could be made") as caught:
            await call(client)
    assert type(caught.value) is APIConnectionError
    assert isinstance(caught.value.__cause__, aiohttp.ClientConnectorError)


async def test_a_name_without_an_address_is_said() -> None:
    async with Client(api_key="", max_retries=0, base_url="http://no-such-host.invalid") as client:
        with pytest.raises(APIConnectionError, match=r"GET /threads/thread_1/runs/run_1: the host"):
            await retrieve_run(client)


@pytest.mark.parametrize("call", CREATING)
async def test_a_creating_request_without_an_answer_is_ambiguous(call: Call) -> None:
    async with (
        wire(hang_up) as server,
        Client(api_key="", max_retries=0, base_url=server.url) as client,
    ):
        with pytest.raises(AmbiguousRequestError, match="may have carried it out") as caught:
            await call(client)
        assert len(server.requests) == 1
    assert isinstance(caught.value.__cause__, aiohttp.ServerDisconnectedError)


@pytest.mark.parametrize("cut", [b"HTTP/1.1 200", answer(b"{}")[:-1]], ids=["head", "body"])
async def test_half_an_answer_is_none(cut: bytes) -> None:
    async with (
        wire(then_hang_up(cut)) as server,
        Client(api_key="", max_retries=0, base_url=server.url) as client,
    ):
        with pytest.raises(AmbiguousRequestError):
            await create_run(client)
        assert len(server.requests) == 1


@pytest.mark.parametrize("call", HARMLESS)
async def test_a_harmless_request_without_an_answer_is_not(call: Call) -> None:
    async with (
        wire(hang_up) as server,
        Client(api_key="", max_retries=0, base_url=server.url) as client,
    ):
        with pytest.raises(APIConnectionError) as caught:
            await call(client)
    assert type(caught.value) is APIConnectionError


@pytest.mark.parametrize("call", CREATING)
async def test_a_creating_request_is_never_sent_twice_over_a_stale_connection(call: Call) -> None:
    async with (
        wire(answer(), hang_up, answer()) as server,
        Client(api_key="", max_retries=0, base_url=server.url) as client,
    ):
        await client.request("GET", "/warm")
        with pytest.raises(AmbiguousRequestError):
            await call(client)
        assert (server.connections, len(server.requests)) == (1, 2)


async def test_a_get_over_a_stale_connection_is_not_sent_again_behind_our_back() -> None:
    async with (
        wire(answer(), hang_up, answer(b"second")) as server,
        Client(api_key="", max_retries=0, base_url=server.url) as client,
    ):
        await client.request("GET", "/warm")
        with pytest.raises(APIConnectionError, match="the server hung up") as caught:
            await client.request("GET", "/x")
        assert caught.value.retryable
        assert (server.connections, len(server.requests)) == (1, 2)


@pytest.mark.parametrize("call", CREATING)
async def test_a_timeout_after_sending_is_ambiguous_for_what_creates(call: Call) -> None:
    async with (
        wire(hang) as server,
        Client(api_key="", max_retries=0, base_url=server.url, timeout=0.2) as client,
    ):
        with pytest.raises(
            AmbiguousRequestError, match=r"no answer came within \S+ s \(the total timeout\)"
        ):
            await call(client)


async def test_a_timeout_of_a_harmless_request_is_a_timeout_error() -> None:
    async with (
        wire(hang) as server,
        Client(api_key="", max_retries=0, base_url=server.url) as client,
    ):
        with pytest.raises(
            APITimeoutError, match=r"no answer came within \S+ s \(the total timeout\)"
        ):
            await client.runs.retrieve("run_1", thread_id="thread_1", timeout=0.05)
        await until(lambda: server.hung_up == 1)


async def test_the_timeout_covers_the_body_too() -> None:
    async def trickle(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while True:
            writer.write(b" ")
            await asyncio.sleep(0.01)

    async with (
        wire(trickle) as server,
        Client(api_key="", max_retries=0, base_url=server.url) as client,
    ):
        with pytest.raises(APITimeoutError):
            await client.request("GET", "/x", timeout=0.1)


async def test_a_timeout_before_sending_is_not_ambiguous() -> None:
    # A full backlog takes no further connection, and answers nothing.
    with socket.socket() as listener, socket.socket() as first, socket.socket() as second:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for filler in (first, second):
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        async with Client(api_key="", max_retries=0, base_url=url, timeout=0.1) as client:
            with pytest.raises(APITimeoutError) as caught:
                await create_run(client)
    assert type(caught.value) is APITimeoutError


async def test_a_timeout_of_none_waits() -> None:
    async def late(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.1)
        writer.write(answer(b"late"))
        await asyncio.sleep(1)

    async with (
        wire(late) as server,
        Client(api_key="", max_retries=0, base_url=server.url, timeout=0.01) as client,
    ):
        assert await client.request("GET", "/x", timeout=None) == b"late"


@pytest.mark.parametrize("call", [create_run, stream_run, retrieve_run])
async def test_cancellation_passes_and_frees_the_connection(call: Call) -> None:
    async with (
        wire(hang) as server,
        Client(api_key="", max_retries=0, base_url=server.url) as client,
    ):
        with anyio.move_on_after(0.05) as scope:
            await call(client)
        assert scope.cancelled_caught
        task = asyncio.ensure_future(call(client))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: server.hung_up == 2)


async def test_a_stream_whose_headers_came_is_not_ambiguous() -> None:
    async with (
        wire(then_hang_up(STREAM_HEAD)) as server,
        Client(api_key="", max_retries=0, base_url=server.url) as client,
    ):
        request = Request(method="POST", path="/x", body=b"{}", repeatable=False)
        stream = await client._transport.open(request)
        with pytest.raises(APIConnectionError, match="broke off") as caught:
            _ = [chunk async for chunk in stream]
        assert type(caught.value) is APIConnectionError
