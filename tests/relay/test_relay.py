"""A run handed on to one browser: what it gets, and that nothing is left when it goes."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import TYPE_CHECKING, Any

import pytest

from asyncruns import (
    AsyncRunsError,
    BadRequestError,
    NotFoundError,
    RunHandler,
    RunStream,
    RunStreamError,
    StreamInterrupted,
)
from asyncruns.emulator import Action, Context, Fail, Say, Wait
from asyncruns.relay import Relay, relay
from asyncruns.relay.single import READ_AHEAD
from tests.relay.browsers import Page, cancelled
from tests.stream.frames import DONE, frame, run_frame
from tests.stream.house import Tools, one_call, opened, say_hello, three_rounds
from tests.stream.proxy import CANCEL, CREATE, STREAMS, Cut, body_of, inject, stall
from tests.transport.wires import until

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from asyncruns import Event, Run

pytestmark = pytest.mark.anyio

PIECE = 64 * 1024


async def say_and_wait(_: Context) -> AsyncGenerator[Action, Any]:
    yield Say("Hello.")
    yield Wait(300)


async def say_much(_: Context) -> AsyncGenerator[Action, Any]:
    yield Say(["x" * PIECE] * 250)


async def say_much_and_wait(_: Context) -> AsyncGenerator[Action, Any]:
    yield Say(["x" * PIECE] * 250)
    yield Wait(300)


async def fail(_: Context) -> AsyncGenerator[Action, Any]:
    yield Fail("server_error", "Too bad.")


async def chunks(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


# What comes


async def test_the_frames_are_the_server_s_over_all_rounds_with_one_done() -> None:
    async with opened(three_rounds) as house:
        page = await Page().read(relay(house.stream(toolset=Tools().set)))
        bodies = b"".join(
            body_of(answer)
            for line, answer in zip(house.proxy.lines, house.proxy.answers, strict=True)
            if line.startswith("POST") and "/runs" in line
        )
        sent = [block.split(b"\ndata: ") for block in bodies.split(b"\n\n")[:-1]]
        sent = [pair for pair in sent if pair[0] != b"event: done"]
        got = [item.partition(b"\n")[2][:-2].split(b"\ndata: ") for item in page.raw]
        assert got == [*sent, [b"event: done", b"[DONE]"]]
        assert len(sent) > 50
        run = page.folded().run
        assert run is not None
        (await house.truth(run.thread_id)).assert_is(page.folded())


async def test_every_frame_has_an_id_of_its_own() -> None:
    async with opened(one_call) as house:
        page = await Page().read(relay(house.stream(toolset=Tools().set)))
        assert page.ids == [str(number + 1) for number in range(len(page.frames))]


@pytest.mark.parametrize(
    ("script", "last"),
    [(one_call, "thread.run.requires_action"), (fail, "thread.run.failed")],
)
async def test_a_run_that_pauses_or_fails_ends_in_done_too(script: Any, last: str) -> None:
    async with opened(script) as house:
        page = await Page().read(relay(house.stream()))
        assert page.names[-2:] == [last, "done"]
        assert page.names.count("done") == 1


async def test_only_the_events_that_were_asked_for_go_on() -> None:
    async with opened(say_hello) as house:
        page = await Page().read(relay(house.stream(), events={"thread.message.delta"}))
        assert page.names == ["thread.message.delta"] * 3 + ["done"]
        assert page.text == "Hello."


@pytest.mark.parametrize(
    ("events", "told"),
    [
        ("thread.message.delta", "not one"),
        (["thread.mesage.delta"], "does not have: 'thread.mesage.delta'"),
    ],
)
def test_events_must_be_names_of_the_protocol(events: Any, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        relay(RunStream(chunks()), events=events)


@pytest.mark.parametrize("heartbeat", [0, -1, float("nan")])
def test_a_heartbeat_takes_time(heartbeat: float) -> None:
    with pytest.raises(ValueError, match="heartbeat must be seconds above 0"):
        relay(RunStream(chunks()), heartbeat)


async def test_silence_is_filled_with_comments() -> None:
    async with opened(say_and_wait) as house, relay(house.stream(), heartbeat=0.01) as frames:
        page = await Page().read_until(frames, "thread.message.completed")
        while page.comments < 5:
            page.take(await anext(frames))
        house.emulator.clock.advance(300)
        await page.read(frames)
        assert page.names[-1] == "done"
        assert page.text == "Hello."


async def test_data_of_many_lines_stays_one_frame() -> None:
    body = b'data: {"event": "a\\nb: c",\ndata: "data": {"x":\rdata: 1}}\n\n' + run_frame(
        "completed"
    )
    page = await Page().read(relay(RunStream(chunks(body, DONE))))
    assert page.names == ["ab: c", "thread.run.completed", "done"]
    assert page.frames[0].json == {"x": 1}


async def test_a_relay_can_be_relayed() -> None:
    async with opened(three_rounds) as house:
        first = Page()

        async def through() -> AsyncIterator[bytes]:
            async for item in relay(house.stream(toolset=Tools().set)):
                first.take(item)
                yield item

        second = await Page().read(relay(RunStream(through())))
        assert second.raw == first.raw


# What fails


async def test_a_stream_that_is_cut_goes_on_with_what_was_missed() -> None:
    async with opened(three_rounds) as house:
        house.proxy.plan(STREAMS, Cut(events=60, reset=True))
        page = await Page().read(relay(house.stream(toolset=Tools().set)))
        assert page.names.count("done") == 1
        assert "error" not in page.names
        run = page.folded().run
        assert run is not None
        truth = await house.truth(run.thread_id)
        truth.assert_is(page.folded())
        assert page.text == truth.text


async def test_a_cut_that_nobody_repairs_ends_in_an_error(caplog: Any) -> None:
    async with opened(say_hello) as house:
        house.proxy.plan(CREATE, Cut(events=5))
        frames = relay(house.stream(on_interrupt="raise"))
        page = await Page().read(frames)
        assert len(page.frames) == 6
        assert page.names[-1] == "error"
        assert "done" not in page.names
        assert page.frames[-1].json["type"] == "StreamInterrupted"
        assert "in_progress" in page.frames[-1].json["message"]
        assert isinstance(frames.error, StreamInterrupted)
    assert "has failed" in caplog.text


async def test_an_error_of_the_server_is_told_in_its_own_words_and_once() -> None:
    told = {"error": {"code": "server_error", "message": "Ouch", "extra": 1}}
    frames = relay(RunStream(chunks(run_frame("in_progress"), frame("error", told), DONE)))
    page = await Page().read(frames)
    assert page.names == ["thread.run.in_progress", "error"]
    assert page.frames[-1].json == told
    assert isinstance(frames.error, RunStreamError)


async def test_an_error_of_the_server_that_the_run_survives_is_not_told() -> None:
    async with opened(say_hello) as house:
        house.proxy.plan(
            CREATE,
            inject(frame("error", {"message": "?"}), after="thread.run.in_progress", then="end"),
        )
        page = await Page().read(relay(house.stream()))
        assert "error" not in page.names
        assert page.names[-1] == "done"
        assert page.text == "Hello."


async def test_opening_raises_what_creating_raises() -> None:
    async with opened(say_hello) as house:
        frames = relay(house.stream("thread_none"))
        with pytest.raises(NotFoundError, match="thread_none"):
            await frames.open()
        assert [frame async for frame in frames] == []


async def test_a_create_that_fails_while_iterating_is_an_error_frame() -> None:
    async with opened(say_hello) as house:
        frames = relay(house.stream("thread_none"))
        page = await Page().read(frames)
        assert page.names == ["error"]
        assert page.frames[0].json["type"] == "NotFoundError"
        assert isinstance(frames.error, NotFoundError)


async def test_an_error_in_a_hook_is_kept_and_its_text_is_not_shown(caplog: Any) -> None:
    class Boom(RunHandler):
        def on_run_done(self, run: Run) -> None:
            assert run.status == "completed"
            raise ValueError("the password is swordfish")

    async with opened(say_hello) as house:
        frames = relay(house.stream(event_handler=Boom(), cancel_on_exit=True))
        page = await Page().read(frames)
        assert page.names[-1] == "error"
        assert page.frames[-1].json == {
            "message": "the server that relays the run has failed",
            "type": "ValueError",
            "code": None,
        }
        assert isinstance(frames.error, ValueError)
        await until(lambda: house.held == 0)
    record = next(record for record in caplog.records if record.levelno == logging.WARNING)
    assert record.exc_info[0] is ValueError


# Who leaves


async def test_leaving_the_block_gives_the_connection_back_and_cancels() -> None:
    async with opened(say_and_wait) as house:
        thread_id = house.thread()
        async with relay(house.stream(thread_id, cancel_on_exit=True)) as frames:
            await Page().read_until(frames, "thread.message.completed")
        assert house.held == 0
        assert await house.status(thread_id) in {"cancelling", "cancelled"}
        assert [item async for item in frames] == []
        with pytest.raises(AsyncRunsError, match="closed"):
            await frames.open()


async def test_without_cancel_on_exit_the_run_goes_on() -> None:
    async with opened(say_and_wait) as house:
        thread_id = house.thread()
        async with relay(house.stream(thread_id)) as frames:
            await anext(frames)
        assert house.held == 0
        assert await house.status(thread_id) == "in_progress"


async def test_a_relay_may_be_closed_twice_and_before_it_was_opened() -> None:
    async with opened(say_hello) as house:
        frames = relay(house.stream(cancel_on_exit=True))
        await frames.aclose()
        await frames.aclose()
        assert [item async for item in frames] == []
        assert house.proxy.lines == []


async def reads(frames: Relay, page: Page) -> None:
    await page.read(frames)


@pytest.mark.parametrize("cancels", [1, 2, 50])
async def test_a_reader_that_is_cancelled_while_it_waits_leaves_the_run(cancels: int) -> None:
    async with opened(say_and_wait) as house:
        thread_id, page = house.thread(), Page()
        reading = asyncio.create_task(
            reads(relay(house.stream(thread_id, cancel_on_exit=True)), page)
        )
        await until(lambda: "thread.message.completed" in page.names)
        for _ in range(cancels):
            reading.cancel()
            await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await reading
        assert house.held == 0
        assert await house.status(thread_id) in {"cancelling", "cancelled"}


async def test_a_reader_that_is_cancelled_while_it_sends_leaves_the_run() -> None:
    async with opened(say_and_wait) as house:
        thread_id = house.thread()
        sending = asyncio.Event()

        async def answer() -> None:
            async for _ in relay(house.stream(thread_id, cancel_on_exit=True)):
                sending.set()
                await asyncio.sleep(3600)

        answering = asyncio.create_task(answer())
        await sending.wait()
        answering.cancel()
        await cancelled(house, thread_id)
        assert house.proxy.count(CANCEL) == 1


@pytest.mark.parametrize("opens", [False, True], ids=["reads", "opens only"])
async def test_a_task_that_ends_without_closing_leaves_the_run(opens: bool) -> None:
    async with opened(say_and_wait) as house:
        kept: list[Relay] = []

        async def answer() -> None:
            kept.append(relay(house.stream(cancel_on_exit=True)))
            if opens:
                await kept[0].open()
            else:
                await anext(kept[0])
                raise ConnectionResetError

        answering = asyncio.create_task(answer())
        await asyncio.wait({answering})
        assert opens or answering.exception()
        await until(lambda: house.proxy.count(CANCEL) == 1 and house.held == 0)
        assert [item async for item in kept[0]] == []


async def test_one_frame_a_task_is_read_on_by_the_next() -> None:
    async with opened(one_call) as house:
        frames, page = relay(house.stream(toolset=Tools().set)), Page()
        await asyncio.create_task(frames.open())
        while "done" not in page.names:
            page.take(await asyncio.create_task(frames.__anext__()))
        assert page.text == "In Oslo it is sunny in Oslo."


async def test_a_relay_that_is_closed_under_its_reader_says_so() -> None:
    async with opened(say_and_wait) as house:
        frames, page = relay(house.stream()), Page()
        reading = asyncio.create_task(reads(frames, page))
        await until(lambda: "thread.message.completed" in page.names)
        await frames.aclose()
        await reading
        assert page.names[-1] == "error"
        assert "left before its end" in page.frames[-1].json["message"]


async def test_two_tasks_cannot_read_one_relay() -> None:
    async with opened(say_and_wait) as house, relay(house.stream()) as frames:
        page = Page()
        reading = asyncio.create_task(reads(frames, page))
        await until(lambda: "thread.message.completed" in page.names)
        with pytest.raises(RuntimeError, match="another task"):
            await anext(frames)
        reading.cancel()
        await asyncio.wait({reading})


async def test_a_create_that_is_under_way_can_be_left() -> None:
    async with opened(say_and_wait) as house:
        house.proxy.plan(CREATE, stall(after=""))
        thread_id = house.thread()
        stream = house.stream(thread_id, cancel_on_exit=True, dedupe_key="one")
        opening = asyncio.create_task(relay(stream).open())
        await until(lambda: house.proxy.count(CREATE) == 1)
        await until(lambda: any(one.path.endswith("/runs") for one in house.emulator.requests))
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
        assert house.held == 0
        assert await house.status(thread_id) in {"cancelling", "cancelled"}


@pytest.mark.parametrize("cancels", [1, 2])
async def test_the_reader_may_be_cancelled_at_every_await(cancels: int) -> None:
    async with opened(one_call) as house:

        async def answer() -> None:
            frames = relay(house.stream(toolset=Tools().set))
            await frames.open()
            async for _ in frames:
                await asyncio.sleep(0)

        turns = 0
        while True:
            task = asyncio.create_task(answer())
            for _ in range(turns):
                await asyncio.sleep(0)
            for _ in range(cancels):
                task.cancel()
            await asyncio.wait({task})
            await until(lambda: house.held == 0)
            if not task.cancelled():
                await task
                break
            turns += 1
        assert turns > 10


async def test_a_slow_browser_holds_the_run_s_stream_back() -> None:
    async with opened(say_much) as house:
        async with relay(house.stream()) as frames:
            page = Page()
            page.take(await anext(frames))
            await until(lambda: not frames._feed.room.is_set())
            for _ in range(50):
                await asyncio.sleep(0)
                assert frames._held < READ_AHEAD + 2 * PIECE
            # What the sockets between do not hold, the server still has.
            assert b"event: done" not in house.proxy.answers[0]
            await page.read(frames)
        assert page.text == "x" * PIECE * 250
        assert page.names[-1] == "done"


async def test_hooks_and_tools_run_as_they_do_without_a_relay() -> None:
    seen: list[str] = []

    class Watcher(RunHandler):
        def on_event(self, event: Event) -> None:
            seen.append(event.event)

    async with opened(one_call) as house:
        tools = Tools()
        page = await Page().read(relay(house.stream(toolset=tools.set, event_handler=Watcher())))
        assert tools.asked == ["Oslo"]
        assert [name for name in seen if name != "done"] == page.names[:-1]


async def test_a_refused_request_has_its_code_in_the_frame() -> None:
    async with opened(say_hello) as house:
        page = await Page().read(relay(house.stream(max_prompt_tokens=-1)))
        told = json.loads(page.frames[0].data)
        assert told["type"] == BadRequestError.__name__
        assert told.keys() == {"message", "type", "code"}
