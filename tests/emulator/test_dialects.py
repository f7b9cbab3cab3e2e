"""Dialects on the wire: raw bytes and raw JSON, as a server of that kind sends them."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from asyncruns.emulator import (
    DIALECTS,
    Action,
    Call,
    CallMcp,
    Context,
    Emulator,
    Fault,
    Found,
    Say,
    SearchFiles,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

pytestmark = pytest.mark.anyio

Json = dict[str, Any]
PATH = "/threads/thread_1/runs"


async def ask_and_say(_: Context) -> AsyncGenerator[Action, Any]:
    yield Call("weather", {"city": "Oslo"}, id="call_1")
    yield Say(["One ", "two."])


async def search_and_say(_: Context) -> AsyncGenerator[Action, Any]:
    yield SearchFiles([Found("file_1", "a.txt")])
    yield Say("Found.")


class Api:
    """Raw requests to an emulator."""

    def __init__(self, emulator: Emulator, session: aiohttp.ClientSession) -> None:
        self.emulator = emulator
        self.session = session

    async def ask(self, method: str, path: str, body: Json | None = None) -> bytes:
        url = self.emulator.base_url + path
        async with self.session.request(method, url, json=body) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.read()

    async def stream(self) -> bytes:
        return await self.ask("POST", PATH, {"assistant_id": "asst_1", "stream": True})

    async def run(self) -> tuple[Json, list[Json], list[Json]]:
        """The newest run, its steps and the thread's messages, oldest first."""
        run = json.loads(await self.ask("GET", PATH))["data"][0]
        steps = json.loads(await self.ask("GET", f"{PATH}/{run['id']}/steps?order=asc"))
        said = json.loads(await self.ask("GET", "/threads/thread_1/messages?order=asc"))
        return run, steps["data"], said["data"]


@asynccontextmanager
async def serving(
    dialect: str, script: Any = ask_and_say, **options: Any
) -> AsyncGenerator[Api, None]:
    async with (
        Emulator(script, dialect=dialect, **options) as emulator,
        aiohttp.ClientSession(headers={"OpenAI-Beta": "assistants=v2"}) as session,
    ):
        emulator.add_thread(id="thread_1", messages=[{"role": "user", "content": "Well?"}])
        emulator.add_assistant(id="asst_1", tools=[{"type": "file_search"}])
        yield Api(emulator, session)


def names_of(body: bytes) -> list[str]:
    lines = body.decode().splitlines()
    return [line.removeprefix("event: ") for line in lines if line.startswith("event: ")]


def data_of(body: bytes) -> list[Any]:
    lines = body.decode().splitlines()
    told = [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]
    return [None if text == "[DONE]" else json.loads(text) for text in told]


def nulls_in(value: Any) -> int:
    if isinstance(value, dict):
        return sum(map(nulls_in, value.values()))
    if isinstance(value, list):
        return sum(map(nulls_in, value))
    return value is None


def test_a_dialect_that_there_is_not_names_those_that_there_are() -> None:
    with pytest.raises(ValueError, match=r"no dialect 'klingon'; the dialects are plain, refer"):
        Emulator(dialect="klingon")


def test_the_plain_one_is_the_default() -> None:
    assert next(iter(DIALECTS)) == "plain"


async def test_reference_has_the_published_fields() -> None:
    async with serving("reference", search_and_say) as api:
        told = data_of(await api.stream())
        run, steps, _ = await api.run()
    assert run in told
    assert all(step in told for step in steps)
    assert run.keys().isdisjoint({"tool_resources", "reasoning_effort"})
    assert set(run["usage"]) == {"prompt_tokens", "completion_tokens", "total_tokens"}
    for step in steps:
        assert "expires_at" not in step
        assert (step["expired_at"], step["metadata"]) == (None, {})


async def test_azure_has_more_tools_activities_addresses_and_late_outputs() -> None:
    async with serving("azure", search_and_say) as api:
        body = await api.stream()
        run, steps, said = await api.run()
    assert [tool["type"] for tool in run["tools"]] == ["file_search", "bing_grounding", "mcp"]
    assert [step["type"] for step in steps] == [
        "activities",
        "tool_calls",
        "tool_calls",
        "message_creation",
    ]
    (call,) = steps[1]["step_details"]["tool_calls"]
    assert (call["type"], call["output"]) == ("mcp", "Nothing was found.")
    mcp = steps[1]["id"]
    order = [
        (name.rpartition(".")[2], data["delta"] if "delta" in data else data["step_details"])
        for name, data in zip(names_of(body), data_of(body), strict=True)
        if data and data["id"] == mcp
    ]
    assert [name for name, _ in order] == ["created", "in_progress", "delta", "completed", "delta"]
    assert order[3][1]["tool_calls"][0]["output"] is None
    assert order[4][1]["step_details"]["tool_calls"][0]["output"] == "Nothing was found."
    (note,) = said[-1]["content"][0]["text"]["annotations"]
    assert (note["type"], note["text"]) == ("url_citation", "Found")
    assert note["url_citation"]["url"].startswith("https://")


