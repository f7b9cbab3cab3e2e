"""Deltas that wait undecoded: the same snapshots, and no more work than the end asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncruns.accumulator import Accumulator
from asyncruns.errors import StreamError
from asyncruns.sse import BlockSplitter
from tests.core.shapes import (
    RUNS,
    TEXT,
    TEXT_RUN,
    fold,
    frame,
    function,
    message,
    message_delta,
    run,
    step,
    step_delta,
    text,
    whole_function,
    whole_text,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from asyncruns.models import Message, Run, RunStep

    Snapshots = tuple[Run | None, list[RunStep], list[Message]]


def snapshots(folded: Accumulator) -> Snapshots:
    return folded.run, folded.steps, folded.messages


def deferred(frames: Iterable[bytes]) -> Accumulator:
    """What a stream makes if each of its deltas is deferred."""
    accumulator = Accumulator()
    for raw in frames:
        (block,) = BlockSplitter().feed(raw)
        if b".delta\n" in block:
            object_id = block.partition(b'{"id":"')[2].partition(b'"')[0]
            accumulator.defer(object_id, block)
        else:
            accumulator._apply_block(block)
    return accumulator


@pytest.mark.parametrize("frames", RUNS.values(), ids=RUNS.keys())
def test_a_deferred_stream_makes_the_snapshots_of_a_folded_one(frames: list[bytes]) -> None:
    assert snapshots(deferred(frames)) == snapshots(fold(*frames))


@pytest.mark.parametrize("frames", RUNS.values(), ids=RUNS.keys())
def test_every_cut_of_a_deferred_stream_makes_the_snapshots_of_a_folded_one(
    frames: list[bytes],
) -> None:
    for end in range(len(frames)):
        assert snapshots(deferred(frames[:end])) == snapshots(fold(*frames[:end]))


def test_a_delta_that_its_end_replaces_is_never_decoded() -> None:
    broken = frame("thread.message.delta", {"id": "msg_1", "delta": "no object at all"})
    accumulator = deferred(
        [
            frame("thread.message.created", message()),
            message_delta(text(0, "never read")),
            broken,
            frame("thread.message.completed", message("msg_1", "completed", whole_text(TEXT))),
        ]
    )
    assert accumulator.messages[0].raw is not None


def test_a_delta_that_nothing_replaces_is_decoded_when_it_is_asked_for() -> None:
    broken = frame("thread.message.delta", {"id": "msg_1", "delta": "no object at all"})
    accumulator = deferred([frame("thread.message.created", message()), broken])
    with pytest.raises(StreamError, match=r"thread\.message\.delta"):
        _ = accumulator.messages


def test_an_end_without_details_keeps_what_was_deferred() -> None:
    frames = [
        frame("thread.run.created", run()),
        frame("thread.run.step.created", step()),
        step_delta(function(0, '{"a"', id="call_1", name="f")),
        step_delta(function(0, ":1}")),
        frame("thread.run.step.completed", step("step_1", "completed")),
    ]
    accumulator = deferred(frames)
    assert snapshots(accumulator) == snapshots(fold(*frames))
    assert accumulator.steps[0].status == "completed"


def test_a_delta_after_the_end_still_counts_when_it_was_deferred() -> None:
    whole = whole_function("call_1", "f", "{}", None)
    frames = [
        frame("thread.run.step.created", step()),
        step_delta(function(0, "{}", id="call_1", name="f")),
        frame("thread.run.step.completed", step("step_1", "completed", calls=[whole])),
        step_delta(function(0, None, output="late")),
    ]
    accumulator = deferred(frames)
    assert snapshots(accumulator) == snapshots(fold(*frames))


def test_steps_keep_the_order_of_their_appearance_where_deltas_open_them() -> None:
    frames = [
        step_delta(function(0, "{", id="call_1", name="f"), step_id="step_unseen"),
        frame("thread.run.step.created", step("step_2")),
        step_delta(function(0, "}"), step_id="step_unseen"),
    ]
    assert [s.id for s in deferred(frames).steps] == ["step_unseen", "step_2"]
    assert snapshots(deferred(frames)) == snapshots(fold(*frames))


@pytest.mark.parametrize("read", ["step", "message"])
def test_reading_one_object_folds_what_was_deferred(read: str) -> None:
    accumulator = deferred(TEXT_RUN[:10])
    if read == "step":
        assert accumulator.step("step_text") == fold(*TEXT_RUN[:10]).step("step_text")
    else:
        assert accumulator.message("msg_1") == fold(*TEXT_RUN[:10]).message("msg_1")


@given(st.data())
def test_any_order_of_frames_makes_the_same_snapshots_deferred_or_not(data: st.DataObject) -> None:
    frames = data.draw(st.sampled_from(list(RUNS.values())))
    shuffled = data.draw(st.lists(st.sampled_from(frames), max_size=30))
    assert snapshots(deferred(shuffled)) == snapshots(fold(*shuffled))
