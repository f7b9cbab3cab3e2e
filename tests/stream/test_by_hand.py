"""Answering a run's required action by hand."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from asyncruns import (
    AmbiguousRequestError,
    AsyncRunsError,
    Client,
    RunHandler,
    StreamInterrupted,
    UnknownRequiredAction,
)
from asyncruns.calls import ToolOutput, calls_of
from tests.stream.frames import DONE, run_frame, stream_answer
from tests.stream.house import Follower, one_call, opened, say_hello, three_rounds
from tests.stream.proxy import CREATE, SUBMIT, Cut, Exchange, relay, stall, swallow
from tests.transport.wires import until, wire

if TYPE_CHECKING:
    from asyncruns import Run, RunStream

pytestmark = pytest.mark.anyio


def outputs_of(stream: RunStream) -> list[ToolOutput]:
    """An answer to what the run asks for."""
    return [ToolOutput(call.id, f"{call.function.arguments}!") for call in calls_of(stream.run)]


async def test_inside_the_loop_the_same_loop_goes_on() -> None:
    async with opened(three_rounds) as house:
        async with house.stream() as stream:
            seen = Follower(stream)
            async for event in stream:
                seen.take(event)
                if event.event == "thread.run.requires_action":
                    assert stream.outcome is None
                    await stream.submit(outputs_of(stream))
        assert stream.outcome == "completed"
        (await house.truth_of(stream)).assert_is(seen.accumulator)
        assert seen.names.count("thread.run.requires_action") == 3


async def test_after_the_loop_a_new_one_goes_on() -> None:
    async with opened(three_rounds) as house:
        async with house.stream() as stream:
            seen = Follower(stream)
            for _ in range(3):
                await seen.follow()
                assert stream.outcome == "requires_action"
                assert [event async for event in stream] == []
                await stream.submit(outputs_of(stream))
            await seen.follow()
            assert [event async for event in stream] == []
        assert stream.outcome == "completed"
        (await house.truth_of(stream)).assert_is(seen.accumulator)


async def test_plain_dicts_will_do() -> None:
    async with opened(one_call) as house:
        async with house.stream() as stream:
            await stream.until_done()
            call_id = calls_of(stream.run)[0].id
            await stream.submit([{"tool_call_id": call_id, "output": "wet"}])
            await stream.until_done()
        assert (await house.truth_of(stream)).text == "In Oslo it is wet."


async def test_a_handler_may_answer() -> None:
    class Answering(RunHandler):
        async def on_requires_action(self, run: Run) -> None:
            assert run.status == "requires_action"
            await stream.submit(outputs_of(stream))

    async with opened(three_rounds) as house:
        async with house.stream(event_handler=Answering()) as stream:
            seen = await Follower(stream).follow()
        (await house.truth_of(stream)).assert_is(seen.accumulator)
        assert house.proxy.count(SUBMIT) == 3


@pytest.mark.parametrize("size", [0, 1, 3])
async def test_wrong_outputs_are_not_sent(size: int) -> None:
    async with opened() as house, house.stream() as stream:
        await stream.until_done()
        right = outputs_of(stream)
        wrong = {0: [], 1: right[:1], 3: [*right, right[0]]}[size]
        with pytest.raises(ValueError, match="doubled" if size == 3 else "missing"):
            await stream.submit(wrong)
        with pytest.raises(ValueError, match="unknown: call_x"):
            await stream.submit([*right, ToolOutput("call_x", "")])
        assert house.proxy.count(SUBMIT) == 0
        await stream.submit(right)


async def test_there_must_be_something_to_answer() -> None:
    async with opened(one_call) as house:
        async with house.stream() as stream:
            with pytest.raises(AsyncRunsError, match="nothing to answer"):
                await stream.submit([])
            await stream.until_done()
            outputs = outputs_of(stream)
            await stream.submit(outputs)
            with pytest.raises(AsyncRunsError, match="answered already"):
                await stream.submit(outputs)
            await stream.until_done()
            with pytest.raises(AsyncRunsError, match="nothing to answer"):
                await stream.submit_approvals([])
        assert house.proxy.count(SUBMIT) == 1


async def test_a_closed_stream_takes_no_answer() -> None:
    async with opened(one_call) as house:
        async with house.stream() as stream:
            await stream.until_done()
        with pytest.raises(StreamInterrupted, match="closed here"):
            await stream.submit(outputs_of(stream))
        assert stream.outcome == "requires_action"
        assert house.proxy.count(SUBMIT) == 0


async def test_an_answer_from_another_task_is_refused_while_one_is_reading() -> None:
    async with opened(one_call) as house:
        house.proxy.plan(CREATE, stall(after="thread.run.requires_action"))
        async with house.stream() as stream:
            reading = asyncio.create_task(stream.until_done())
            await until(lambda: calls_of(stream.run))
            with pytest.raises(AsyncRunsError, match="another task is reading"):
                await stream.submit(outputs_of(stream))
            await stream.aclose()
            await reading
        assert house.proxy.count(SUBMIT) == 0


async def test_an_answer_that_gets_through_to_a_closed_stream_leaves_nothing_open() -> None:
    arrived, leave = asyncio.Event(), asyncio.Event()

    async def wait(exchange: Exchange) -> None:
        arrived.set()
        await leave.wait()
        await relay(exchange)

    async with opened(one_call) as house:
        house.proxy.plan(SUBMIT, wait)
        async with house.stream() as stream:
            await stream.until_done()
            answering = asyncio.create_task(stream.submit(outputs_of(stream)))
            await arrived.wait()
            await stream.aclose()
            leave.set()
            with pytest.raises(StreamInterrupted, match="closed here"):
                await answering
            assert house.held == 0


@pytest.mark.parametrize("forward", [False, True])
async def test_an_answer_that_failed_may_be_given_again(*, forward: bool) -> None:
    async with opened(one_call) as house:
        house.proxy.plan(SUBMIT, swallow(forward=forward))
        async with house.stream() as stream:
            seen = await Follower(stream).follow()
            with pytest.raises(AmbiguousRequestError):
                await stream.submit(outputs_of(stream))
            await seen.follow()  # a look at the run tells
            if not forward:
                await stream.submit(outputs_of(stream))
                await seen.follow()
        assert stream.outcome == "completed"
        assert house.proxy.count(SUBMIT) == (1 if forward else 2)
        (await house.truth_of(stream)).assert_is(seen.accumulator)


@pytest.mark.parametrize("events", range(1, 12))
async def test_a_pause_that_was_found_by_looking_is_answered_in_the_loop(events: int) -> None:
    async with opened(one_call) as house:
        house.proxy.plan(CREATE, Cut(events=events))
        async with house.stream() as stream:
            seen = Follower(stream)
            async for event in stream:
                seen.take(event)
                if event.event == "thread.run.requires_action":
                    await stream.submit(outputs_of(stream))
        truth = await house.truth_of(stream)
        truth.assert_is(seen.accumulator)
        assert "".join(seen.texts) == truth.text


async def test_approvals_are_sent_as_they_are() -> None:
    action: dict[str, Any] = {
        "type": "submit_tool_approval",
        "submit_tool_approval": {"tool_calls": [{"id": "call_1", "type": "mcp"}]},
    }
    first = stream_answer(run_frame("requires_action", required_action=action), DONE)
    second = stream_answer(run_frame("completed"), DONE)
    approvals = [{"tool_call_id": "call_1", "approve": True}]
    async with (
        wire(first, second) as server,
        Client(base_url=server.url, api_key="") as client,
        client.runs.stream(thread_id="thread_1", assistant_id="asst_1") as stream,
    ):
        await stream.until_done()
        assert str(stream.outcome) == "requires_action"
        assert stream.run is not None
        assert isinstance(stream.run.required_action, UnknownRequiredAction)
        with pytest.raises(ValueError, match="unknown: call_1"):
            await stream.submit([ToolOutput("call_1", "yes")])
        await stream.submit_approvals(approvals)
        await stream.until_done()
        assert stream.outcome == "completed"
    assert server.requests[1].target.endswith("/threads/thread_1/runs/run_1/submit_tool_outputs")
    assert json.loads(server.requests[1].body) == {"tool_approvals": approvals, "stream": True}


async def test_a_stream_of_a_submit_is_a_whole_stream() -> None:
    async with opened(one_call) as house:
        thread_id = house.thread()
        run = await house.emulator.add_run(thread_id, house.assistant)
        call_id = run["required_action"]["submit_tool_outputs"]["tool_calls"][0]["id"]
        house.proxy.plan(SUBMIT, Cut(events=0))
        async with house.client.runs.submit_tool_outputs_stream(
            run["id"], thread_id=thread_id, tool_outputs=[{"tool_call_id": call_id, "output": "so"}]
        ) as stream:
            seen = await Follower(stream).follow()
        (await house.truth_of(stream)).assert_is(seen.accumulator)


async def test_iterating_needs_an_open_stream() -> None:
    async with opened(say_hello) as house:
        stream = house.stream()
        with pytest.raises(AsyncRunsError, match="not open"):
            await stream.until_done()
        async with stream:
            await stream.until_done()
        assert stream.outcome == "completed"
        with pytest.raises(AsyncRunsError, match="closed"):
            await stream.__aenter__()
