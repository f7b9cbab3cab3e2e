"""The server itself: many streams, TLS, and how it stops."""

from __future__ import annotations

import asyncio
import ssl
import time
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import trustme

from asyncruns.emulator import Action, Call, Context, Emulator, Say, Wait

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from tests.emulator.conftest import Serve

pytestmark = pytest.mark.anyio

BETA = {"OpenAI-Beta": "assistants=v2"}


async def wait_long(_context: Context) -> AsyncGenerator[Action, Any]:
    yield Say("Wait.")
    yield Wait(300)


async def test_many_streams_are_served_at_once(serve: Serve) -> None:
    count = 200
    waiting = 0
    everybody = asyncio.Event()

    async def script(_context: Context) -> AsyncGenerator[Action, Any]:
        nonlocal waiting
        yield Say("Hello.")
        waiting += 1
        if waiting == count:
            everybody.set()
        await everybody.wait()

    api = await serve(script)
    emulator = api.emulator
    emulator.add_assistant(id="assistant_id")
    for number in range(count):
        emulator.add_thread(id=f"thread_{number}")
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(emulator.base_url + "/", connector=connector) as session:

        async def stream(number: int) -> bytes:
            body = {"assistant_id": "assistant_id", "stream": True}
            path = f"threads/thread_{number}/runs"
            async with session.post(path, json=body, headers=BETA) as answer:
                return await answer.read()

        bodies = await asyncio.gather(*(stream(number) for number in range(count)))
    assert all(body.endswith(b"event: done\ndata: [DONE]\n\n") for body in bodies)


async def test_leaving_the_block_ends_open_streams_at_once() -> None:
    tasks = asyncio.all_tasks()
    async with aiohttp.ClientSession(headers=BETA) as session:
        async with Emulator(wait_long) as emulator:
            emulator.add_assistant(id="assistant_id")
            emulator.add_thread(id="thread_id")
            body = {"assistant_id": "assistant_id", "stream": True}
            url = f"{emulator.base_url}/threads/thread_id/runs"
            answer = await session.post(url, json=body)
            while not (await answer.content.readline()).startswith(b"event: thread.run.step.comp"):
                pass
            started = time.monotonic()
        assert time.monotonic() - started < 0.5
        rest = await answer.read()
        assert b"event: done" not in rest
        with pytest.raises(aiohttp.ClientConnectorError):
            await session.get(url)
    assert asyncio.all_tasks() == tasks


async def test_leaving_the_block_stops_runs_and_leaves_no_task() -> None:
    closed: list[str] = []

    async def script(_context: Context) -> AsyncGenerator[Action, Any]:
        try:
            yield Call("add")
        finally:
            closed.append("script")

    tasks = asyncio.all_tasks()
    async with Emulator(script) as emulator:
        emulator.add_assistant(id="assistant_id")
        emulator.add_thread(id="thread_id")
        await emulator.add_run("thread_id", "assistant_id")
    assert closed == ["script"]
    assert asyncio.all_tasks() == tasks


async def test_a_run_that_has_just_been_created_ends_with_the_block() -> None:
    async with Emulator() as emulator, aiohttp.ClientSession(headers=BETA) as session:
        emulator.add_assistant(id="assistant_id")
        emulator.add_thread(id="thread_id")
        url = f"{emulator.base_url}/threads/thread_id/runs"
        await session.post(url, json={"assistant_id": "assistant_id"})


async def test_tls_is_spoken_with_a_context() -> None:
    authority = trustme.CA()
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(server)
    authority.configure_trust(client)
    async with Emulator(ssl_context=server) as emulator, aiohttp.ClientSession() as session:
        assert emulator.base_url.startswith("https://127.0.0.1:")
        url = f"{emulator.base_url}/threads"
        async with session.post(url, headers=BETA, ssl=client) as answer:
            assert (await answer.json())["object"] == "thread"


async def test_a_port_can_be_chosen() -> None:
    async with Emulator() as first:
        port = int(first.origin.rsplit(":", 1)[1])
    async with Emulator(port=port) as second:
        assert second.base_url == f"http://127.0.0.1:{port}/v1"


async def test_a_taken_port_is_an_error() -> None:
    async with Emulator() as first:
        port = int(first.origin.rsplit(":", 1)[1])
        with pytest.raises(OSError, match=str(port)):
            await Emulator(port=port).__aenter__()


def test_an_emulator_can_be_made_without_a_loop() -> None:
    emulator = Emulator()
    emulator.add_thread(id="thread_id")
    emulator.add_assistant(id="assistant_id")
    emulator.add_message("thread_id", "Hello")


async def test_a_run_that_is_started_after_the_end_ends_at_once() -> None:
    async with Emulator() as emulator:
        emulator.add_assistant(id="assistant_id")
        emulator.add_thread(id="thread_id")
    run = await emulator.add_run("thread_id", "assistant_id")
    assert run["status"] == "queued"
