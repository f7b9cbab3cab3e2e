"""The life of a run: its thread's lock, tool outputs, cancelling, expiry, lost listeners."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from asyncruns.emulator import (
    Action,
    Call,
    Context,
    Fail,
    Incomplete,
    ManualClock,
    Parallel,
    RunCode,
    Say,
    Wait,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from asyncruns.emulator import Script
    from tests.emulator.conftest import Api, Json, Serve

pytestmark = pytest.mark.anyio

MINUTE = 60


async def ask_twice(_context: Context) -> AsyncGenerator[Action, Any]:
    outputs = yield Parallel(
        Call("add", {"to": 1}, id="call_a"), Call("add", {"to": 2}, id="call_b")
    )
    yield Say(" and ".join(outputs))


async def say_and_wait(_context: Context) -> AsyncGenerator[Action, Any]:
    yield Say("One moment.")
    yield Wait(MINUTE)
    yield Say("Done.")


async def preloaded(serve: Serve, script: Script, **options: Any) -> tuple[Api, str]:
    """Return an emulator with a run that has gone as far as it can, and the run's path."""
    api = await serve(script, **options)
    api.emulator.add_assistant(id="assistant_id")
    api.emulator.add_thread(id="thread_id")
    await api.emulator.add_run("thread_id", "assistant_id", id="run_id")
    return api, "/threads/thread_id/runs/run_id"


async def ended(api: Api, path: str) -> Json:
    """Return the run once it is over."""
    over = {"completed", "incomplete", "failed", "cancelled", "expired"}
    while True:
        run = await api.get(path)
        if run["status"] in over:
            return run


def outputs(*call_ids: str) -> Json:
    return {"tool_outputs": [{"tool_call_id": one, "output": f"<{one}>"} for one in call_ids]}


async def test_a_run_that_is_not_streamed_goes_on_in_the_background(serve: Serve) -> None:
    api = await serve()
    thread_id, assistant_id = await api.thread()
    run = await api.post(f"/threads/{thread_id}/runs", assistant_id=assistant_id)
    assert (run["status"], run["started_at"], run["usage"]) == ("queued", None, None)
    done = await ended(api, f"/threads/{thread_id}/runs/{run['id']}")
    assert done["status"] == "completed"
    assert done["expires_at"] is None
    assert done["completed_at"] >= done["started_at"] >= done["created_at"]


async def test_a_second_run_on_a_live_thread_is_refused(serve: Serve) -> None:
    api, path = await preloaded(serve, ask_twice)
    error = await api.refused("POST", "/threads/thread_id/runs", {"assistant_id": "assistant_id"})
    assert error == {
        "status": 400,
        "message": "Thread thread_id already has an active run run_id.",
        "type": "invalid_request_error",
        "param": None,
        "code": None,
    }
    await api.post(f"{path}/cancel")
    await ended(api, path)
    await api.post("/threads/thread_id/runs", assistant_id="assistant_id")


async def test_a_message_on_a_live_thread_is_refused(serve: Serve) -> None:
    api, _ = await preloaded(serve, ask_twice)
    body = {"role": "user", "content": "x"}
    error = await api.refused("POST", "/threads/thread_id/messages", body)
    assert (error["status"], error["code"]) == (400, None)
    assert error["message"] == "Can't add messages to thread_id while a run run_id is active."


@pytest.mark.parametrize(
    "call_ids",
    [
        (),
        ("call_a",),
        ("call_a", "call_a"),
        ("call_a", "call_x"),
        ("call_a", "call_b", "call_b"),
        ("call_a", "call_b", "call_x"),
    ],
)
async def test_outputs_that_do_not_answer_each_call_once_are_refused(
    serve: Serve, call_ids: tuple[str, ...]
) -> None:
    api, path = await preloaded(serve, ask_twice)
    error = await api.refused("POST", f"{path}/submit_tool_outputs", outputs(*call_ids))
    assert (error["status"], error["param"]) == (400, "tool_outputs")
    assert error["message"] == (
        f"Expected tool outputs for call_ids ['call_a', 'call_b'], got {list(call_ids)}."
    )
    assert (await api.get(path))["status"] == "requires_action"


