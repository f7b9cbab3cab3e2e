"""How a stream ends: honestly, late, with an error, or not at all."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any

import pytest

from asyncruns import (
    APIConnectionError,
    APITimeoutError,
    RunFailedError,
    RunStream,
    RunStreamError,
    RunTimeoutError,
    StreamError,
    StreamInterrupted,
)
from asyncruns import stream as stream_room
from asyncruns.emulator import Action, Call, Context, Fail, Incomplete, ManualClock, Say, Wait
from tests.stream.frames import frame, run_frame
from tests.stream.house import Follower, Tools, assert_same, one_call, opened, say_hello
from tests.stream.proxy import CREATE, RETRIEVE, SUBMIT, Cut, answer, inject, stall

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from asyncruns.emulator import Script

pytestmark = pytest.mark.anyio

ERROR = {"message": "Too hot.", "type": "server_error", "param": None, "code": "overheated"}
DONE = frame("done", "[DONE]")


async def hello_and_wait(_: Context) -> AsyncGenerator[Action, Any]:
    yield Say(["Hel", "lo"])
    yield Wait(3600)
    yield Say("never")


async def wait_a_moment(_: Context) -> AsyncGenerator[Action, Any]:
    yield Say("One moment.")
    yield Wait(0.05)
    yield Say("Here I am.")


# `error` events


@pytest.mark.parametrize("data", [ERROR, {"error": ERROR}], ids=["bare", "wrapped"])
async def test_an_error_of_a_run_that_goes_on_is_raised(data: object) -> None:
    async with opened(hello_and_wait) as house:
        error = frame("error", data) + DONE
        house.proxy.plan(CREATE, inject(error, after="thread.message.completed", then="end"))
        async with house.stream() as stream:
            seen = Follower(stream)
            with pytest.raises(RunStreamError, match=r"Too hot\. \(code overheated\)") as caught:
                await seen.follow()
        assert house.proxy.count(RETRIEVE) == 1
        assert "error" in seen.names
        assert stream.outcome == "interrupted"
        assert caught.value.error.type == "server_error"
        assert caught.value.run == stream.run
        assert caught.value.messages == stream.messages
        assert "".join(seen.texts) == "Hello"
        seen.assert_same()


async def test_an_error_of_a_run_that_has_ended_is_no_error() -> None:
    async with opened(say_hello) as house:
        error = frame("error", ERROR) + DONE
        house.proxy.plan(CREATE, inject(error, after="thread.run.in_progress", then="end"))
        async with house.stream() as stream:
            seen = await Follower(stream).follow()
        assert stream.outcome == "completed"
        assert house.proxy.count(RETRIEVE) == 1
        (await house.truth_of(stream)).assert_is(seen.accumulator)


async def test_an_error_before_a_pause_is_no_error() -> None:
    tools = Tools()
    async with opened(one_call) as house:
        error = frame("error", ERROR) + DONE
        house.proxy.plan(CREATE, inject(error, after="thread.run.in_progress", then="end"))
        async with house.stream(toolset=tools.set) as stream:
            seen = await Follower(stream).follow()
        assert stream.outcome == "completed"
        assert tools.asked == ["Oslo"]
        (await house.truth_of(stream)).assert_is(seen.accumulator)


async def call_and_wait(_: Context) -> AsyncGenerator[Action, Any]:
    yield Call("weather", {"city": "Oslo"})
    yield Wait(0.3)


async def test_an_error_before_a_pause_is_forgotten_after_it() -> None:
    async with opened(call_and_wait) as house:
        error = frame("error", ERROR) + DONE
        house.proxy.plan(CREATE, inject(error, after="thread.run.in_progress", then="end"))
        house.proxy.plan(SUBMIT, Cut(events=3))
        async with house.stream(toolset=Tools().set) as stream:
            seen = await Follower(stream).follow()
        assert stream.outcome == "completed"
        (await house.truth_of(stream)).assert_is(seen.accumulator)


async def test_an_error_with_nobody_to_look_is_raised() -> None:
    async with opened(say_hello) as house:
        error = frame("error", ERROR) + DONE
        house.proxy.plan(CREATE, inject(error, after="thread.run.in_progress", then="end"))
        async with house.stream(on_interrupt="raise") as stream:
            with pytest.raises(RunStreamError):
                await stream.until_done()
        assert house.proxy.count(RETRIEVE) == 0


# Ends that are none


async def test_done_before_the_end_is_repaired() -> None:
    async with opened(wait_a_moment) as house:
        house.proxy.plan(CREATE, inject(DONE, after="thread.message.completed"))
        async with house.stream() as stream:
            seen = await Follower(stream).follow()
        assert "".join(seen.texts) == "One moment.Here I am."
        assert house.proxy.count(RETRIEVE) > 1
        (await house.truth_of(stream)).assert_is(seen.accumulator)


async def test_done_before_the_end_is_an_interruption_without_a_cause() -> None:
    async with opened(say_hello) as house:
        house.proxy.plan(CREATE, inject(DONE, after="thread.run.in_progress"))
        async with house.stream(on_interrupt="raise") as stream:
            with pytest.raises(StreamInterrupted, match="the server closed it") as caught:
                await stream.until_done()
        assert caught.value.__cause__ is None


@pytest.mark.parametrize("defers", [False, True])
@pytest.mark.parametrize(
    "garbage",
    [
        frame("thread.run.in_progress", "{"),
        frame("thread.message.delta", '{"id":"msg_x"'),
        frame("thread.run.step.delta", '{"id":"s","delta":{"step_details":{"type":"tool_calls",'
              '"tool_calls":[{"index":-1,"type":"function"}]}}}'),
        b"event: thread.run.failed\ndata: \xff\n\n",
    ],
)  # fmt: skip
async def test_garbage_before_the_end_is_repaired(garbage: bytes, *, defers: bool) -> None:
    async with opened(say_hello) as house:
        house.proxy.plan(CREATE, inject(garbage, after="thread.message.in_progress"))
        async with house.stream() as stream:
            await (stream.until_done() if defers else Follower(stream).follow())
        assert stream.outcome == "completed"
        (await house.truth_of(stream)).assert_is(stream)


@pytest.mark.parametrize("defers", [False, True])
async def test_a_delta_that_cannot_be_read_is_repaired(*, defers: bool) -> None:
    garbage = frame("thread.run.step.delta", '{"id":"<id>","delta":{"step_details":7}}')
    async with opened(one_call) as house:
        house.proxy.plan(CREATE, inject(garbage, after="thread.run.step.in_progress"))
        async with house.stream() as stream:
            await (stream.until_done() if defers else Follower(stream).follow())
        assert stream.outcome == "requires_action"
        assert house.proxy.count(RETRIEVE) == 1
        assert_same(stream.steps, (await house.truth_of(stream)).steps)


@pytest.mark.parametrize("defers", [False, True])
@pytest.mark.parametrize("garbage", [frame("thread.run.failed", "{"), b"data: [DON"])
async def test_garbage_after_the_end_is_no_error(garbage: bytes, *, defers: bool) -> None:
    async with opened(say_hello) as house:
        house.proxy.plan(CREATE, inject(garbage, after="thread.run.completed", then="end"))
        async with house.stream(on_interrupt="raise") as stream:
            await (stream.until_done() if defers else Follower(stream).follow())
        assert stream.outcome == "completed"
        (await house.truth_of(stream)).assert_is(stream)


async def test_a_stream_that_stays_open_after_the_end_is_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stream_room, "LINGER", 0.05)
    async with opened(say_hello) as house:
        house.proxy.plan(CREATE, stall(after="thread.run.completed", comments=True))
        async with house.stream() as stream:
            await stream.until_done()
            assert stream.outcome == "completed"
            assert house.held == 0


async def test_a_deadline_that_passes_after_the_end_is_no_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stream_room, "LINGER", 0.6)
    async with opened(say_hello) as house:
        house.proxy.plan(CREATE, stall(after="thread.run.completed"))
        async with house.stream(deadline=0.5) as stream:
            await stream.until_done()
            assert stream.outcome == "completed"


# Silence


async def test_silence_is_repaired() -> None:
    async with opened(say_hello) as house:
        house.proxy.plan(CREATE, stall(after="thread.message.in_progress"))
        async with house.stream(idle_timeout=0.1) as stream:
            seen = await Follower(stream).follow()
            assert house.held == 0
        assert any(event.recovered for event in seen.events)
        (await house.truth_of(stream)).assert_is(seen.accumulator)


async def test_silence_is_the_cause_of_an_interruption() -> None:
    async with opened(say_hello) as house:
        house.proxy.plan(CREATE, stall(after="thread.message.in_progress"))
        async with house.stream(idle_timeout=0.1, on_interrupt="raise") as stream:
            with pytest.raises(StreamInterrupted, match=r"no byte came for 0\.1 s") as caught:
                await stream.until_done()
        assert isinstance(caught.value.__cause__, APITimeoutError)


async def test_comments_are_life() -> None:
    async with opened(say_hello) as house:
        house.proxy.plan(CREATE, stall(after="thread.message.in_progress", comments=True))
        # Comments come each 20 ms, so only the deadline can end this.
        async with house.stream(idle_timeout=0.3, deadline=0.8) as stream:
            with pytest.raises(RunTimeoutError):
                await stream.until_done()
        assert house.proxy.count(RETRIEVE) == 0


async def test_a_slow_reader_is_not_taken_for_silence() -> None:
    async with opened(say_hello) as house, house.stream(idle_timeout=0.2) as stream:
        async for event in stream:
            assert not event.recovered
            await asyncio.sleep(0.25 if event.event == "thread.message.created" else 0)
        assert stream.outcome == "completed"


async def test_a_source_may_outlive_being_given_up() -> None:
    stubborn = True

    async def bytes_of_a_run() -> AsyncGenerator[bytes]:
        nonlocal stubborn
        yield run_frame("queued")
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            stubborn = False  # and no word of it to anybody
        yield run_frame("in_progress")
        await asyncio.sleep(60)

    async def read() -> None:
        async with RunStream(bytes_of_a_run(), idle_timeout=0.05) as stream:
            async for event in stream:
                if event.event == "thread.run.in_progress":
                    task = asyncio.current_task()
                    assert task is not None
                    asyncio.get_running_loop().call_soon(task.cancel)

    reading = asyncio.create_task(read())
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert not stubborn
    assert reading.cancelling() == 1


# The deadline


async def test_the_deadline_ends_a_read() -> None:
    async with opened(hello_and_wait) as house:
        async with house.stream(deadline=0.5) as stream:
            with pytest.raises(RunTimeoutError, match=r"within 0\.5 s.*in_progress") as caught:
                await stream.until_done()
            assert caught.value.run == stream.run
            with pytest.raises(RunTimeoutError):
                await stream.until_done()
        assert (await house.truth_of(stream)).run["status"] == "in_progress"


async def test_the_deadline_ends_a_create() -> None:
    async with opened(say_hello) as house:
        house.proxy.plan(CREATE, stall(after=""))
        with pytest.raises(RunTimeoutError):
            async with house.stream(deadline=0.05):
                pass


async def test_the_deadline_ends_a_repair() -> None:
    async with opened(hello_and_wait) as house:
        house.proxy.plan(CREATE, Cut(events=9))
        async with house.stream(deadline=0.5) as stream:
            with pytest.raises(RunTimeoutError) as caught:
                await stream.until_done()
        assert house.proxy.count(RETRIEVE) > 1
        assert caught.value.run == stream.run


async def test_a_repair_without_progress_ends() -> None:
    async with opened(hello_and_wait) as house:
        house.proxy.plan(CREATE, Cut(events=9))
        async with house.stream(recovery_deadline=0.05) as stream:
            with pytest.raises(StreamInterrupted) as caught:
                await stream.until_done()
        assert caught.value.run == stream.run
        assert isinstance(caught.value.__cause__, APIConnectionError)
        assert "".join(part.text.value for part in stream.messages[0].content) == "Hello"  # type: ignore[union-attr]


# Outcomes


async def fail(_: Context) -> AsyncGenerator[Action, Any]:
    yield Fail("rate_limit_exceeded", "Rate limit reached. Please try again in 20s.")


async def break_off(_: Context) -> AsyncGenerator[Action, Any]:
    yield Say("Once upon a", ending=Incomplete("max_completion_tokens"))


@pytest.mark.parametrize(
    ("script", "outcome", "error"),
    [
        (say_hello, "completed", None),
        (fail, "failed", "failed: rate_limit_exceeded: Rate limit reached"),
        (break_off, "incomplete", "incomplete: max_completion_tokens"),
        (one_call, "requires_action", None),
    ],
)
async def test_the_outcome_is_the_run_s(script: Script, outcome: str, error: str | None) -> None:
    async with opened(script) as house:
        async with house.stream() as stream:
            assert stream.outcome is None
            async for _ in stream:
                pass
            assert stream.outcome == outcome
        assert stream.outcome == outcome
        if error is None:
            stream.raise_for_status()
        else:
            with pytest.raises(RunFailedError, match=re.escape(error)) as caught:
                stream.raise_for_status()
            assert caught.value.run == stream.run
            assert caught.value.retry_after == (20.0 if script is fail else None)


async def test_a_run_that_is_cancelled_under_its_stream() -> None:
    async with opened(hello_and_wait) as house:
        thread_id = house.thread()
        async with house.stream(thread_id) as stream:
            async for event in stream:
                if event.event == "thread.run.step.completed":
                    run_id = (await house.runs(thread_id))[0]["id"]
                    await house.post(f"/threads/{thread_id}/runs/{run_id}/cancel")
        assert stream.outcome == "cancelled"
        with pytest.raises(RunFailedError, match="cancelled"):
            stream.raise_for_status()


async def test_a_run_that_expires_under_its_stream() -> None:
    clock = ManualClock()
    async with opened(hello_and_wait, clock=clock) as house:
        async with house.stream() as stream:
            async for event in stream:
                if event.event == "thread.run.step.completed":
                    clock.advance(601)
        assert stream.outcome == "expired"


async def test_leaving_early_is_an_interruption() -> None:
    async with opened(say_hello) as house:
        async with house.stream() as stream:
            async for _ in stream:
                break
        assert stream.outcome == "interrupted"
        with pytest.raises(StreamInterrupted, match="closed here"):
            await stream.get_final_run()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("Please try again in 20s.", 20.0),
        ("Please try again in 1m30s.", 90.0),
        ("Please try again in 500ms.", 0.5),
        ("Please try again in 2 seconds.", 2.0),
        ("Please try again later.", None),
    ],
)
async def test_a_rate_limit_says_how_long_to_wait(text: str, seconds: float | None) -> None:
    async def limited(_: Context) -> AsyncGenerator[Action, Any]:
        yield Fail("rate_limit_exceeded", text)

    async with opened(limited) as house:
        async with house.stream() as stream:
            run = await stream.get_final_run()
        with pytest.raises(RunFailedError) as caught:
            run.raise_for_status()
        assert caught.value.retry_after == seconds


async def test_a_stream_without_a_run_has_no_final_run() -> None:
    async with opened(say_hello) as house:
        house.proxy.plan(CREATE, answer("200 OK", DONE, kind="text/event-stream"))
        async with house.stream() as stream:
            with pytest.raises(StreamError, match="unknown"):
                await stream.get_final_run()
