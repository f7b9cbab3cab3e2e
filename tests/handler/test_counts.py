"""How often each hook is called, over real sockets and several rounds."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import pytest

from asyncruns import (
    Client,
    Event,
    FunctionToolCall,
    FunctionToolCallDelta,
    Message,
    Run,
    RunHandler,
    RunStep,
    Text,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    Toolset,
)
from asyncruns.emulator import Call, Emulator, Parallel, RunCode, Say, SearchFiles

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from asyncruns.emulator import Action, Context

pytestmark = pytest.mark.anyio

ROUNDS = 3


def weather(city: str) -> str:
    """Tell the weather."""
    return f"rain in {city}"


async def script(_: Context) -> AsyncGenerator[Action, Any]:
    for hour in range(ROUNDS):
        cities = [Call("weather", {"city": f"{city} {hour}"}) for city in ("Oslo", "Rome")]
        yield Parallel(*cities, RunCode("print(1)", logs="1\n"), interleave=True)
    yield SearchFiles()
    yield Say("Take", " an umbrella.")


class Witness(RunHandler):
    """Writes every call of a hook down; plain and async hooks mixed."""

    def __init__(self) -> None:
        self.created: dict[str, int] = defaultdict(int)
        self.deltas: dict[str, list[str]] = defaultdict(list)
        self.done: dict[str, ToolCall] = {}
        self.done_count: dict[str, int] = defaultdict(int)
        self.names: list[str] = []
        self.texts: list[str] = []
        self.pieces: list[str] = []

    def on_event(self, event: Event) -> None:
        self.names.append(event.event)

    def on_tool_call_created(self, call: ToolCall) -> None:
        self.created[str(call.id)] += 1

    async def on_tool_call_delta(self, delta: ToolCallDelta, call: ToolCall) -> None:
        assert self.created[str(call.id)] == 1, "created comes before the first delta"
        assert call.id not in self.done, "done comes after the last delta"
        if isinstance(delta, FunctionToolCallDelta) and delta.function is not None:
            self.deltas[str(call.id)].append(delta.function.arguments or "")
            assert isinstance(call, FunctionToolCall)
            assert call.function.arguments == "".join(self.deltas[call.id])

    def on_tool_call_done(self, call: ToolCall) -> None:
        self.done[str(call.id)] = call
        self.done_count[str(call.id)] += 1

    async def on_text_delta(self, delta: TextDelta, text: Text) -> None:
        self.pieces.append(delta.value or "")
        assert text.value.endswith(delta.value or "")

    def on_text_done(self, text: Text) -> None:
        self.texts.append(text.value)

    def on_requires_action(self, run: Run) -> None:
        self.names.append(f"hook requires_action {run.status}")

    def on_run_created(self, run: Run) -> None:
        self.names.append(f"hook run created {run.status}")

    async def on_run_done(self, run: Run) -> None:
        self.names.append(f"hook run done {run.status}")

    def on_step_created(self, step: RunStep) -> None:
        self.names.append(f"hook step created {step.id}")

    def on_step_done(self, step: RunStep) -> None:
        self.names.append(f"hook step done {step.id}")

    def on_message_done(self, message: Message) -> None:
        self.names.append(f"hook message done {message.id}")

    def on_end(self) -> None:
        self.names.append("hook end")


async def watch(handler: RunHandler) -> tuple[list[RunStep], list[Event]]:
    toolset = Toolset(weather)
    async with (
        Emulator(script) as server,
        Client(base_url=server.base_url, api_key="any") as client,
    ):
        assistant = await client.assistants.create(model="gpt-4o", tools=toolset.definitions)
        thread = await client.threads.create()
        async with client.runs.stream(
            thread_id=thread.id,
            assistant_id=assistant.id,
            toolset=toolset,
            event_handler=handler,
        ) as stream:
            events = [event async for event in stream]
        assert stream.outcome == "completed"
        return stream.steps, events


async def test_every_call_is_created_and_done_once_and_its_deltas_are_its_arguments() -> None:
    seen = Witness()
    steps, _ = await watch(seen)
    calls = [call for step in steps for call in getattr(step.step_details, "tool_calls", [])]
    assert len(calls) == 3 * ROUNDS + 1
    assert dict(seen.created) == {call.id: 1 for call in calls}
    assert dict(seen.done_count) == {call.id: 1 for call in calls}
    for call in calls:
        assert seen.done[call.id] == call
        if isinstance(call, FunctionToolCall):
            assert "".join(seen.deltas[call.id]) == call.function.arguments
            assert json.loads(call.function.arguments)["city"]
            assert call.function.output is not None


async def test_texts_steps_messages_and_the_run_have_their_hooks_once() -> None:
    seen = Witness()
    steps, _ = await watch(seen)
    assert seen.texts == ["Take", " an umbrella."]
    assert "".join(seen.pieces) == "Take an umbrella."
    hooks = [name.removeprefix("hook ") for name in seen.names if name.startswith("hook ")]
    assert hooks.count("run created queued") == 1
    assert hooks.count("run done completed") == 1
    assert hooks.count("requires_action requires_action") == ROUNDS
    assert hooks[-1] == "end"
    assert hooks.count("end") == 1
    for step in steps:
        assert hooks.count(f"step created {step.id}") == 1
        assert hooks.count(f"step done {step.id}") == 1


async def test_iterating_and_handling_see_the_same_events() -> None:
    seen = Witness()
    _, events = await watch(seen)
    assert [name for name in seen.names if not name.startswith("hook ")] == [
        event.event for event in events
    ]


async def test_an_exception_in_a_hook_reaches_the_caller_as_it_is() -> None:
    class Angry(RunHandler):
        def on_step_created(self, step: RunStep) -> None:
            raise LookupError(step.id)

    with pytest.raises(LookupError, match="step_"):
        await watch(Angry())