async def test_outputs_reach_the_script_in_the_order_of_its_calls(serve: Serve) -> None:
    api, path = await preloaded(serve, ask_twice)
    run = await api.post(f"{path}/submit_tool_outputs", **outputs("call_b", "call_a"))
    assert (run["status"], run["required_action"]) == ("queued", None)
    await ended(api, path)
    (said,) = (await api.get("/threads/thread_id/messages"))["data"]
    assert said["content"][0]["text"]["value"] == "<call_a> and <call_b>"


async def test_outputs_are_refused_by_a_run_that_awaits_none(serve: Serve) -> None:
    api, path = await preloaded(serve, ask_twice)
    await api.post(f"{path}/submit_tool_outputs", **outputs("call_a", "call_b"))
    await ended(api, path)
    error = await api.refused("POST", f"{path}/submit_tool_outputs", outputs("call_a", "call_b"))
    assert (error["status"], error["message"]) == (
        400,
        "Runs in status 'completed' do not accept tool outputs.",
    )


async def test_cancelling_ends_a_run_and_its_step(serve: Serve) -> None:
    api, path = await preloaded(serve, ask_twice)
    run = await api.post(f"{path}/cancel")
    assert (run["status"], run["required_action"]) == ("cancelling", None)
    run = await ended(api, path)
    assert run["status"] == "cancelled"
    assert run["cancelled_at"] is not None
    assert run["expires_at"] is None
    (step,) = (await api.get(f"{path}/steps"))["data"]
    assert (step["status"], step["completed_at"]) == ("cancelled", None)
    assert step["cancelled_at"] == run["cancelled_at"]


async def test_a_run_that_is_over_cannot_be_cancelled(serve: Serve) -> None:
    api, path = await preloaded(serve, ask_twice)
    await api.post(f"{path}/cancel")
    await ended(api, path)
    error = await api.refused("POST", f"{path}/cancel")
    assert (error["status"], error["message"]) == (
        400,
        "Cannot cancel run with status 'cancelled'.",
    )


async def test_cancelling_during_a_stream_is_seen_on_it(serve: Serve) -> None:
    api = await serve(token_rate=1000)

    async def script(_context: Context) -> AsyncGenerator[Action, Any]:
        yield Say(["endless"] * 10_000)

    api.emulator.script = script
    thread_id, assistant_id = await api.thread()
    names: list[str] = []
    last: Json = {}
    async with api.open(f"/threads/{thread_id}/runs", assistant_id=assistant_id) as events:
        async for event in events:
            names.append(event.name)
            if event.name == "thread.message.incomplete":
                last = event.data
            if names.count("thread.message.delta") == 3 and names[-1] == "thread.message.delta":
                run_id = (await api.get(f"/threads/{thread_id}/runs"))["first_id"]
                await api.post(f"/threads/{thread_id}/runs/{run_id}/cancel")
    assert [name for name in names if name != "thread.message.delta"][-5:] == [
        "thread.run.cancelling",
        "thread.message.incomplete",
        "thread.run.step.cancelled",
        "thread.run.cancelled",
        "done",
    ]
    assert last["incomplete_details"] == {"reason": "run_cancelled"}
    said = last["content"][0]["text"]["value"]
    assert said == "endless" * names.count("thread.message.delta")
    assert await api.get(f"/threads/{thread_id}/messages/{last['id']}") == last


async def test_a_run_that_requires_action_expires(serve: Serve) -> None:
    clock = ManualClock(start=1_000_000)
    api, path = await preloaded(serve, ask_twice, clock=clock)
    api.emulator.clock.advance(599)
    assert (await api.get(path))["status"] == "requires_action"
    api.emulator.clock.advance(1)
    run = await api.get(path)
    assert (run["status"], run["expires_at"], run["required_action"]) == ("expired", None, None)
    (step,) = (await api.get(f"{path}/steps"))["data"]
    assert (step["status"], step["expires_at"]) == ("expired", 1_000_600)
    assert "expired_at" not in step
    error = await api.refused("POST", f"{path}/submit_tool_outputs", outputs("call_a", "call_b"))
    assert error["status"] == 400


