"""Streams of bytes that somebody else's transport reads."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from asyncruns import (
    AsyncRunsError,
    RunHandler,
    RunStream,
    RunStreamError,
    RunTimeoutError,
    StreamInterrupted,
)
from asyncruns.calls import ToolOutput
from tests.stream.frames import (
    DONE,
    frame,
    message_frame,
    run_frame,
    text_frame,
)
from tests.stream.house import Follower, Tools

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

pytestmark = pytest.mark.anyio

CALL = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
ACTION = {"type": "submit_tool_outputs", "submit_tool_outputs": {"tool_calls": [CALL]}}


class Source:
    """An async generator of chunks, which says whether it was closed."""

    def __init__(self, *chunks: bytes, error: Exception | None = None, hangs: bool = False) -> None:
        self.chunks = chunks
        self.error = error
        self.hangs = hangs
        self.closed = False

    async def __aiter__(self) -> AsyncGenerator[bytes, None]:
        try:
            for chunk in self.chunks:
                yield chunk
            if self.hangs:
                await asyncio.sleep(3600)
            if self.error is not None:
                raise self.error
        finally:
            self.closed = True


async def test_any_bytes_will_do() -> None:
    source = Source(run_frame("in_progress"), message_frame("in_progress"), text_frame("Hi"),
                    message_frame("completed", "Hi"), run_frame("completed"), DONE)  # fmt: skip
    async with RunStream(source) as stream:
        seen = await Follower(stream).follow()
    assert stream.outcome == "completed"
    assert seen.texts == ["Hi"]
    assert source.closed


async def test_a_whole_body_in_one_chunk_without_a_last_blank_line() -> None:
    body = run_frame("in_progress") + run_frame("completed").rstrip(b"\n")
    async with RunStream(Source(body)) as stream:
        assert (await stream.get_final_run()).status == "completed"


@pytest.mark.parametrize("rest", [b'data: {"event": "thread.run.comp', b"event: thread.run.failed\n",
                                  b'event: thread.run.failed\ndata: {"id": "run_1"', b"data: garb"])  # fmt: skip
async def test_a_last_frame_that_is_cut_counts_for_nothing(rest: bytes) -> None:
    async with RunStream(Source(run_frame("in_progress"), rest)) as stream:
        seen = Follower(stream)
        with pytest.raises(StreamInterrupted):
            await seen.follow()
    assert seen.names == ["thread.run.in_progress"]


async def test_it_needs_no_block() -> None:
    stream = RunStream(Source(run_frame("completed"), DONE))
    assert [event.event async for event in stream] == ["thread.run.completed", "done"]


async def test_its_deadline_holds_without_a_block() -> None:
    source = Source(run_frame("in_progress"), hangs=True)
    stream = RunStream(source, deadline=0.02)
    with pytest.raises(RunTimeoutError):
        await stream.until_done()
    assert source.closed


@pytest.mark.parametrize("error", [OSError("gone"), TimeoutError("late"), ValueError("odd")])
async def test_an_error_of_the_source_is_an_interruption(error: Exception) -> None:
    source = Source(run_frame("in_progress"), error=error)
    async with RunStream(source, idle_timeout=None) as stream:
        with pytest.raises(StreamInterrupted, match=str(error)) as caught:
            await stream.until_done()
    assert caught.value.__cause__ is error
    assert caught.value.run == stream.run
    assert source.closed


@pytest.mark.parametrize("status", ["completed", "requires_action"])
async def test_an_error_of_the_source_after_the_end_is_none(status: str) -> None:
    source = Source(run_frame(status), error=OSError("gone"))
    async with RunStream(source) as stream:
        await stream.until_done()
    assert stream.outcome == status


async def test_cancellation_passes_through_a_source() -> None:
    source = Source(run_frame("in_progress"), hangs=True)
    async with RunStream(source) as stream:
        task = asyncio.create_task(stream.until_done())
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert source.closed


async def test_silence_of_a_source_is_an_interruption() -> None:
    source = Source(run_frame("in_progress"), hangs=True)
    async with RunStream(source, idle_timeout=0.02) as stream:
        with pytest.raises(StreamInterrupted, match="no byte"):
            await stream.until_done()
    assert source.closed


async def test_an_error_event_is_raised() -> None:
    body = run_frame("in_progress") + frame("error", {"message": "Too hot."}) + DONE
    async with RunStream(Source(body)) as stream:
        with pytest.raises(RunStreamError, match=r"Too hot\."):
            await stream.until_done()


async def test_calls_stay_unanswered() -> None:
    tools = Tools()
    body = run_frame("requires_action", required_action=ACTION) + DONE
    async with RunStream(Source(body), toolset=tools.set) as stream:
        await stream.until_done()
        assert stream.outcome == "requires_action"
        with pytest.raises(AsyncRunsError, match="nowhere to submit"):
            await stream.submit([ToolOutput("call_1", "x")])
    assert tools.asked == []


async def test_an_iterator_that_cannot_be_closed_will_do() -> None:
    class Chunks:
        def __init__(self) -> None:
            self.left = [run_frame("completed"), DONE]

        def __aiter__(self) -> AsyncIterator[bytes]:
            return self

        async def __anext__(self) -> bytes:
            if not self.left:
                raise StopAsyncIteration
            return self.left.pop(0)

    async with RunStream(Chunks()) as stream:
        assert (await stream.get_final_run()).status == "completed"


async def test_a_delta_that_cannot_be_read_after_the_end_is_no_error() -> None:
    garbage = frame("thread.message.delta", '{"id":"msg_1","delta":{"content":7}}')
    frames = (message_frame("in_progress"), text_frame("Hi"), run_frame("completed"), garbage, DONE)
    async with RunStream(Source(b"".join(frames))) as stream:
        messages = await stream.get_final_messages()
    assert stream.outcome == "completed"
    assert len(messages) == 1


async def test_a_stream_ends_once() -> None:
    ends: list[str] = []

    class Noting(RunHandler):
        def on_end(self) -> None:
            ends.append("end")

    async with RunStream(Source(run_frame("completed"), DONE), event_handler=Noting()) as stream:
        await stream.until_done()
        await stream.get_final_run()
        assert [event async for event in stream] == []
    assert ends == ["end"]


async def test_a_long_chunk_lets_others_have_their_turn() -> None:
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    frames = [run_frame("in_progress")] * 1000
    async with RunStream(Source(b"".join([*frames, run_frame("completed"), DONE]))) as stream:
        counting = asyncio.create_task(count())
        async for _ in stream:
            pass
        counting.cancel()
    assert 3 <= turns <= 15


# Texts


async def texts(*frames: bytes) -> str:
    async with RunStream(Source(b"".join([*frames, run_frame("completed"), DONE]))) as stream:
        return "".join([text async for text in stream.text_deltas])


async def test_a_message_without_deltas_gives_its_text_at_its_end() -> None:
    assert await texts(message_frame("completed", "Hello")) == "Hello"


async def test_a_message_that_ends_with_more_gives_the_rest() -> None:
    assert await texts(text_frame("Hel"), message_frame("completed", "Hello")) == "Hello"
    assert await texts(text_frame("Hel"), message_frame("incomplete", "Hell")) == "Hell"


async def test_a_message_is_given_once() -> None:
    whole = message_frame("completed", "Hello")
    assert await texts(text_frame("Hello"), whole, whole, text_frame("Hello")) == "Hello"


async def test_messages_that_interleave_give_what_each_has() -> None:
    given = await texts(
        text_frame("a"), text_frame("b", "msg_2"), message_frame("completed", "ax"),
        message_frame("completed", "by", "msg_2"),
    )  # fmt: skip
    assert given == "abxy"


async def test_a_message_that_ends_otherwise_is_not_given_twice() -> None:
    assert await texts(text_frame("Hullo"), message_frame("completed", "Hello")) == "Hullo"


@pytest.mark.parametrize(
    ("option", "values"),
    [("on_interrupt", "recover or raise"), ("on_tool_error", "report or raise")],
)
def test_a_choice_that_there_is_not_is_refused_at_once(option: str, values: str) -> None:
    wrong: Any = {option: "retry"}
    with pytest.raises(ValueError, match=f"{option} must be {values}, not 'retry'"):
        RunStream(Source(b""), **wrong)
