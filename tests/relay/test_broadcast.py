"""One run for many: who is late, who comes back, who is slow, and when everybody has gone."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from asyncruns import (
    Accumulator,
    AsyncRunsError,
    NotFoundError,
    RunHandler,
    RunStream,
    StreamInterrupted,
)
from asyncruns.emulator import Action, Call, Context, Say
from asyncruns.relay import Broadcast
from tests.relay.browsers import Page, cancelled, fold
from tests.relay.test_relay import chunks, say_and_wait
from tests.stream.frames import DONE, message_frame, run_frame, text_frame
from tests.stream.house import Tools, opened, say_hello, three_rounds
from tests.stream.proxy import CANCEL, STREAMS, Cut
from tests.transport.wires import until

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

pytestmark = pytest.mark.anyio


class TwoParts:
    """A call and some text, a pause that the test ends, and more text."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()

    async def script(self, _: Context) -> AsyncGenerator[Action, Any]:
        output = yield Call("weather", {"city": "Oslo"})
        yield Say(f"In Oslo it is {output}; ")
        await self.go_on.wait()
        yield Say("and so it will be. " * 100)


async def first_part(broadcast: Broadcast) -> None:
    """Wait until all has come that comes before the pause."""
    stream = broadcast.stream
    await until(lambda: [step.status for step in stream.steps] == ["completed"] * 2)


async def follow(broadcast: Broadcast, page: Page) -> None:
    """Read as an EventSource does: it comes back with the last id, and stops at the end."""
    while page.names[-1:] not in (["done"], ["error"]):
        await page.read(broadcast.subscribe(page.ids[-1] if page.ids else None))


# Everybody sees the same


async def test_all_subscribers_get_the_same_frames() -> None:
    async with (
        opened(three_rounds) as house,
        Broadcast(house.stream(toolset=Tools().set)) as broadcast,
    ):
        pages = await asyncio.gather(*(Page().read(broadcast.subscribe()) for _ in range(20)))
        assert all(page.raw == pages[0].raw for page in pages)
        assert pages[0].names[-1] == "done"
        assert pages[0].names.count("done") == 1
        truth = await house.truth_of(broadcast.stream)
        truth.assert_is(pages[0].folded())
        assert house.proxy.count(r"POST \S+/runs ") == 1
        assert broadcast.subscribers == 0


async def test_who_comes_late_gets_everything_from_the_beginning() -> None:
    parts = TwoParts()
    async with opened(parts.script) as house:
        stream = house.stream(toolset=Tools().set)
        async with Broadcast(stream) as broadcast:
            first, late = Page(), Page()
            reading = asyncio.create_task(first.read(broadcast.subscribe()))
            await first_part(broadcast)
            joining = asyncio.create_task(late.read(broadcast.subscribe()))
            await until(lambda: len(late.raw) == len(first.raw))
            parts.go_on.set()
            await asyncio.gather(reading, joining)
            assert late.raw == first.raw
        after = await Page().read(broadcast.subscribe())
        assert after.raw == first.raw


async def test_who_comes_back_gets_what_was_missed_and_nothing_twice() -> None:
    async with (
        opened(three_rounds) as house,
        Broadcast(house.stream(toolset=Tools().set)) as broadcast,
    ):
        whole = await Page().read(broadcast.subscribe())
        for place, frame_id in enumerate(whole.ids):
            rest = await Page().read(broadcast.subscribe(frame_id))
            assert rest.raw == whole.raw[place + 1 :]


async def test_repairs_reach_all_subscribers() -> None:
    async with opened(three_rounds) as house:
        house.proxy.plan(STREAMS, Cut(events=60, reset=True))
        async with Broadcast(house.stream(toolset=Tools().set)) as broadcast:
            page = await Page().read(broadcast.subscribe())
            truth = await house.truth_of(broadcast.stream)
            truth.assert_is(page.folded())
            assert page.text == truth.text


async def test_a_subscriber_may_choose_its_events() -> None:
    async with opened(say_hello) as house, Broadcast(house.stream()) as broadcast:
        page = await Page().read(broadcast.subscribe(events=["thread.message.completed"]))
        assert page.names == ["thread.message.completed", "done"]


