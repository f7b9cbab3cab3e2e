"""Every dialect, in the scenario with tools: the same texts, steps and outputs as the plain one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from asyncruns import (
    Accumulator,
    Client,
    FunctionToolCall,
    MessageCreationStepDetails,
    TextContentBlock,
    ToolCallsStepDetails,
    Toolset,
    UnknownRequiredAction,
    UnknownStepDetails,
    UnknownToolCall,
)
from asyncruns.emulator import (
    DIALECTS,
    Action,
    Call,
    CallMcp,
    Context,
    Emulator,
    Parallel,
    Say,
)
from asyncruns.texts import Texts

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence

    from asyncruns import Message, RunStep, RunStream

    Way = Callable[["House"], Awaitable["Told"]]

pytestmark = pytest.mark.anyio


async def scenario(_: Context) -> AsyncGenerator[Action, Any]:
    """Two rounds of tools, the first with two calls at once, and a message before and after."""
    yield Say(["Let me ", "see."])
    both = yield Parallel(
        Call("weather", {"city": "Oslo"}), Call("weather", {"city": "Rome"}), interleave=True
    )
    last = yield Call("weather", {"city": both[1][-4:]})
    yield Say(["It is ", both[0], ", ", last, "."])


TEXT = "Let me see.It is sunny in Oslo, sunny in Rome."


Output = tuple[str | None, str, str | None]
"""A call's function, its arguments and what it gave."""


@dataclass
class Made:
    """A step that the script makes: its calls with their outputs, none for a message."""

    status: str
    calls: list[Output]


@dataclass
class Told:
    """What a client ends with, in words that no dialect changes."""

    outcome: object
    text: str
    steps: list[Made]
    asked: list[str]


def plain(steps: Sequence[RunStep]) -> list[Made]:
    """The steps without those that a dialect adds."""
    found: list[Made] = []
    for step in steps:
        match step.step_details:
            case MessageCreationStepDetails():
                found.append(Made(step.status, []))
            case ToolCallsStepDetails(tool_calls=calls) if not is_added(calls):
                found.append(Made(step.status, [call_of(call) for call in calls]))
            case details:
                assert isinstance(details, UnknownStepDetails | ToolCallsStepDetails)
    return found


def is_added(calls: Sequence[object]) -> bool:
    return any(isinstance(call, UnknownToolCall) for call in calls)


def call_of(call: object) -> Output:
    assert isinstance(call, FunctionToolCall)
    return call.function.name, call.function.arguments, call.function.output


def text_of(messages: Sequence[Message]) -> str:
    parts = [part for message in messages for part in message.content]
    return "".join(part.text.value for part in parts if isinstance(part, TextContentBlock))


class House:
    """An emulator that speaks a dialect, a client, and its tool."""

    def __init__(self, emulator: Emulator, client: Client) -> None:
        self.emulator = emulator
        self.client = client
        self.thread = emulator.add_thread(messages=[{"role": "user", "content": "Well?"}])["id"]
        self.assistant = emulator.add_assistant()["id"]
        self.asked: list[str] = []
        self.toolset = Toolset(self.weather)

    async def weather(self, city: str) -> str:
        """Tell the weather in a city."""
        self.asked.append(city)
        return f"sunny in {city}"

    async def follow(self, opening: RunStream) -> Told:
        accumulator, texts, pieces = Accumulator(), Texts(), list[str]()
        async with opening as stream:
            async for event in stream:
                accumulator.apply(event)
                pieces += texts.take(event)
                assert not event.replaced
        assert (accumulator.run, accumulator.steps) == (stream.run, stream.steps)
        assert "".join(pieces) == text_of(stream.messages)
        return Told(stream.outcome, text_of(stream.messages), plain(stream.steps), self.asked)


async def streamed(house: House) -> Told:
    return await house.follow(
        house.client.runs.stream(
            thread_id=house.thread, assistant_id=house.assistant, toolset=house.toolset
        )
    )


async def streamed_to_its_end(house: House) -> Told:
    async with house.client.runs.stream(
        thread_id=house.thread, assistant_id=house.assistant, toolset=house.toolset
    ) as stream:
        await stream.until_done()
    return Told(stream.outcome, text_of(stream.messages), plain(stream.steps), house.asked)


async def attached(house: House) -> Told:
    run = await house.client.runs.create(house.thread, assistant_id=house.assistant)
    return await house.follow(
        house.client.runs.attach(run.id, thread_id=house.thread, toolset=house.toolset)
    )


async def polled(house: House) -> Told:
    client = house.client
    run = await client.runs.create_and_poll(
        thread_id=house.thread, assistant_id=house.assistant, toolset=house.toolset
    )
    steps = [s async for s in client.runs.steps.list(run.id, thread_id=house.thread, order="asc")]
    messages = [m async for m in client.messages.list(house.thread, run_id=run.id, order="asc")]
    return Told(run.status, text_of(messages), plain(steps), house.asked)


async def told(way: Way, dialect: str) -> Told:
    async with (
        Emulator(scenario, dialect=dialect, poll_after_ms=1) as emulator,
        Client(base_url=emulator.base_url, api_key="any") as client,
    ):
        return await way(House(emulator, client))


WAYS = [streamed, streamed_to_its_end, attached, polled]


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("way", WAYS)
async def test_a_dialect_ends_as_the_plain_one(way: Way, dialect: str) -> None:
    found = await told(way, dialect)
    assert found == await told(way, "plain")
    assert (found.outcome, found.text) == ("completed", TEXT)
    assert sorted(found.asked) == ["Oslo", "Rome", "Rome"]
    outputs = [call[2] for step in found.steps for call in step.calls]
    assert outputs == ["sunny in Oslo", "sunny in Rome", "sunny in Rome"]


async def search(_: Context) -> AsyncGenerator[Action, Any]:
    approved = yield CallMcp("search", {"query": "x"}, output="Found.", approval=True)
    yield Say("It was " + ("found." if approved else "not allowed."))


@pytest.mark.parametrize("approve", [True, False])
async def test_a_call_waits_for_its_approval(*, approve: bool) -> None:
    async with (
        Emulator(search, dialect="azure") as emulator,
        Client(base_url=emulator.base_url, api_key="any") as client,
    ):
        house = House(emulator, client)
        async with client.runs.stream(
            thread_id=house.thread, assistant_id=house.assistant, toolset=house.toolset
        ) as stream:
            async for event in stream:
                if event.event == "thread.run.requires_action":
                    assert stream.run is not None
                    action = stream.run.required_action
                    assert isinstance(action, UnknownRequiredAction)
                    (call,) = action.value["submit_tool_approval"]["tool_calls"]
                    approval = {"tool_call_id": call["id"], "approve": approve}
                    await stream.submit_approvals([approval])
            assert stream.outcome == "completed"
        said = "It was found." if approve else "It was not allowed."
        assert text_of(stream.messages) == said
        mcp = [step for step in stream.steps if step.type == "tool_calls"][-1]
        assert isinstance(mcp.step_details, ToolCallsStepDetails)
        (call,) = mcp.step_details.tool_calls
        assert isinstance(call, UnknownToolCall)
        assert call.value.get("output") == ("Found." if approve else None)
