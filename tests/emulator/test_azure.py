"""Azure's own agents client runs its flow against the emulator."""

from __future__ import annotations

import ssl
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
import trustme
from azure.ai.agents.aio import AgentsClient
from azure.ai.agents.models import (
    AsyncAgentEventHandler,
    FunctionTool,
    MessageDeltaChunk,
    RunStatus,
    RunStep,
    RunStepStatus,
    SubmitToolOutputsAction,
    ThreadRun,
    ToolOutput,
)
from azure.core.credentials import AccessToken

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from asyncruns.emulator import Emulator
    from tests.emulator.conftest import Serve

pytestmark = pytest.mark.anyio


class Credential:
    """A credential whose token is always the same."""

    async def get_token(self, *_scopes: str, **_options: Any) -> AccessToken:
        return AccessToken("secret", int(time.time()) + 3600)

    async def close(self) -> None:
        """Have nothing to close."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        await self.close()


class Handler(AsyncAgentEventHandler[None]):
    """Notes what a stream brings."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[str] = []
        self.run_statuses: list[str] = []
        self.step_types: list[str] = []

    async def on_message_delta(self, delta: MessageDeltaChunk) -> None:
        self.pieces.append(delta.text)

    async def on_thread_run(self, run: ThreadRun) -> None:
        self.run_statuses.append(run.status)

    async def on_run_step(self, step: RunStep) -> None:
        if step.status == RunStepStatus.COMPLETED:
            self.step_types.append(step.type)


def weather(city: str) -> str:
    """Tell the weather.

    :param city: Where.
    """
    return f"sunny in {city}"


@asynccontextmanager
async def opened(serve: Serve, folder: Path) -> AsyncGenerator[tuple[Emulator, AgentsClient]]:
    """An emulator, and Azure's client of it, which insists on TLS."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(folder / "ca.pem")
    emulator = (await serve(api_key="secret", ssl_context=context)).emulator
    async with AgentsClient(
        emulator.origin, Credential(), connection_verify=str(folder / "ca.pem")
    ) as client:
        yield emulator, client
    assert {request.query["api-version"] for request in emulator.requests} == {"v1"}
    assert {request.status for request in emulator.requests} == {200}


async def test_the_whole_flow_runs(serve: Serve, tmp_path: Path) -> None:
    async with opened(serve, tmp_path) as (_, client):
        agent = await client.create_agent(model="gpt-4o", tools=FunctionTool({weather}).definitions)
        thread = await client.threads.create()
        await client.messages.create(thread_id=thread.id, role="user", content="How is Oslo?")
        run = await client.runs.create(thread_id=thread.id, agent_id=agent.id)
        while run.status != RunStatus.REQUIRES_ACTION:
            run = await client.runs.get(thread_id=thread.id, run_id=run.id)
        assert isinstance(run.required_action, SubmitToolOutputsAction)
        (call,) = run.required_action.submit_tool_outputs.tool_calls
        await client.runs.submit_tool_outputs(
            thread_id=thread.id,
            run_id=run.id,
            tool_outputs=[ToolOutput(tool_call_id=call.id, output=weather("Oslo"))],
        )
        while run.status != RunStatus.COMPLETED:
            run = await client.runs.get(thread_id=thread.id, run_id=run.id)
        steps = [step async for step in client.run_steps.list(thread.id, run.id)]
        assert [step.type for step in steps] == ["message_creation", "tool_calls"]
        said = [message async for message in client.messages.list(thread.id, run_id=run.id)]
        assert "sunny in Oslo" in said[0].text_messages[0].text.value


async def test_a_run_is_streamed_over_its_tool_round(serve: Serve, tmp_path: Path) -> None:
    async with opened(serve, tmp_path) as (_, client):
        client.enable_auto_function_calls({weather})
        agent = await client.create_agent(model="gpt-4o", tools=FunctionTool({weather}).definitions)
        thread = await client.threads.create()
        await client.messages.create(thread_id=thread.id, role="user", content="How is Oslo?")
        handler = Handler()
        async with await client.runs.stream(
            thread_id=thread.id, agent_id=agent.id, event_handler=handler
        ) as stream:
            await stream.until_done()
        assert handler.run_statuses[-1] == RunStatus.COMPLETED
        assert RunStatus.REQUIRES_ACTION in handler.run_statuses
        assert handler.step_types == ["tool_calls", "message_creation"]
        said = [message async for message in client.messages.list(thread.id)]
        assert "".join(handler.pieces) == said[0].text_messages[0].text.value
        assert "weather gave sunny in" in said[0].text_messages[0].text.value