async def test_silence_is_filled_with_comments() -> None:
    async with (
        opened(say_and_wait) as house,
        Broadcast(house.stream(), heartbeat=0.01) as broadcast,
        broadcast.subscribe() as frames,
    ):
        page = Page()
        while page.comments < 5:
            page.take(await anext(frames))
        assert page.text == "Hello."


# The snapshot


async def test_who_comes_when_the_beginning_is_gone_gets_the_snapshot() -> None:
    parts = TwoParts()
    async with opened(parts.script) as house:
        stream = house.stream(toolset=Tools().set)
        async with Broadcast(stream, history=2000) as broadcast:
            await first_part(broadcast)
            page = Page()
            reading = asyncio.create_task(follow(broadcast, page))
            await until(lambda: "thread.message.completed" in page.names)
            known = page.folded()
            assert known.steps == stream.steps
            assert known.messages == stream.messages
            parts.go_on.set()
            await reading
            assert page.names[-1] == "done"
            (await house.truth_of(stream)).assert_is(page.folded())


@pytest.mark.parametrize("frame_id", ["0a0b0c0d.3", "17", "", "x.y", "0a0b0c0d.²", "."])
async def test_a_foreign_id_gets_the_snapshot(frame_id: str) -> None:
    async with opened(say_hello) as house, Broadcast(house.stream()) as broadcast:
        whole = await Page().read(broadcast.subscribe())
        page = await Page().read(broadcast.subscribe(frame_id))
        assert page.names[-1] == "done"
        assert "thread.message.delta" not in page.names
        # Whoever knows a part of it, from wherever, has it right afterwards.
        for known in range(len(whole.raw)):
            mixed = fold(page.raw, fold(whole.raw[:known]))
            assert mixed.steps == broadcast.stream.steps
            assert mixed.messages == broadcast.stream.messages
            assert mixed.run == broadcast.stream.run


async def test_a_number_that_has_not_been_gets_the_snapshot() -> None:
    async with opened(say_hello) as house, Broadcast(house.stream()) as broadcast:
        whole = await Page().read(broadcast.subscribe())
        token = str(whole.ids[0]).partition(".")[0]
        for number in ("99", "9" * 5000):
            page = await Page().read(broadcast.subscribe(f"{token}.{number}"))
            assert page.names[:2] == ["thread.run.created", "thread.run.completed"]


async def test_the_snapshot_is_right_at_every_event() -> None:
    """Taken at any moment, and followed by what came after, it makes what the whole makes."""
    bodies = [
        run_frame("in_progress"),
        message_frame("in_progress"),
        text_frame("Hel"),
        text_frame("lo "),
        text_frame("World"),
        message_frame("completed", "Hello World"),
        run_frame("completed"),
    ]
    for moment in range(len(bodies) + 1):
        reached, go_on = asyncio.Event(), asyncio.Event()

        async def body(
            moment: int = moment, reached: asyncio.Event = reached, go_on: asyncio.Event = go_on
        ) -> AsyncGenerator[bytes, None]:
            for number, one in enumerate([*bodies, DONE]):
                if number == moment:
                    reached.set()
                    await go_on.wait()
                yield one

        async with Broadcast(RunStream(body()), history=1) as broadcast:
            await reached.wait()
            await asyncio.sleep(0)
            page = Page()
            frames = broadcast.subscribe("")
            if moment:
                page.take(await anext(frames))
            go_on.set()
            # A history of one frame soon leaves a reader behind.
            await page.read(frames)
            await follow(broadcast, page)
            assert page.names[-1] == "done"
            folded = page.folded()
            assert folded.messages == broadcast.stream.messages
            assert folded.run == broadcast.stream.run


