"""Following a run that is going already, as a stream and by polling."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from asyncruns import (
    BadRequestError,
    Client,
    MaxRoundsExceeded,
    NotFoundError,
    RunHandler,
    RunTimeoutError,
    StreamInterrupted,
    ToolError,
)
from asyncruns.calls import calls_of
from asyncruns.emulator import (
    Action,
    Call,
    Context,
    Fail,
    Found,
    Parallel,
    RunCode,
    Say,
    SearchFiles,
    Wait,
)
from asyncruns.toolset import Toolset
from tests.stream.house import Follower, Tools, one_call, opened, say_hello, three_rounds
from tests.stream.proxy import CANCEL, RETRIEVE, SUBMIT, Cut, answer, swallow
from tests.transport.wires import answer as answer_of
from tests.transport.wires import until, wire

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from asyncruns import Run, RunStep
    from asyncruns.emulator import Script
    from asyncruns.stream import RunStream
    from tests.stream.house import House

pytestmark = pytest.mark.anyio

INCLUDE = "step_details.tool_calls[*].file_search.results[*].content"


class Stages:
    """A script that stops at every stage until it is told to go on."""

    def __init__(self) -> None:
        self.gate = asyncio.Semaphore(0)

    async def __call__(self, _: Context) -> AsyncGenerator[Action, Any]:
        await self.gate.acquire()
        yield Say("First ")
        await self.gate.acquire()
        outputs = yield Parallel(
            Call("weather", {"city": "Oslo"}), Call("weather", {"city": "Rome"})
        )
        await self.gate.acquire()
        yield RunCode("print(1)", logs="1\n")
        await self.gate.acquire()
        yield SearchFiles([Found("file-1", "a.txt", text="found")])
        await self.gate.acquire()
        yield Say("; ".join(outputs))
        await self.gate.acquire()


def attached(house: House, run: dict[str, Any], **options: Any) -> RunStream:
    return house.client.runs.attach(run["id"], thread_id=run["thread_id"], **options)


async def begun(house: House) -> dict[str, Any]:
    """A run that has just been created."""
    return await house.post(
        f"/threads/{house.thread()}/runs", assistant_id=house.assistant, metadata={"k": "v"}
    )


@pytest.mark.parametrize("stage", range(7))
async def test_a_run_is_followed_from_any_stage(stage: int) -> None:
    stages, tools = Stages(), Tools()
    async with opened(stages) as house:
        run = await begun(house)
        for _ in range(stage):
            stages.gate.release()
        await asyncio.sleep(0.01)
        async with attached(house, run, toolset=tools.set) as stream:
            seen = await Follower(stream).first()
            for _ in range(stage, 7):
                stages.gate.release()
            await seen.follow()
        assert stream.outcome == "completed"
        truth = await house.truth_of(stream)
        truth.assert_is(seen.accumulator)
        assert "".join(seen.texts) == truth.text
        assert tools.asked == ["Oslo", "Rome"]


async def search(_: Context) -> AsyncGenerator[Action, Any]:
    yield SearchFiles([Found("file-1", "a.txt", text="found")])


async def test_a_look_includes_what_the_call_asked_for() -> None:
    async with opened(search) as house:
        run = await house.emulator.add_run(house.thread(), house.assistant)
        async with attached(house, run, include=[INCLUDE]) as stream:
            await stream.until_done()
        (await house.truth_of(stream, **{"include[]": INCLUDE})).assert_is(stream)
        assert b"found" in (stream.steps[0].raw or b"")


@pytest.mark.parametrize("script", [say_hello, one_call, three_rounds])
async def test_the_run_comes_first(script: Script) -> None:
    async with opened(script) as house:
        run = await house.emulator.add_run(house.thread(), house.assistant)
        async with attached(house, run) as stream:
            async for event in stream:
                assert event.recovered
                assert stream.run is not None
                assert event.event != "thread.run.created" or stream.run.status == "queued"
        assert stream.run is not None
        assert stream.run.status == run["status"]
        assert stream.outcome == run["status"]


async def test_a_handler_sees_the_run_before_what_is_in_it() -> None:
    class Noting(RunHandler):
        def __init__(self) -> None:
            self.notes: list[str] = []

        def on_run_created(self, run: Run) -> None:
            self.notes.append(f"run {run.status}")

        def on_step_created(self, step: RunStep) -> None:
            self.notes.append(step.object)

        def on_run_done(self, run: Run) -> None:
            self.notes.append(f"run {run.status}")

    handler = Noting()
    async with opened(say_hello) as house:
        run = await house.emulator.add_run(house.thread(), house.assistant)
        async with attached(house, run, event_handler=handler) as stream:
            await stream.until_done()
    assert handler.notes == ["run queued", "thread.run.step", "run completed"]


async def test_only_what_has_changed_is_told() -> None:
    stages = Stages()
    stages.gate.release()
    async with opened(stages) as house:
        run = await begun(house)
        async with attached(house, run) as stream:
            seen = Follower(stream)
            following = asyncio.create_task(seen.follow())
            await until(lambda: seen.texts)
            looks = house.proxy.count(RETRIEVE)
            await until(lambda: house.proxy.count(RETRIEVE) > looks + 3)
            stages.gate.release()
            await following
        assert seen.names.count("thread.run.in_progress") == 1
        assert seen.names.count("thread.message.completed") == 1
        assert seen.texts == ["First "]
        assert stream.outcome == "requires_action"


async def test_outputs_are_given_by_hand_to_an_attached_run() -> None:
    async with opened(three_rounds) as house:
        run = await begun(house)
        async with attached(house, run) as stream:
            seen = Follower(stream)
            async for event in stream:
                seen.take(event)
                if event.event == "thread.run.requires_action":
                    calls = calls_of(stream.run)
                    await stream.submit([{"tool_call_id": c.id, "output": "x"} for c in calls])
        assert stream.outcome == "completed"
        (await house.truth_of(stream)).assert_is(seen.accumulator)


async def test_an_attached_run_whose_answer_is_cut_goes_on() -> None:
    tools = Tools()
    async with opened(three_rounds) as house:
        house.proxy.plan(SUBMIT, Cut(events=4))
        run = await begun(house)
        async with attached(house, run, toolset=tools.set) as stream:
            seen = await Follower(stream).follow()
        (await house.truth_of(stream)).assert_is(seen.accumulator)
        assert len(tools.asked) == 6


async def test_attaching_has_a_deadline() -> None:
    async with opened(Stages()) as house:
        run = await begun(house)
        async with attached(house, run, deadline=0.4) as stream:
            with pytest.raises(RunTimeoutError) as caught:
                await stream.until_done()
        assert caught.value.run == stream.run
        assert house.proxy.count(RETRIEVE) > 1


async def test_an_attached_run_may_rest_longer_than_a_repair() -> None:
    stages = Stages()
    async with opened(stages) as house:
        run = await begun(house)
        async with attached(house, run, recovery_deadline=0.01) as stream:
            seen = await Follower(stream).first()
            await asyncio.sleep(0.03)
            stages.gate.release()
            while not seen.texts:
                await seen.first()


async def test_a_run_that_does_not_exist_is_not_waited_for() -> None:
    async with opened() as house:
        async with house.client.runs.attach("run_x", thread_id=house.thread()) as stream:
            with pytest.raises(StreamInterrupted) as caught:
                await stream.until_done()
        assert isinstance(caught.value.__cause__, NotFoundError)


async def test_a_server_that_cannot_be_reached_is_waited_for_so_long() -> None:
    async with opened() as house:
        run = await begun(house)
        house.proxy.down = True
        house.client = house.client.with_options(max_retries=0)
        async with attached(house, run, recovery_deadline=0.05) as stream:
            with pytest.raises(StreamInterrupted):
                await stream.until_done()


async def test_other_messages_of_the_thread_are_left_out() -> None:
    """A server that does not know the filter by run lists the thread."""

    def message(name: str, role: str, **fields: Any) -> dict[str, Any]:
        common = {"thread_id": "thread_1", "status": "completed", "content": []}
        return {"id": name, "object": "thread.message", "role": role, **common, **fields}

    listed = [
        message("question", "user", run_id=None),
        message("older", "assistant", run_id="run_0"),
        message("nameless", "assistant"),
        message("mine", "assistant", run_id="run_1"),
    ]
    pages = ({"object": "list", "data": data} for data in ([], listed))
    async with (
        wire(
            polled("completed", 1), *(answer_of(json.dumps(page).encode()) for page in pages)
        ) as server,
        Client(base_url=server.url, api_key="") as client,
        client.runs.attach("run_1", thread_id="thread_1") as stream,
    ):
        assert [found.id for found in await stream.get_final_messages()] == ["nameless", "mine"]


# Polling


def polled(status: str, milliseconds: int) -> bytes:
    """The answer to a look, with the time to wait for the next one."""
    run = {"id": "run_1", "thread_id": "thread_1", "status": status}
    header = f"openai-poll-after-ms: {milliseconds}"
    return answer_of(json.dumps(run).encode(), headers=(header,))


async def test_polling_keeps_to_what_the_server_asks_and_reads_it_again() -> None:
    looks = [*[polled("in_progress", 1)] * 20, polled("in_progress", 100), polled("completed", 1)]
    async with wire(*looks) as server, Client(base_url=server.url, api_key="") as client:
        now = asyncio.get_running_loop().time
        began = now()
        # Where it did not keep to it, so many looks would take minutes.
        run = await client.runs.poll("run_1", "thread_1", deadline=10)
    assert run.status == "completed"
    assert now() - began >= 0.1
    assert len(server.requests) == len(looks)


async def test_polling_slows_down_where_the_server_asks_for_nothing() -> None:
    async with opened(Stages(), poll_after_ms=None) as house:
        run = await begun(house)
        with pytest.raises(RunTimeoutError, match="in_progress") as caught:
            await house.client.runs.poll(run["id"], run["thread_id"], deadline=0.3)
        assert caught.value.run is not None
        assert caught.value.run.id == run["id"]
        assert house.proxy.count(RETRIEVE) == 1


async def test_an_interval_of_the_caller_s_own_wins() -> None:
    async with opened(Stages(), poll_after_ms=60_000) as house:
        run = await begun(house)
        with pytest.raises(RunTimeoutError):
            await house.client.runs.poll(
                run["id"], run["thread_id"], deadline=0.2, poll_interval_ms=1
            )
        assert house.proxy.count(RETRIEVE) > 3


async def test_polling_waits_for_what_it_is_told() -> None:
    async with opened(one_call) as house:
        run = await house.emulator.add_run(house.thread(), house.assistant)
        poll = house.client.runs.poll
        assert (await poll(run["id"], run["thread_id"])).status == "requires_action"
        with pytest.raises(RunTimeoutError):
            await poll(run["id"], run["thread_id"], until={"cancelled"}, deadline=0.3)
        await house.post(f"/threads/{run['thread_id']}/runs/{run['id']}/cancel")
        ended = await poll(run["id"], run["thread_id"], until={"requires_action"})
        assert ended.status in {"cancelling", "cancelled"}


async def test_an_unknown_status_is_alive() -> None:
    thinking, done = (
        answer_of(b'{"id": "run_1", "thread_id": "thread_1", "status": "%b"}' % status)
        for status in (b"thinking", b"completed")
    )
    async with (
        wire(thinking, thinking, done) as server,
        Client(base_url=server.url, api_key="") as client,
    ):
        run = await client.runs.poll("run_1", "thread_1", poll_interval_ms=1)
    assert run.status == "completed"
    assert len(server.requests) == 3


async def test_polling_survives_what_passes() -> None:
    async with opened(say_hello) as house:
        run = await begun(house)
        house.proxy.plan(RETRIEVE, answer("502 Bad Gateway"), times=4)
        house.proxy.plan(RETRIEVE, swallow(), skip=4)
        client = house.client.with_options(max_retries=0)
        polled = await client.runs.poll(run["id"], run["thread_id"], poll_interval_ms=1)
        assert polled.status == "completed"
        assert house.proxy.count(RETRIEVE) == 6


async def test_polling_does_not_survive_a_refusal() -> None:
    async with opened(say_hello) as house:
        with pytest.raises(NotFoundError):
            await house.client.runs.poll("run_x", house.thread())


async def test_create_and_poll_answers_calls() -> None:
    tools = Tools()
    async with opened(three_rounds) as house:
        thread_id = house.thread()
        run = await house.client.runs.create_and_poll(
            thread_id=thread_id, assistant_id=house.assistant, toolset=tools.set, deadline=5
        )
        truth = await house.truth(thread_id)
        assert run.status == truth.run["status"] == "completed"
        assert sorted(tools.asked) == sorted(set(tools.asked))
        assert len(tools.asked) == 6
        assert truth.text.count("sunny") == 6


async def test_with_a_toolset_until_does_not_leave_calls_unanswered() -> None:
    async with opened(one_call) as house:
        run = await house.client.runs.create_and_poll(
            thread_id=house.thread(),
            assistant_id=house.assistant,
            toolset=Tools().set,
            until={"completed"},
            deadline=5,
        )
        assert run.status == "completed"


@pytest.mark.parametrize("forward", [False, True])
async def test_a_polled_run_is_answered_once(*, forward: bool) -> None:
    tools = Tools()
    async with opened(three_rounds) as house:
        house.proxy.plan(SUBMIT, swallow(forward=forward), skip=1)
        run = await house.client.runs.create_and_poll(
            thread_id=house.thread(), assistant_id=house.assistant, toolset=tools.set
        )
        assert run.status == "completed"
        assert len(tools.asked) == len(set(tools.asked)) == 6
        assert house.proxy.count(SUBMIT) == (3 if forward else 4)


async def test_a_polled_run_s_refusal_is_raised() -> None:
    tools = Tools()
    async with opened(one_call) as house:
        house.proxy.plan(SUBMIT, answer("400 Bad Request"))
        with pytest.raises(BadRequestError):
            await house.client.runs.create_and_poll(
                thread_id=house.thread(), assistant_id=house.assistant, toolset=tools.set
            )
        assert tools.asked == ["Oslo"]
        assert house.proxy.count(SUBMIT) == 1


async def test_a_polled_run_is_stopped_after_max_rounds() -> None:
    tools = Tools()
    async with opened(three_rounds) as house:
        thread_id = house.thread()
        with pytest.raises(MaxRoundsExceeded, match="2"):
            await house.client.runs.create_and_poll(
                thread_id=thread_id, assistant_id=house.assistant, toolset=tools.set, max_rounds=2
            )
        assert len(tools.asked) == 4
        assert await house.status(thread_id) == "cancelled"
        run = await house.client.runs.create_and_poll(
            thread_id=thread_id, assistant_id=house.assistant, toolset=tools.set, max_rounds=3
        )
        assert run.status == "completed"


async def test_a_polled_run_s_tool_error_is_not_masked() -> None:
    async def weather(city: str) -> None:
        raise LookupError(city)

    async with opened(one_call) as house:
        house.proxy.plan(CANCEL, answer("400 Bad Request"))
        with pytest.raises(ToolError):
            await house.client.runs.create_and_poll(
                thread_id=house.thread(),
                assistant_id=house.assistant,
                toolset=Toolset(weather),
                on_tool_error="raise",
            )
        assert house.proxy.count(CANCEL) == 1


async def wait_long(_: Context) -> AsyncGenerator[Action, Any]:
    yield Wait(3600)


async def test_create_and_poll_has_a_deadline_over_all_of_it() -> None:
    async def weather(city: str) -> str:
        await asyncio.sleep(3600)
        return city

    async with opened(one_call) as house:
        options: dict[str, Any] = {"assistant_id": house.assistant, "deadline": 0.4}
        with pytest.raises(RunTimeoutError) as caught:
            await house.client.runs.create_and_poll(
                thread_id=house.thread(), toolset=Toolset(weather), **options
            )
        assert caught.value.run is not None
        assert caught.value.run.status == "requires_action"
        house.emulator.script = wait_long
        with pytest.raises(RunTimeoutError):
            await house.client.runs.create_and_poll(thread_id=house.thread(), **options)


async def test_submit_tool_outputs_and_poll_goes_to_the_end() -> None:
    async with opened(one_call) as house:
        run = await house.emulator.add_run(house.thread(), house.assistant)
        call = run["required_action"]["submit_tool_outputs"]["tool_calls"][0]
        ended = await house.client.runs.submit_tool_outputs_and_poll(
            run_id=run["id"],
            thread_id=run["thread_id"],
            tool_outputs=[{"tool_call_id": call["id"], "output": "wet"}],
        )
        assert ended.status == "completed"
        assert (await house.truth(run["thread_id"])).text == "In Oslo it is wet."


async def test_a_run_that_fails_is_given_not_raised() -> None:
    async def fail(_: Context) -> AsyncGenerator[Action, Any]:
        yield Fail()

    async with opened(fail) as house:
        run = await house.client.runs.create_and_poll(
            thread_id=house.thread(), assistant_id=house.assistant
        )
        assert run.status == "failed"
