"""Calls as checkers see them: mypy and pyright accept these, and refuse the marked ones."""

from __future__ import annotations

from typing import assert_type

from asyncruns import (
    Assistant,
    Client,
    CodeInterpreterTool,
    FunctionDefinition,
    FunctionTool,
    Message,
    RawResponse,
    Run,
    RunStep,
    RunStream,
    Thread,
    ThreadDeleted,
)
from asyncruns.pages import Page, Paginator


async def runs(client: Client, *, either: bool) -> None:
    assert_type(await client.runs.create("t", assistant_id="a"), Run)
    assert_type(await client.runs.create("t", assistant_id="a", stream=False), Run)
    assert_type(await client.runs.create("t", assistant_id="a", stream=True), RunStream)
    assert_type(await client.runs.create("t", assistant_id="a", stream=either), Run | RunStream)
    assert_type(client.runs.stream(thread_id="t", assistant_id="a", model=None), RunStream)
    assert_type(await client.runs.retrieve("r", thread_id="t", timeout=None), Run)
    assert_type(
        await client.runs.submit_tool_outputs(
            "r", thread_id="t", tool_outputs=[{"tool_call_id": "c", "output": "o"}]
        ),
        Run,
    )
    await client.runs.create("t", assistant_id="a", modle="m")  # type: ignore[call-overload]
    await client.runs.create("t")  # type: ignore[call-overload]
    await client.runs.retrieve("r", "t")  # type: ignore[call-arg]
    await client.runs.retrieve("r", thread_id="t", limit=3)  # type: ignore[call-arg]
    client.runs.stream(thread_id="t", assistant_id="a", temperature="hot")  # type: ignore[arg-type]


async def raw(client: Client) -> None:
    assert_type(await client.runs.with_raw_response.create("t", assistant_id="a"), RawResponse[Run])
    answer = await client.threads.with_raw_response.delete("t", timeout=3)
    assert_type(answer.parse(), ThreadDeleted)
    assert_type(await client.messages.with_raw_response.list("t"), RawResponse[Page[Message]])
    await client.runs.with_raw_response.retrieve("r", thread_id="t", limit=3)  # type: ignore[call-arg]
    await client.runs.with_raw_response.stream(thread_id="t")  # type: ignore[attr-defined]


async def lists(client: Client) -> None:
    paginator = client.runs.list("t", order="asc", limit=3)
    assert_type(paginator, Paginator[Run])
    assert_type(await paginator, Page[Run])
    page = await client.runs.steps.list("r", thread_id="t")
    assert_type(page.data, list[RunStep])
    assert_type(await page.get_next_page(), Page[RunStep])
    assert_type(page.last_id, str | None)
    async for message in client.messages.list("t", run_id="r"):
        assert_type(message, Message)
    client.runs.list("t", order="newest")  # type: ignore[arg-type]
    client.assistants.list(run_id="r")  # type: ignore[call-arg]


async def objects(client: Client) -> None:
    weather = FunctionTool(function=FunctionDefinition(name="weather"))
    assert_type(
        await client.assistants.create(
            model="m",
            tools=[weather, CodeInterpreterTool(), {"type": "file_search"}],
            response_format={"type": "json_object"},
        ),
        Assistant,
    )
    assert_type(await client.threads.create(messages=[{"role": "user", "content": "hi"}]), Thread)
    assert_type(await client.request("GET", "/files"), bytes)
    await client.assistants.create(name="n")  # type: ignore[call-arg]
    Client("sk-1")  # type: ignore[call-arg]
