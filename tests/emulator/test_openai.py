"""The openai package's own clients run the whole flow against the emulator."""
# openai has deprecated what this file is about.
# pyright: reportDeprecated=false

from __future__ import annotations

import json
import warnings
from typing import TYPE_CHECKING, Any

import pytest
from openai import (
    AsyncAssistantEventHandler,
    AsyncAzureOpenAI,
    AsyncOpenAI,
    BadRequestError,
    NotFoundError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openai.types.beta.assistant_tool_param import AssistantToolParam
    from openai.types.beta.threads.run_submit_tool_outputs_params import ToolOutput
    from openai.types.beta.threads.runs import RunStep, RunStepInclude, ToolCall

    from tests.emulator.conftest import Serve

pytestmark = pytest.mark.anyio

SEARCH_CONTENT: RunStepInclude = "step_details.tool_calls[*].file_search.results[*].content"
PARAMETERS: dict[str, object] = {"type": "object", "properties": {"city": {"type": "string"}}}
TOOLS: list[AssistantToolParam] = [
    {"type": "function", "function": {"name": "weather", "parameters": PARAMETERS}},
    {"type": "function", "function": {"name": "population", "parameters": PARAMETERS}},
    {"type": "code_interpreter"},
    {"type": "file_search"},
]


class Recorder(AsyncAssistantEventHandler):
    """Keeps what the handler is told."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.calls: list[str] = []
        self.steps: list[RunStep] = []

    async def on_text_delta(self, delta: Any, snapshot: Any) -> None:
        assert snapshot.value.endswith(delta.value)
        self.texts.append(delta.value)

    async def on_tool_call_created(self, tool_call: ToolCall) -> None:
        self.calls.append(tool_call.type)

    async def on_run_step_done(self, run_step: RunStep) -> None:
        self.steps.append(run_step)


@pytest.fixture(autouse=True)
def _deprecations_are_known() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


async def test_the_whole_flow_runs(serve: Serve) -> None:
    emulator = (await serve(api_key="secret")).emulator
    async with AsyncOpenAI(api_key="secret", base_url=emulator.base_url, max_retries=0) as client:
        beta = client.beta
        assistant = await beta.assistants.create(model="gpt-4o", name="Ann", tools=TOOLS)
        thread = await beta.threads.create(messages=[{"role": "user", "content": "How is Oslo?"}])

        first = Recorder()
        async with beta.threads.runs.stream(
            thread_id=thread.id,
            assistant_id=assistant.id,
            include=[SEARCH_CONTENT],
            event_handler=first,
        ) as stream:
            await stream.until_done()
        run = first.current_run
        assert run is not None
        assert run.status == "requires_action"
        assert run.required_action is not None
        assert first.calls == ["function", "function"]

        calls = run.required_action.submit_tool_outputs.tool_calls
        assert [json.loads(call.function.arguments) for call in calls] == [{"city": "city"}] * 2
        outputs: list[ToolOutput] = [
            {"tool_call_id": call.id, "output": f"{call.function.name} of Oslo"} for call in calls
        ]
        second = Recorder()
        async with beta.threads.runs.submit_tool_outputs_stream(
            run_id=run.id, thread_id=thread.id, tool_outputs=outputs, event_handler=second
        ) as stream:
            await stream.until_done()
        done = await beta.threads.runs.retrieve(run.id, thread_id=thread.id)
        assert done.status == "completed"

        steps = await beta.threads.runs.steps.list(
            run.id, thread_id=thread.id, order="asc", include=[SEARCH_CONTENT]
        )
        assert steps.data == second.steps
        assert [step.type for step in steps.data] == ["tool_calls"] * 3 + ["message_creation"]
        paged = [
            step
            async for step in beta.threads.runs.steps.list(
                run.id, thread_id=thread.id, order="asc", limit=1, include=[SEARCH_CONTENT]
            )
        ]
        assert paged == steps.data
        one = await beta.threads.runs.steps.retrieve(
            steps.data[0].id, thread_id=thread.id, run_id=run.id
        )
        assert one == steps.data[0]

        messages = await beta.threads.messages.list(thread.id, run_id=run.id)
        (part,) = messages.data[0].content
        assert part.type == "text"
        assert part.text.value == "".join(second.texts)
        assert "weather of Oslo" in part.text.value


async def test_a_new_thread_and_run_is_streamed(serve: Serve) -> None:
    emulator = (await serve()).emulator
    assistant_id = emulator.add_assistant()["id"]
    async with (
        AsyncOpenAI(api_key="any", base_url=emulator.base_url) as client,
        client.beta.threads.create_and_run_stream(
            assistant_id=assistant_id,
            thread={"messages": [{"role": "user", "content": "Hello"}]},
        ) as stream,
    ):
        names = [event.event async for event in stream]
    assert names[0] == "thread.created"
    assert names[-1] == "thread.run.completed"


async def test_a_run_is_polled_to_its_end(serve: Serve) -> None:
    emulator = (await serve(poll_after_ms=1)).emulator
    assistant_id = emulator.add_assistant()["id"]
    async with AsyncOpenAI(api_key="any", base_url=emulator.base_url) as client:
        run = await client.beta.threads.create_and_run_poll(assistant_id=assistant_id)
    assert run.status == "completed"
    assert emulator.requests[-1].headers["x-stainless-poll-helper"] == "true"


async def test_errors_are_the_clients_own(serve: Serve) -> None:
    emulator = (await serve()).emulator
    thread_id = emulator.add_thread()["id"]
    async with AsyncOpenAI(api_key="any", base_url=emulator.base_url) as client:
        with pytest.raises(NotFoundError, match=r"No run found with id 'run_x'\."):
            await client.beta.threads.runs.retrieve("run_x", thread_id=thread_id)
        with pytest.raises(BadRequestError) as caught:
            await client.beta.threads.runs.create(thread_id, assistant_id="a", temperature=3)
    assert caught.value.param == "temperature"
    assert caught.value.request_id == emulator.requests[-1].request_id


async def test_azures_client_is_served_too(serve: Serve) -> None:
    emulator = (await serve(api_key="secret")).emulator
    assistant_id = emulator.add_assistant()["id"]
    async with AsyncAzureOpenAI(
        api_key="secret", api_version="2024-05-01-preview", azure_endpoint=emulator.origin
    ) as client:
        thread = await client.beta.threads.create()
        async with client.beta.threads.runs.stream(
            thread_id=thread.id, assistant_id=assistant_id
        ) as stream:
            run = await stream.get_final_run()
    assert run.status == "completed"
    last = emulator.requests[-1]
    assert last.path == f"/openai/threads/{thread.id}/runs"
    assert last.headers["api-key"] == "secret"
