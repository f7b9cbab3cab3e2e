"""Streams that are whole as HTTP, and still lose, repeat or swap what they tell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from asyncruns.emulator import Action, Call, Context, Fault, Say
from asyncruns.texts import Texts
from tests.stream.house import Follower, opened, say_hello
from tests.stream.proxy import RETRIEVE

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

pytestmark = pytest.mark.anyio

STEP_ENDS = 11
"""How many events of `say_hello` come before its step's end."""


async def say_and_ask_and_say(_: Context) -> AsyncGenerator[Action, Any]:
    yield Say("Before.")
    yield Call("weather", {"city": "Oslo"})
    yield Say(["Af", "ter."])


async def test_an_end_that_was_lost_is_looked_up() -> None:
    async with opened(say_hello, faults=[Fault("drop", after_events=STEP_ENDS)]) as house:
        async with house.stream() as stream:
            seen = await Follower(stream).follow()
        assert seen.names[-2:] == ["done", "thread.run.step.completed"]
        assert seen.events[-1].recovered
        (await house.truth_of(stream)).assert_is(seen.accumulator)
        assert house.proxy.count(RETRIEVE) == 1


async def test_an_end_that_was_lost_stays_open_where_nothing_is_to_be_repaired() -> None:
    async with opened(say_hello, faults=[Fault("drop", after_events=STEP_ENDS)]) as house:
        async with house.stream(on_interrupt="raise") as stream:
            await Follower(stream).follow()
        assert stream.outcome == "completed"
        assert [step.status for step in stream.steps] == ["in_progress"]
        assert house.proxy.count(RETRIEVE) == 0


async def test_after_the_end_a_look_that_fails_is_no_error() -> None:
    faults = [
        Fault("drop", after_events=STEP_ENDS),
        Fault("status", "runs.retrieve", status=404),
    ]
    async with opened(say_hello, faults=faults) as house:
        async with house.stream() as stream:
            await Follower(stream).follow()
        assert stream.outcome == "completed"
        assert [step.status for step in stream.steps] == ["in_progress"]
        assert house.proxy.count(RETRIEVE) == 1


@pytest.mark.parametrize("kind", ["duplicate", "invalid_utf8", "drop"])
async def test_a_text_that_is_not_what_its_deltas_said_is_marked(kind: Any) -> None:
    async with opened(say_hello, faults=[Fault(kind, after_events=7)]) as house:
        texts, pieces = Texts(), list[str]()
        async with house.stream() as stream:
            seen = await Follower(stream).follow()
        for event in seen.events:
            pieces += texts.take(event)
        (ended,) = [e for e in seen.events if e.event == "thread.message.completed"]
        assert ended.replaced
        assert "".join(pieces) != "Hello."
        (await house.truth_of(stream)).assert_is(seen.accumulator)


async def test_a_text_whose_end_was_lost_is_not_marked() -> None:
    """The rest of it comes with the whole message."""
    async with opened(say_hello, faults=[Fault("drop", after_events=9)]) as house:
        async with house.stream() as stream:
            pieces = [piece async for piece in stream.text_deltas]
        assert pieces == ["Hel", "lo", "."]


@pytest.mark.parametrize("place", range(8))
async def test_a_submit_stream_tells_nothing_from_before_it_even_repaired(place: int) -> None:
    async with opened(say_and_ask_and_say) as house:
        thread_id = house.thread()
        run = await house.emulator.add_run(thread_id, house.assistant)
        (call,) = run["required_action"]["submit_tool_outputs"]["tool_calls"]
        house.emulator.faults = [Fault("close", after_events=place)]
        outputs: Any = [{"tool_call_id": call["id"], "output": "sunny"}]
        async with house.client.runs.submit_tool_outputs_stream(
            run["id"], thread_id=thread_id, tool_outputs=outputs
        ) as stream:
            seen = await Follower(stream).follow()
        truth = await house.truth(thread_id)
        assert "".join(seen.texts) == "After."
        assert [step.id for step in stream.steps] == [step["id"] for step in truth.steps[1:]]
        assert [said.id for said in stream.messages] == [said["id"] for said in truth.messages[1:]]