async def test_a_snapshot_waits_for_no_hook() -> None:
    """An event that hooks hold up is in the stream's snapshot, and not in a subscriber's twice."""
    in_hook, leave = asyncio.Event(), asyncio.Event()

    class Slow(RunHandler):
        async def on_text_delta(self, delta: Any, text: Any) -> None:
            del delta
            if text.value == "Hello ":
                in_hook.set()
                await leave.wait()

    body = chunks(
        run_frame("in_progress"), text_frame("Hel"), text_frame("lo "), text_frame("you"), DONE
    )
    stream = RunStream(body, event_handler=Slow(), on_interrupt="raise")
    async with Broadcast(stream) as broadcast:
        await in_hook.wait()
        page, frames = Page(), broadcast.subscribe("")
        while "thread.message.in_progress" not in page.names:
            page.take(await anext(frames))
        leave.set()
        await page.read(frames)
        assert page.folded().messages[0].content == stream.messages[0].content
        assert page.text == "lo you"


async def test_a_reader_that_is_cut_off_inside_a_snapshot_gets_it_anew() -> None:
    async with opened(say_hello) as house, Broadcast(house.stream()) as broadcast:
        await broadcast.until_done()
        snapshot = await Page().read(broadcast.subscribe("?"))
        for place, frame_id in enumerate(snapshot.ids[:-2]):
            known = fold(snapshot.raw[: place + 1])
            again = await Page().read(broadcast.subscribe(frame_id))
            assert fold(again.raw, known).messages == broadcast.stream.messages
        rest = await Page().read(broadcast.subscribe(snapshot.ids[-2]))
        assert rest.names == ["done"]


# Who is slow


async def test_a_slow_subscriber_is_dropped_and_holds_nobody_back() -> None:
    parts = TwoParts()
    async with opened(parts.script) as house:
        stream = house.stream(toolset=Tools().set)
        async with Broadcast(stream, history=20_000) as broadcast:
            slow, fast = Page(), Page()
            frames = broadcast.subscribe()
            reading = asyncio.create_task(fast.read(broadcast.subscribe()))
            slow.take(await anext(frames))
            await first_part(broadcast)
            assert broadcast.subscribers == 2
            parts.go_on.set()
            await reading
            assert fast.names[-1] == "done"
            assert broadcast.subscribers == 0
            await slow.read(frames)
            assert slow.names == ["thread.run.created", "dropped"]
            assert slow.ids[0] == slow.ids[1]
            assert slow.frames[-1].json["missed"] > 10
            assert "too slow" in slow.frames[-1].json["message"]
            # Back again, it has it all.
            await slow.read(broadcast.subscribe(slow.ids[-1]))
            (await house.truth_of(stream)).assert_is(slow.folded())


async def test_a_burst_makes_nobody_slow() -> None:
    """All in one read, and many times what the history holds."""
    text = "some words "
    body = b"".join([run_frame("in_progress"), *[text_frame(text)] * 2000, run_frame("completed")])
    async with Broadcast(RunStream(chunks(body, DONE)), history=4000) as broadcast:
        pages = await asyncio.gather(*(Page().read(broadcast.subscribe()) for _ in range(10)))
    assert len(body) > 40 * 4000
    assert [page.names[-1] for page in pages] == ["done"] * 10
    assert [page.text for page in pages] == [text * 2000] * 10


async def test_a_history_keeps_no_more_than_its_bytes() -> None:
    async with opened(three_rounds) as house:
        stream = house.stream(toolset=Tools().set)
        async with Broadcast(stream, history=10_000) as broadcast:
            frames = broadcast.subscribe()
            await anext(frames)
            most = 0
            while not broadcast.is_over:
                await asyncio.sleep(0)
                kept = broadcast._history._frames
                most = max(most, sum(len(one.frame) for one in kept))
            assert 5_000 < most <= 10_000
            assert broadcast._history.last > len(broadcast._history._frames)
            await frames.aclose()


@pytest.mark.parametrize("options", [{"history": 0}, {"abandon_after": -1}, {"heartbeat": 0}])
async def test_bounds_that_make_no_sense_are_refused(options: Any) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(options))} must be"):
        Broadcast(RunStream(chunks()), **options).subscribe()


# When everybody has gone


