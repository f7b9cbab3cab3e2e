"""The fused loop of RunStream against the plain rooms, on ordinary and on odd streams."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncruns.accumulator import Accumulator
from asyncruns.errors import StreamError, StreamInterrupted
from asyncruns.events import (
    DoneEvent,
    EventDecoder,
    ThreadMessageCompleted,
    ThreadMessageIncomplete,
)
from asyncruns.stream import RunStream
from asyncruns.unfold import has_other_text
from tests.core.shapes import (
    DONE,
    RUNS,
    TEXT_RUN,
    encoded,
    fold,
    frame,
    function,
    message_delta,
    run,
    step_delta,
    text,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from asyncruns.events import Event

pytestmark = pytest.mark.anyio

CUT_DELTA = b'event: thread.message.delta\ndata: {"id":"msg_1",]\n\n'

ODD = {
    "crlf": [raw.replace(b"\n", b"\r\n") for raw in TEXT_RUN],
    "comments": [b": ping\n\n" + raw for raw in TEXT_RUN],
    "ids": [raw[:-1] + b"id: 7\n\n" for raw in TEXT_RUN],
    "bom": [b"\xef\xbb\xbf", *TEXT_RUN],
    "no spaces": [raw.replace(b": ", b":", 2) for raw in TEXT_RUN],
    "unknown names": [*TEXT_RUN[:3], frame("thread.run.pondering", run()), *TEXT_RUN[3:]],
    "error": [*TEXT_RUN[:-2], frame("error", {"error": {"message": "no"}}), *TEXT_RUN[-2:]],
    "enveloped": [
        b"data: "
        + encoded({"event": raw[7 : raw.index(b"\n")].decode()})[:-1]
        + b',"data":'
        + raw.partition(b"data: ")[2].strip()
        + b"}\n\n"
        for raw in TEXT_RUN[:-1]
    ],
    "after done": [*TEXT_RUN, message_delta(text(0, "too late"))],
    "no json": [*TEXT_RUN[:9], CUT_DELTA, *TEXT_RUN[9:]],
    "bad index": [*TEXT_RUN[:9], message_delta(text(-1, "x")), *TEXT_RUN[9:]],
}
STREAMS = {**RUNS, **ODD}
ALL_FRAMES = [raw for frames in STREAMS.values() for raw in frames]
FAULTY = {"no json", "bad index"}


def plain(body: bytes) -> tuple[list[Event], Accumulator]:
    """The events of a body by way of the rooms one after the other, up to done or a fault.

    A message whose end says something else than its deltas is marked, as streams do.
    """
    decoder, folded = EventDecoder(), Accumulator()
    events: list[Event] = []
    try:
        for part in (decoder.feed(body), decoder.close()):
            for event in part:
                if isinstance(event, ThreadMessageCompleted | ThreadMessageIncomplete):
                    event.replaced = has_other_text(event.data, folded.texts(event.data.id))
                folded.apply(event)
                events.append(event)
                if isinstance(event, DoneEvent):
                    return events, folded
    except StreamError:
        pass  # what came before the fault is what counts here
    return events, folded


async def chunks(body: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(body), size):
        yield body[start : start + size]


async def fused(body: bytes, size: int) -> tuple[list[Event], RunStream]:
    events: list[Event] = []
    async with RunStream(chunks(body, size)) as stream:
        try:
            async for event in stream:
                events.append(event)  # noqa: PERF401 -- what came before a fault is kept, too
        except StreamInterrupted:
            assert stream.outcome == "interrupted"
        return events, stream


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1_000_000])
@pytest.mark.parametrize("name", STREAMS)
async def test_the_fused_loop_gives_what_the_plain_rooms_give(name: str, size: int) -> None:
    body = b"".join(STREAMS[name])
    expected, folded = plain(body)
    events, stream = await fused(body, size)
    assert events == expected
    assert (stream.run, stream.steps, stream.messages) == (
        folded.run,
        folded.steps,
        folded.messages,
    )


@given(st.lists(st.sampled_from(ALL_FRAMES), max_size=20), st.integers(1, 400))
def test_the_fused_loop_agrees_on_any_frames_in_any_chunks(frames: list[bytes], size: int) -> None:
    body = b"".join(frames)
    expected, folded = plain(body)
    events, stream = asyncio.run(fused(body, size))
    assert events == expected
    assert (stream.run, stream.steps, stream.messages) == (
        folded.run,
        folded.steps,
        folded.messages,
    )


@pytest.mark.parametrize("size", [1, 7, 1_000_000])
@pytest.mark.parametrize("name", sorted(STREAMS.keys() - FAULTY))
async def test_until_done_ends_with_the_snapshots_of_iteration(name: str, size: int) -> None:
    body = b"".join(STREAMS[name])
    _, iterated = await fused(body, size)
    async with RunStream(chunks(body, size)) as stream:
        try:
            await stream.until_done()
        except StreamInterrupted:
            assert iterated.outcome == "interrupted"
    assert (stream.run, stream.steps, stream.messages) == (
        iterated.run,
        iterated.steps,
        iterated.messages,
    )


@pytest.mark.parametrize("name", sorted(FAULTY))
async def test_until_done_needs_no_delta_that_its_end_replaces(name: str) -> None:
    async with RunStream(chunks(b"".join(ODD[name]), 1000)) as stream:
        await stream.until_done()
    assert stream.outcome == "completed"
    assert stream.messages == plain(b"".join(TEXT_RUN))[1].messages


async def test_a_fault_that_no_end_replaces_interrupts_until_done() -> None:
    body = b"".join(
        [*TEXT_RUN[:9], b'event: thread.message.delta\ndata: {"id":"msg_1",]\n\n', DONE]
    )
    async with RunStream(chunks(body, 1000)) as stream:
        with pytest.raises(StreamInterrupted, match=r"thread\.message\.delta"):
            await stream.until_done()
    assert stream.messages[0].content


PLACED = st.tuples(st.integers(0, 2), st.text(max_size=4))


@given(st.lists(PLACED, min_size=1, max_size=12), st.integers(1, 4))
def test_pieces_that_come_alone_fold_as_those_that_come_together(
    pieces: list[tuple[int, str]], size: int
) -> None:
    def folded(size: int, kind: Callable[..., Any], delta: Callable[..., bytes]) -> Accumulator:
        groups = [pieces[at : at + size] for at in range(0, len(pieces), size)]
        return fold(*(delta(*(kind(*piece) for piece in group)) for group in groups))

    assert folded(1, text, message_delta).messages == folded(size, text, message_delta).messages
    assert folded(1, function, step_delta).steps == folded(size, function, step_delta).steps
