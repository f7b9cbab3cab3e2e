"""A run whose streams are cut, wherever that may be."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

import pytest

from asyncruns import (
    Accumulator,
    APIConnectionError,
    Client,
    EventDecoder,
    Run,
    StreamInterrupted,
)
from asyncruns.attach import SETTLED
from tests.stream.frames import RUN, frame, stream_answer
from tests.stream.house import (
    Follower,
    Tools,
    one_call,
    opened,
    say_hello,
    three_rounds,
    two_messages,
)
from tests.stream.proxy import (
    CREATE,
    LIST_RUNS,
    RETRIEVE,
    STREAMS,
    Cut,
    answer,
    body_of,
    inject,
    swallow,
)
from tests.transport.wires import answer as answer_of
from tests.transport.wires import wire

if TYPE_CHECKING:
    from asyncruns.emulator import Script
    from tests.stream.house import House

pytestmark = pytest.mark.anyio


async def assert_repaired(house: House, cut: Cut, **options: Any) -> Follower:
    """Stream a run through a cut, and fail unless all is as if there had been none."""
    tools = Tools()
    house.proxy.forget()
    house.proxy.plan(STREAMS, cut, times=99)
    async with house.stream(toolset=tools.set, **options) as stream:
        seen = await Follower(stream).follow()
    assert cut.done
    truth = await house.truth_of(stream)
    truth.assert_is(stream)
    assert "".join(seen.texts) == truth.text
    assert (
        len(tools.asked)
        == len(set(tools.asked))
        == (6 if house.emulator.script is three_rounds else 0)
    )
    return seen


async def undisturbed(house: House) -> Follower:
    async with house.stream(toolset=Tools().set) as stream:
        return await Follower(stream).follow()


@pytest.mark.parametrize("script", [three_rounds, two_messages])
@pytest.mark.parametrize("reset", [False, True])
async def test_a_cut_after_any_event_is_repaired(script: Script, *, reset: bool) -> None:
    async with opened(script) as house:
        count = len((await undisturbed(house)).events)
        for events in range(count + 1):
            seen = await assert_repaired(house, Cut(events=events, reset=reset))
            last = seen.stream.run
            assert last is not None
            assert last.status == "completed"


async def test_a_cut_at_any_byte_is_repaired(pytestconfig: pytest.Config) -> None:
    dice = random.Random(3)
    left: int = pytestconfig.option.cuts
    while left > 0:
        # A server keeps all its runs: a new one now and then, for there may be ten thousand.
        async with opened() as house:
            await undisturbed(house)
            size = sum(map(len, house.proxy.answers))
            for number in range(min(left, 500)):
                cut = Cut(size=dice.randrange(1, size), reset=dice.random() < 0.5)
                await assert_repaired(house, cut, dedupe_key=f"cut {number}")
        left -= 500


async def test_what_is_made_up_is_marked() -> None:
    async with opened(say_hello) as house:
        seen = await assert_repaired(house, Cut(events=8))
    marked = [event.recovered for event in seen.events]
    assert marked == sorted(marked)
    assert marked.count(False) == 8
    assert seen.texts == ["Hel", "lo."]
    assert not any(event.replaced for event in seen.events)


async def assert_interrupted(house: House, cut: Cut) -> None:
    """Cut a run that is not to be repaired: nothing is lost, and nothing is made up."""
    house.proxy.forget()
    house.proxy.plan(STREAMS, cut, times=99)
    async with house.stream(toolset=Tools().set, on_interrupt="raise") as stream:
        seen = Follower(stream)
        with pytest.raises(StreamInterrupted) as caught:
            await seen.follow()
    assert stream.outcome == "interrupted"
    error = caught.value
    assert isinstance(error.__cause__, APIConnectionError)
    reference = Accumulator()
    for answered in house.proxy.answers:
        for event in EventDecoder().feed(body_of(answered)):
            reference.apply(event)
    assert (error.run, error.steps, error.messages) == (
        reference.run,
        reference.steps,
        reference.messages,
    )
    seen.assert_same()


async def test_an_interruption_holds_what_had_come() -> None:
    async with opened() as house:
        for number, event in enumerate((await undisturbed(house)).events, 1):
            settled = isinstance(event.data, Run) and event.data.status in SETTLED
            if not settled and event.data is not None:
                await assert_interrupted(house, Cut(events=number))


async def test_an_interruption_within_an_event_holds_those_before() -> None:
    dice = random.Random(4)
    async with opened(two_messages) as house:
        await undisturbed(house)
        size = len(body_of(house.proxy.answers[0]))
        for _ in range(50):
            await assert_interrupted(house, Cut(size=dice.randrange(300, size // 2)))


@pytest.mark.parametrize("after", ["thread.run.requires_action", "thread.run.completed"])
async def test_a_reset_after_a_pause_or_an_end_is_no_error(after: str) -> None:
    tools = Tools()
    async with opened(one_call) as house:
        house.proxy.plan(STREAMS, inject(b": bye\n\n", after=after, then="reset"), times=2)
        async with house.stream(toolset=tools.set, on_interrupt="raise") as stream:
            seen = await Follower(stream).follow()
        assert stream.outcome == "completed"
        assert not any(event.recovered for event in seen.events)
        assert tools.asked == ["Oslo"]


async def test_an_interruption_comes_again_instead_of_half_a_run() -> None:
    async with opened(say_hello) as house:
        house.proxy.plan(CREATE, Cut(events=8))
        async with house.stream(on_interrupt="raise") as stream:
            for _ in range(2):
                with pytest.raises(StreamInterrupted):
                    await stream.get_final_run()


async def test_without_a_key_the_run_is_found_by_the_time_of_its_creation() -> None:
    async with opened(say_hello) as house:
        house.proxy.plan(CREATE, Cut(size=400))
        async with house.stream() as stream:
            seen = await Follower(stream).follow()
        assert house.proxy.count(LIST_RUNS) == 1
        (await house.truth_of(stream)).assert_is(seen.accumulator)


async def test_an_older_run_is_not_taken_for_the_one_that_was_lost() -> None:
    async with opened(say_hello) as house:
        house.emulator.clock.advance(-60)
        thread_id = house.thread()
        await house.emulator.add_run(thread_id, house.assistant)
        house.proxy.plan(CREATE, answer("200 OK", b"", kind="text/event-stream"))
        async with house.stream(thread_id) as stream:
            with pytest.raises(StreamInterrupted, match="unknown"):
                await Follower(stream).follow()
        assert stream.run is None
        assert house.proxy.count(LIST_RUNS) == 1


async def test_a_looks_passing_failures_are_survived() -> None:
    async with opened(say_hello) as house:
        house.client = house.client.with_options(max_retries=0)
        house.proxy.plan(CREATE, Cut(events=7))
        house.proxy.plan(RETRIEVE, answer("502 Bad Gateway"))
        house.proxy.plan(r"/steps", swallow())
        async with house.stream() as stream:
            seen = await Follower(stream).follow()
        (await house.truth_of(stream)).assert_is(seen.accumulator)


async def test_a_look_that_is_refused_ends_the_repair() -> None:
    async with opened(say_hello) as house:
        house.proxy.plan(CREATE, Cut(events=7))
        house.proxy.plan(RETRIEVE, answer("403 Forbidden"))
        async with house.stream() as stream:
            with pytest.raises(StreamInterrupted) as caught:
                await Follower(stream).follow()
        assert caught.value.run == stream.run
        assert "403" in str(caught.value.__cause__)


async def test_a_run_that_does_not_name_its_thread_is_followed_all_the_same() -> None:
    nameless = {name: value for name, value in RUN.items() if name != "thread_id"}
    empty = answer_of(b'{"object": "list", "data": []}')
    async with (
        wire(
            stream_answer(frame("thread.run.in_progress", nameless)),
            answer_of(json.dumps({**nameless, "status": "requires_action"}).encode()),
            empty,
            empty,
            stream_answer(frame("thread.run.completed", {**nameless, "status": "completed"})),
        ) as server,
        Client(base_url=server.url, api_key="") as client,
        client.runs.stream(thread_id="thread_1", assistant_id="asst_1") as stream,
    ):
        await stream.until_done()
        assert stream.outcome == "requires_action"
        await stream.submit_approvals([])
        await stream.until_done()
    paths = [request.target.partition("?")[0] for request in server.requests]
    assert paths == [
        "/v1/threads/thread_1/runs",
        "/v1/threads/thread_1/runs/run_1",
        "/v1/threads/thread_1/runs/run_1/steps",
        "/v1/threads/thread_1/messages",
        "/v1/threads/thread_1/runs/run_1/submit_tool_outputs",
    ]
