"""The endpoints against a server that checks what it is sent."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from asyncruns import (
    ActiveRunError,
    AuthenticationError,
    BadRequestError,
    Client,
    CodeInterpreterTool,
    FileSearchTool,
    NotFoundError,
    Toolset,
)
from asyncruns.emulator import Action, Call, Context, Emulator

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

pytestmark = pytest.mark.anyio

INCLUDE = "step_details.tool_calls[*].file_search.results[*].content"


@pytest.fixture
async def emulated(anyio_backend: str) -> AsyncIterator[Client]:
    del anyio_backend
    async with (
        Emulator() as emulator,
        Client(api_key="sk-1", base_url=emulator.base_url) as client,
    ):
        yield client


async def test_a_run_goes_its_way(emulated: Client) -> None:
    assistant = await emulated.assistants.create(
        model="m", name="A", tools=[CodeInterpreterTool(), FileSearchTool()]
    )
    thread = await emulated.threads.create(
        messages=[{"role": "user", "content": "hi"}], metadata={"k": "v"}
    )
    message = await emulated.messages.create(thread.id, role="user", content="again")
    async with emulated.runs.stream(
        thread_id=thread.id, assistant_id=assistant.id, include=[INCLUDE]
    ) as stream:
        await stream.until_done()
    assert stream.run is not None
    run = await emulated.runs.retrieve(stream.run.id, thread_id=thread.id)
    assert run == stream.run
    assert run.status == "completed"
    run = await emulated.runs.update(run.id, thread_id=thread.id, metadata={"a": "b"})
    assert run.metadata == {"a": "b"}
    listed = emulated.runs.steps.list(
        run.id, thread_id=thread.id, order="asc", limit=1, include=[INCLUDE]
    )
    steps = [step async for step in listed]
    assert steps == stream.steps
    assert len(steps) > 1
    first = await emulated.runs.steps.retrieve(
        steps[0].id, thread_id=thread.id, run_id=run.id, include=[INCLUDE]
    )
    assert first == steps[0]
    written = [m async for m in emulated.messages.list(thread.id, run_id=run.id, order="asc")]
    assert written == stream.messages
    everything = [m.id async for m in emulated.messages.list(thread.id, limit=1)]
    assert everything[-2] == message.id
    assert [r.id async for r in emulated.runs.list(thread.id)] == [run.id]
    assert (await emulated.messages.delete(message.id, thread_id=thread.id)).deleted
    assert (await emulated.threads.delete(thread.id)).deleted
    assert (await emulated.assistants.delete(assistant.id)).deleted
    with pytest.raises(NotFoundError):
        await emulated.threads.retrieve(thread.id)


async def test_a_thread_and_its_run_are_created_at_once(emulated: Client) -> None:
    assistant = await emulated.assistants.create(model="m")
    run = await emulated.threads.create_and_run(assistant_id=assistant.id, thread={"messages": []})
    assert run.thread_id
    async with emulated.threads.create_and_run_stream(assistant_id=assistant.id) as stream:
        final = await stream.get_final_run()
    assert final.status == "completed"


async def test_a_stream_says_which_request_brought_it() -> None:
    async def weather() -> str:
        """Tell the weather."""
        return "rain"

    async with Emulator(ask) as emulator, Client(api_key="k", base_url=emulator.base_url) as client:
        assistant = await client.assistants.create(model="m")
        stream = client.threads.create_and_run_stream(
            assistant_id=assistant.id, toolset=Toolset(weather)
        )
        assert stream.request_id is None
        async with stream:
            creation = emulator.requests[-1].request_id
            assert stream.request_id == creation
            await stream.until_done()
        assert stream.outcome == "completed"
        assert stream.request_id == emulator.requests[-1].request_id != creation


async def ask(_: Context) -> AsyncGenerator[Action, str]:
    yield Call("weather", {})


async def test_errors_name_the_parameter_and_the_live_run() -> None:
    async with (
        Emulator(ask) as emulator,
        Client(api_key="sk-1", base_url=emulator.base_url) as client,
    ):
        assistant = await client.assistants.create(model="m")
        thread = await client.threads.create()
        with pytest.raises(BadRequestError) as refused:
            await client.runs.list(thread.id, limit=1000)
        assert refused.value.param == "limit"
        assert refused.value.request_id is not None
        run = await client.runs.create(thread.id, assistant_id=assistant.id)
        with pytest.raises(ActiveRunError) as locked:
            await client.runs.create(thread.id, assistant_id=assistant.id)
        assert locked.value.run_id == run.id
        cancelled = await client.runs.cancel(run.id, thread_id=thread.id)
        assert cancelled.status in {"cancelling", "cancelled"}


async def test_a_wrong_key_is_an_authentication_error() -> None:
    async with (
        Emulator(api_key="right") as emulator,
        Client(api_key="wrong", base_url=emulator.base_url) as client,
    ):
        with pytest.raises(AuthenticationError) as caught:
            await client.threads.create()
        assert "wrong" not in repr(caught.value)


async def test_hundreds_of_streams_run_at_once(emulated: Client) -> None:
    assistant = await emulated.assistants.create(model="m")

    async def one() -> str:
        async with emulated.threads.create_and_run_stream(assistant_id=assistant.id) as stream:
            return (await stream.get_final_run()).status

    assert await asyncio.gather(*(one() for _ in range(200))) == ["completed"] * 200