async def test_a_run_that_nobody_watches_is_left() -> None:
    async with opened(say_and_wait) as house:
        thread_id = house.thread()
        stream = house.stream(thread_id, cancel_on_exit=True)
        async with Broadcast(stream, abandon_after=0.05) as broadcast:
            frames = broadcast.subscribe()
            await Page().read_until(frames, "thread.message.completed")
            await asyncio.sleep(0.1)
            assert not broadcast.is_over
            await frames.aclose()
            await broadcast.until_done()
            await cancelled(house, thread_id)
            assert isinstance(broadcast.error, StreamInterrupted)


async def test_a_run_that_nobody_ever_watched_is_left() -> None:
    async with opened(say_and_wait) as house:
        async with Broadcast(house.stream(cancel_on_exit=True), abandon_after=0) as broadcast:
            await broadcast.until_done()
        assert house.proxy.count(CANCEL) == 1


async def test_a_reload_in_time_keeps_the_run() -> None:
    async with opened(say_and_wait) as house:
        stream = house.stream(cancel_on_exit=True)
        async with Broadcast(stream, abandon_after=5) as broadcast:
            for _ in range(3):
                async with broadcast.subscribe() as frames:
                    await Page().read_until(frames, "thread.message.completed")
            assert not broadcast.is_over
            async with broadcast.subscribe() as frames:
                house.emulator.clock.advance(300)
                assert (await Page().read(frames)).names[-1] == "done"
        assert house.proxy.count(CANCEL) == 0


async def test_a_subscriber_whose_task_has_ended_is_gone() -> None:
    async with opened(say_and_wait) as house, Broadcast(house.stream()) as broadcast:
        reads = asyncio.Event()

        async def answer() -> None:
            async for _ in broadcast.subscribe():
                reads.set()
                await asyncio.sleep(3600)

        answering = asyncio.create_task(answer())
        await reads.wait()
        assert broadcast.subscribers == 1
        answering.cancel()
        await until(lambda: broadcast.subscribers == 0)


async def test_closing_tells_the_subscribers() -> None:
    async with opened(say_and_wait) as house:
        page = Page()
        async with Broadcast(house.stream()) as broadcast:
            reading = asyncio.create_task(page.read(broadcast.subscribe()))
            await until(lambda: "thread.message.completed" in page.names)
        await reading
        assert page.names[-1] == "error"
        assert "left before its end" in page.frames[-1].json["message"]
        assert (await Page().read(broadcast.subscribe())).raw == page.raw
        assert house.held == 0


async def test_opening_raises_what_creating_raises() -> None:
    async with opened(say_hello) as house:
        with pytest.raises(NotFoundError):
            async with Broadcast(house.stream("thread_none"), abandon_after=0):
                raise AssertionError
        closed = Broadcast(house.stream())
        await closed.aclose()
        await closed.until_done()
        assert (await Page().read(closed.subscribe())).names == ["error"]


async def test_a_broadcast_that_was_closed_cannot_be_opened() -> None:
    broadcast = Broadcast(RunStream(chunks()))
    await broadcast.aclose()
    with pytest.raises(AsyncRunsError, match="closed before it was read"):
        await broadcast.open()


async def test_a_thread_that_the_stream_has_made_is_in_the_snapshot() -> None:
    async with opened(say_hello) as house:
        stream = house.client.threads.create_and_run_stream(assistant_id=house.assistant)
        async with Broadcast(stream) as broadcast:
            await broadcast.until_done()
            page = await Page().read(broadcast.subscribe("?"))
            assert page.names[0] == "thread.created"
            assert page.folded().thread == stream.thread


async def test_nothing_known_is_an_empty_snapshot() -> None:
    wait = asyncio.Event()

    async def body() -> AsyncGenerator[bytes, None]:
        await wait.wait()
        yield run_frame("completed")

    async with Broadcast(RunStream(body())) as broadcast:
        page, frames = Page(), broadcast.subscribe("?")
        reading = asyncio.create_task(page.read(frames))
        await asyncio.sleep(0)
        wait.set()
        await reading
        assert page.names == ["thread.run.completed", "done"]
        assert page.folded(Accumulator()).run == broadcast.stream.run