async def ask_for_approval(_: Context) -> AsyncGenerator[Action, Any]:
    yield CallMcp("search", approval=True, id="call_1")


async def test_azure_asks_for_approvals_and_takes_them_only() -> None:
    async with serving("azure", ask_for_approval) as api:
        told = data_of(await api.stream())
        run = told[-2]
        assert run["status"] == "requires_action"
        assert run["required_action"]["type"] == "submit_tool_approval"
        path = f"{api.emulator.base_url}{PATH}/{run['id']}/submit_tool_outputs"
        outputs = {"tool_outputs": [{"tool_call_id": "call_1", "output": "x"}]}
        async with api.session.post(path, json=outputs) as refusal:
            assert refusal.status == 400
            assert "do not accept tool outputs" in await refusal.text()
        approvals = {"tool_approvals": [{"tool_call_id": "call_1", "approve": True}]}
        async with api.session.post(path, json=approvals) as taken:
            assert (await taken.json())["status"] == "queued"
        async with api.session.post(path, json=approvals) as again:
            assert again.status == 400


async def test_litellm_sends_envelopes_without_nulls() -> None:
    async with serving("litellm") as api:
        body = await api.stream()
        run, steps, said = await api.run()
    assert b"event: " not in body
    *told, done = data_of(body)
    assert done is None
    assert all(set(envelope) == {"event", "data"} for envelope in told)
    assert told[0]["event"] == "thread.run.created"
    assert nulls_in([told, run, steps, said]) == 0


async def test_open_assistant_repeats_pings_and_never_ends() -> None:
    async with serving("open-assistant-api") as api:
        body = await api.stream()
        run, _, _ = await api.run()
        path = f"{PATH}/{run['id']}/submit_tool_outputs"
        outputs = [{"tool_call_id": "call_1", "output": "x"}]
        rest = await api.ask("POST", path, {"tool_outputs": outputs, "stream": True})
    assert body.count(b"\n") == body.count(b"\r\n")
    assert b": ping" in body
    assert b"[DONE]" not in body + rest
    names, told = names_of(body), data_of(body)
    assert (names[-1], told[-1]["status"]) == ("thread.run.completed", "requires_action")
    assert names[-2] == "thread.run.step.delta"
    (call,) = told[-2]["delta"]["step_details"]["tool_calls"]
    assert (call["id"], call["function"]["arguments"]) == ("call_1", '{"city":"Oslo"}')
    assert names_of(rest)[-1] == "thread.run.completed"
    deltas = [data["delta"] for data in data_of(rest) if data["object"] == "thread.message.delta"]
    assert deltas[0]["content"][0]["text"]["annotations"] is None


async def test_astra_sends_envelopes_and_no_end() -> None:
    async with serving("astra", search_and_say) as api:
        told = data_of(await api.stream())
        run, _, _ = await api.run()
    assert run["status"] == "completed"
    assert told[-1]["event"] == "thread.run.step.completed"


async def test_v1_has_what_the_first_version_had() -> None:
    async with serving("v1", search_and_say) as api:
        told = data_of(await api.stream())
        run, steps, said = await api.run()
    assert run in told
    assert run.keys().isdisjoint({"required_action", "usage", "tool_choice", "response_format"})
    assert run["tools"] == [{"type": "retrieval"}]
    (call,) = steps[0]["step_details"]["tool_calls"]
    assert (call["type"], call["retrieval"]) == ("retrieval", {})
    assert "usage" not in steps[0]
    assert said[-1]["file_ids"] == []
    assert "attachments" not in said[-1]


async def test_v1_still_says_what_it_waits_for() -> None:
    async with serving("v1") as api:
        paused = data_of(await api.stream())[-2]
    (call,) = paused["required_action"]["submit_tool_outputs"]["tool_calls"]
    assert call["id"] == "call_1"


async def test_a_fault_counts_what_the_dialect_sends() -> None:
    async with serving("astra", search_and_say, faults=[Fault("duplicate")]) as api:
        told = data_of(await api.stream())
    assert told[0] == told[1]
    assert told[0]["event"] == "thread.run.created"
