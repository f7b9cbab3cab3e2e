"""Folding against the server's own JSON, over real sockets, in every scenario of the emulator.

Each object is judged three times: as deltas alone had built it just before its end, as its end
left it, and as deltas build it when all ends are withheld.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from asyncruns import (
    ENDED_MESSAGE,
    ENDED_STEP,
    Accumulator,
    Client,
    Event,
    Message,
    RunStep,
    Toolset,
)
from asyncruns.cli.compare import Sent, Witness, judge_ends, judge_folding
from asyncruns.emulator import (
    Call,
    Citation,
    Emulator,
    Fail,
    FilePath,
    Found,
    ImageFile,
    ImageURL,
    Incomplete,
    Parallel,
    Refusal,
    RunCode,
    Say,
    SearchFiles,
    Text,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from asyncruns.emulator import Action, Context

pytestmark = pytest.mark.anyio

CONTENT = "step_details.tool_calls[*].file_search.results[*].content"


def weather(city: str) -> str:
    """Tell the weather."""
    return f"rain in {city} \N{CLOUD WITH RAIN}"


async def say(_: Context) -> AsyncGenerator[Action, Any]:
    yield Say("A plain answer, in M\u00e4rz, \U0001f327 and with \u2028 in it.")


async def say_in_parts(_: Context) -> AsyncGenerator[Action, Any]:
    yield Say(
        Text("See [1] and [2].", [Citation("[1]", "file-a", "quoted"), FilePath("[2]", "file-b")]),
        ImageFile("file-chart"),
        ImageURL("https://example.org/moss.png"),
        Refusal("I will not say more."),
    )


async def say_twice(_: Context) -> AsyncGenerator[Action, Any]:
    yield Say("First.")
    yield Say(["Sec", "", "ond", "."])


async def call_in_parallel(_: Context) -> AsyncGenerator[Action, Any]:
    outputs: list[str] = []
    for hour in range(3):
        cities = [Call("weather", {"city": f"{city} {hour}"}) for city in ("Oslo", "Rome", "Lund")]
        outputs = yield Parallel(*cities, interleave=True)
    yield Say("; ".join(outputs))


async def use_all_tools_in_one_step(_: Context) -> AsyncGenerator[Action, Any]:
    yield Parallel(
        Call("weather", {"city": "Oslo"}),
        RunCode("print(6 * 7)", logs="42\n", image="file-plot"),
        SearchFiles(
            [Found("file-a", "a.txt", 0.5, "moss"), Found("file-b", "b.txt", 0.25, "rain")]
        ),
        Call("weather", {"city": "Rome"}),
        interleave=True,
    )
    yield Say("Done.")


async def run_code(_: Context) -> AsyncGenerator[Action, Any]:
    yield RunCode("import this\r\nprint('\\n')", logs="\n")
    yield RunCode("pass")
    yield Say("That was code.")


async def fail_in_a_text(_: Context) -> AsyncGenerator[Action, Any]:
    yield Say("This was go", ending=Fail("server_error", "out of tea"))


async def stop_in_a_text(_: Context) -> AsyncGenerator[Action, Any]:
    yield Say("This was go", ending=Incomplete("max_completion_tokens"))


SCENARIOS = {
    script.__name__: script
    for script in (
        say,
        say_in_parts,
        say_twice,
        call_in_parallel,
        use_all_tools_in_one_step,
        run_code,
        fail_in_a_text,
        stop_in_a_text,
    )
}


async def raw_list(origin: str, path: str) -> list[dict[str, Any]]:
    """A list of the server's, oldest first, read by the standard library."""
    url = f"{origin}/{path}{'&' if '?' in path else '?'}order=asc&limit=100"
    headers = {"OpenAI-Beta": "assistants=v2"}
    async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as answer:
        data: list[dict[str, Any]] = json.loads(await answer.read())["data"]
        return data


def is_end(event: Event) -> bool:
    data = event.data
    return (isinstance(data, RunStep) and data.status in ENDED_STEP) or (
        isinstance(data, Message) and data.status in ENDED_MESSAGE
    )


@pytest.mark.parametrize("include", [[], [CONTENT]], ids=["without content", "with content"])
@pytest.mark.parametrize("scenario", SCENARIOS)
async def test_what_is_assembled_equals_what_the_server_has(
    scenario: str, include: list[str]
) -> None:
    toolset = Toolset(weather)
    endless = Accumulator()
    async with (
        Emulator(SCENARIOS[scenario]) as server,
        Client(base_url=server.base_url, api_key="any") as client,
    ):
        assistant = await client.assistants.create(model="gpt-4o", tools=toolset.definitions)
        thread = await client.threads.create()
        async with client.runs.stream(
            thread_id=thread.id, assistant_id=assistant.id, include=include, toolset=toolset
        ) as stream:
            witness = Witness(stream)
            async for event in stream:
                witness.take(event)
                if not is_end(event):
                    endless.apply(event)
        assert stream.run is not None
        query = f"?include[]={CONTENT}" if include else ""
        sent = Sent(
            steps=await raw_list(
                server.base_url, f"threads/{thread.id}/runs/{stream.run.id}/steps{query}"
            ),
            messages=await raw_list(
                server.base_url, f"threads/{thread.id}/messages?run_id={stream.run.id}"
            ),
        )
    assert sent.steps
    assert judge_folding(witness, sent).differences == []
    assert judge_ends(stream.steps, stream.messages, sent).differences == []
    withheld = Witness(endless)
    withheld.steps = {step.id: step for step in endless.steps}
    withheld.messages = {message.id: message for message in endless.messages}
    assert judge_folding(withheld, sent).differences == []
    assert all(step.status == "in_progress" for step in endless.steps)