async def test_submitting_does_not_put_off_the_expiry(serve: Serve) -> None:
    async def script(_context: Context) -> AsyncGenerator[Action, Any]:
        yield Call("add", id="call_a")
        yield Wait(599)

    clock = ManualClock()
    api, path = await preloaded(serve, script, clock=clock)
    clock.advance(2)
    await api.post(f"{path}/submit_tool_outputs", **outputs("call_a"))
    clock.advance(598)
    assert (await api.get(path))["status"] == "expired"


async def test_expiry_is_seen_on_a_stream(serve: Serve) -> None:
    clock = ManualClock()

    async def script(_context: Context) -> AsyncGenerator[Action, Any]:
        yield RunCode("1 + 1")
        yield Wait(10 * MINUTE + 1)

    api = await serve(script, clock=clock)
    thread_id, assistant_id = await api.thread()
    names: list[str] = []
    async with api.open(f"/threads/{thread_id}/runs", assistant_id=assistant_id) as events:
        async for event in events:
            names.append(event.name)
            if event.name == "thread.run.step.completed":
                clock.advance(601)
    assert names[-2:] == ["thread.run.expired", "done"]


async def test_the_systems_clock_can_be_moved_ahead_too(serve: Serve) -> None:
    api, path = await preloaded(serve, ask_twice)
    api.emulator.clock.advance(601)
    assert (await api.get(path))["status"] == "expired"


async def test_a_run_lives_as_long_as_the_emulator_says(serve: Serve) -> None:
    clock = ManualClock()
    api, path = await preloaded(serve, ask_twice, clock=clock, run_lifetime=30 * MINUTE)
    clock.advance(29 * MINUTE)
    assert (await api.get(path))["status"] == "requires_action"
    clock.advance(MINUTE)
    assert (await api.get(path))["status"] == "expired"


async def test_waiting_is_by_the_emulators_clock(serve: Serve) -> None:
    clock = ManualClock()
    api, path = await preloaded(serve, say_and_wait, clock=clock)
    assert (await api.get(path))["status"] == "in_progress"
    clock.advance(MINUTE)
    assert (await ended(api, path))["status"] == "completed"
    assert len((await api.get(f"{path}/steps"))["data"]) == 2


async def test_a_run_goes_on_when_its_listener_leaves(serve: Serve) -> None:
    api = await serve(say_and_wait, clock=ManualClock())
    thread_id, assistant_id = await api.thread()
    async with api.open(f"/threads/{thread_id}/runs", assistant_id=assistant_id) as events:
        run_id = (await anext(events)).data["id"]
    api.emulator.clock.advance(MINUTE)
    path = f"/threads/{thread_id}/runs/{run_id}"
    assert (await ended(api, path))["status"] == "completed"
    assert (await api.get(f"/threads/{thread_id}/messages"))["data"][0]["status"] == "completed"


async def test_what_has_been_said_so_far_can_be_read(serve: Serve) -> None:
    api = await serve(token_rate=1000)

    async def script(_context: Context) -> AsyncGenerator[Action, Any]:
        yield Say(["so "] * 10_000)

    api.emulator.script = script
    thread_id, assistant_id = await api.thread()
    async with api.open(f"/threads/{thread_id}/runs", assistant_id=assistant_id) as events:
        async for event in events:
            if event.name == "thread.message.delta":
                break
        message = (await api.get(f"/threads/{thread_id}/messages"))["data"][0]
    assert message["status"] == "in_progress"
    assert message["content"][0]["text"]["value"].startswith("so ")


async def test_a_failed_run_says_why(serve: Serve) -> None:
    async def script(_context: Context) -> AsyncGenerator[Action, Any]:
        yield RunCode("1 / 0")
        yield Fail("rate_limit_exceeded", "Please try again in 20 seconds.")
        yield Say("Never said.")

    api, path = await preloaded(serve, script)
    run = await api.get(path)
    assert run["status"] == "failed"
    assert run["last_error"] == {
        "code": "rate_limit_exceeded",
        "message": "Please try again in 20 seconds.",
    }
    assert run["failed_at"] is not None
    (step,) = (await api.get(f"{path}/steps"))["data"]
    assert step["status"] == "completed"
    assert run["usage"] == step["usage"]


