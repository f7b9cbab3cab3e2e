"""The openai package and asyncruns, given the same run, end with the same text and steps.

Emulators with the same seed give the same ids to the same requests, so that both clients can be
given one run each that is the same to the letter, but for the time.
"""
# openai has deprecated what this file is about.
# pyright: reportDeprecated=false

from __future__ import annotations

import json
import warnings
from typing import TYPE_CHECKING, Any

import pytest
from openai import AsyncAssistantEventHandler, AsyncOpenAI

from asyncruns import Client, Toolset, to_dict
from asyncruns.emulator import Emulator, ManualClock

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.anyio

QUESTION = "How is Oslo?"
OTHER_TOOLS = [{"type": "code_interpreter"}, {"type": "file_search"}]


def weather(city: str) -> str:
    """Tell the weather."""
    return f"rain in {city}"


def population(city: str) -> str:
    """Tell how many live there."""
    return f"a few in {city}"


TOOLSET = Toolset(weather, population)
FUNCTIONS = {"weather": weather, "population": population}
TOOLS: Any = [*to_dict(TOOLSET.definitions), *OTHER_TOOLS]


class Recorder(AsyncAssistantEventHandler):
    """Keeps the text of openai's handler, piece by piece, and its steps as they end."""

    def __init__(self, steps: dict[str, Any], pieces: list[str]) -> None:
        super().__init__()
        self.steps, self.pieces = steps, pieces

    async def on_text_delta(self, delta: Any, snapshot: Any) -> None:
        assert snapshot.value.endswith(delta.value)
        self.pieces.append(delta.value)

    async def on_run_step_done(self, run_step: Any) -> None:
        self.steps[run_step.id] = json.loads(run_step.to_json())


@pytest.fixture(autouse=True)
def _deprecations_are_known() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


async def with_openai(base_url: str) -> tuple[str, dict[str, Any], list[Any]]:
    """The text, the steps as they ended, and the steps as listed page by page."""
    steps: dict[str, Any] = {}
    pieces: list[str] = []
    async with AsyncOpenAI(api_key="any", base_url=base_url, max_retries=0) as client:
        beta = client.beta
        assistant = await beta.assistants.create(model="gpt-4o", tools=TOOLS)
        thread = await beta.threads.create(messages=[{"role": "user", "content": QUESTION}])
        handler = Recorder(steps, pieces)
        async with beta.threads.runs.stream(
            thread_id=thread.id, assistant_id=assistant.id, event_handler=handler
        ) as stream:
            await stream.until_done()
        run = handler.current_run
        assert run is not None
        assert run.required_action is not None
        outputs: Any = [
            {
                "tool_call_id": call.id,
                "output": FUNCTIONS[call.function.name](**json.loads(call.function.arguments)),
            }
            for call in run.required_action.submit_tool_outputs.tool_calls
        ]
        async with beta.threads.runs.submit_tool_outputs_stream(
            run_id=run.id,
            thread_id=thread.id,
            tool_outputs=outputs,
            event_handler=Recorder(steps, pieces),
        ) as stream:
            await stream.until_done()
        listed = beta.threads.runs.steps.list(run.id, thread_id=thread.id, order="asc", limit=2)
        return "".join(pieces), steps, [json.loads(step.to_json()) async for step in listed]


async def with_asyncruns(base_url: str) -> tuple[str, dict[str, Any], list[Any]]:
    """The same, with one stream over both rounds."""
    async with Client(api_key="any", base_url=base_url) as client:
        assistant = await client.assistants.create(model="gpt-4o", tools=TOOLS)
        thread = await client.threads.create(messages=[{"role": "user", "content": QUESTION}])
        async with client.runs.stream(
            thread_id=thread.id, assistant_id=assistant.id, toolset=TOOLSET
        ) as stream:
            text = "".join([piece async for piece in stream.text_deltas])
        assert stream.run is not None
        listed = client.runs.steps.list(stream.run.id, thread_id=thread.id, order="asc", limit=2)
        steps = {step.id: to_dict(step) for step in stream.steps}
        return text, steps, [to_dict(step) async for step in listed]


async def test_both_clients_end_with_the_same_text_and_steps() -> None:
    clock = ManualClock()
    async with Emulator(clock=clock) as theirs, Emulator(clock=clock) as ours:
        text, steps, listed = await with_openai(theirs.base_url)
        assert await with_asyncruns(ours.base_url) == (text, steps, listed)
    assert "rain in city" in text
    assert [step["type"] for step in listed] == ["tool_calls"] * 3 + ["message_creation"]
    assert list(steps.values()) == listed