@pytest.mark.parametrize(
    ("ending", "events", "reason"),
    [
        (
            Fail(),
            ["thread.message.incomplete", "thread.run.step.failed", "thread.run.failed", "done"],
            "run_failed",
        ),
        (
            Incomplete("max_completion_tokens"),
            [
                "thread.message.incomplete",
                "thread.run.step.completed",
                "thread.run.incomplete",
                "done",
            ],
            "max_tokens",
        ),
        (
            Incomplete("content_filter"),
            [
                "thread.message.incomplete",
                "thread.run.step.completed",
                "thread.run.incomplete",
                "done",
            ],
            "content_filter",
        ),
    ],
)
async def test_a_message_can_be_broken_off(
    serve: Serve, ending: Fail | Incomplete, events: list[str], reason: str
) -> None:
    async def script(_context: Context) -> AsyncGenerator[Action, Any]:
        yield Say("Once upon a", ending=ending)

    api = await serve(script)
    path, seen = await api.run()
    assert [event.name for event in seen[-4:]] == events
    message, step, run = (event.data for event in seen[-4:-1])
    assert message["content"][0]["text"]["value"] == "Once upon a"
    assert (message["status"], message["incomplete_details"]) == ("incomplete", {"reason": reason})
    assert step["last_error"] == run["last_error"]
    if isinstance(ending, Incomplete):
        assert run["incomplete_details"] == {"reason": ending.reason}
    assert await api.get(path) == run


async def test_a_tool_step_can_fail(serve: Serve) -> None:
    async def script(_context: Context) -> AsyncGenerator[Action, Any]:
        yield Parallel(Call("add"), RunCode("1"), ending=Fail("server_error", "Oh."))

    api = await serve(script)
    path, seen = await api.run()
    assert [event.name for event in seen[-3:]] == [
        "thread.run.step.failed",
        "thread.run.failed",
        "done",
    ]
    (step,) = (await api.get(f"{path}/steps"))["data"]
    assert step["last_error"] == {"code": "server_error", "message": "Oh."}
    assert step["failed_at"] is not None


@pytest.mark.parametrize("nonsense", [None, 3, "Hello"])
async def test_a_script_that_yields_nonsense_fails_its_run(
    serve: Serve, nonsense: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def script(_context: Context) -> AsyncGenerator[Action, Any]:
        yield nonsense

    api, path = await preloaded(serve, script)
    run = await api.get(path)
    assert run["status"] == "failed"
    assert repr(nonsense) in run["last_error"]["message"]
    assert "run_id" in caplog.text


async def test_a_script_that_raises_fails_its_run_and_is_logged(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    async def script(_context: Context) -> AsyncGenerator[Action, Any]:
        yield Say("Hm.")
        raise LookupError("no idea")

    api, path = await preloaded(serve, script)
    run = await api.get(path)
    assert run["last_error"] == {
        "code": "server_error",
        "message": "The script raised LookupError('no idea')",
    }
    assert "no idea" in caplog.text


async def test_a_script_is_closed_when_its_run_is_cancelled(serve: Serve) -> None:
    closed = asyncio.Event()

    async def script(_context: Context) -> AsyncGenerator[Action, Any]:
        try:
            yield Call("add")
        finally:
            closed.set()

    api, path = await preloaded(serve, script)
    await api.post(f"{path}/cancel")
    await ended(api, path)
    assert closed.is_set()


async def test_a_script_that_ignores_its_end_changes_nothing(serve: Serve) -> None:
    async def script(_context: Context) -> AsyncGenerator[Action, Any]:
        try:
            yield Wait(1)
            await asyncio.sleep(MINUTE)
        except asyncio.CancelledError:
            yield Say("I go on.")

    clock = ManualClock()
    api, path = await preloaded(serve, script, clock=clock)
    clock.advance(1)
    await api.get(path)
    clock.advance(600)
    await api.get(path)
    assert (await api.get(path))["status"] == "expired"
    assert (await api.get(f"{path}/steps"))["data"] == []


async def test_deleting_a_thread_ends_the_stream_of_its_run(serve: Serve) -> None:
    api = await serve(say_and_wait, clock=ManualClock())
    thread_id, assistant_id = await api.thread()
    names: list[str] = []
    async with api.open(f"/threads/{thread_id}/runs", assistant_id=assistant_id) as events:
        async for event in events:
            names.append(event.name)
            if event.name == "thread.run.step.completed":
                await api.delete(f"/threads/{thread_id}")
    assert names[-1] == "thread.run.step.completed"
