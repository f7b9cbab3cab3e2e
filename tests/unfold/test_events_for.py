"""The way back: events that lead from one snapshot to a later one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from asyncruns import (
    Accumulator,
    Message,
    MessageDeltaEvent,
    Run,
    RunStep,
    Text,
    TextContentBlock,
    TextDeltaBlock,
    ThreadMessageCompleted,
    ThreadMessageDelta,
    ThreadRunInProgress,
    events_for,
    whole_events,
)
from tests.core.shapes import RUNS, TEXT, TEXT_RUN, decode

if TYPE_CHECKING:
    from collections.abc import Iterable

    from asyncruns import Event

Snapshot = Run | RunStep | Message


def folded(*events: Event) -> Accumulator:
    accumulator = Accumulator()
    for event in events:
        accumulator.apply(event)
    return accumulator


def snapshots(accumulator: Accumulator) -> dict[str, Any]:
    whole: list[Any] = [*accumulator.steps, *accumulator.messages]
    if accumulator.run is not None:
        whole.append(accumulator.run)
    return {snapshot.id: snapshot for snapshot in whole}


def history(frames: Iterable[bytes]) -> list[dict[str, Any]]:
    """All snapshots after each event of a stream."""
    accumulator, seen = Accumulator(), list[dict[str, Any]]([{}])
    for event in decode(*frames):
        accumulator.apply(event)
        seen.append(snapshots(accumulator))
    return seen


HISTORIES = {name: history(frames) for name, frames in RUNS.items()}


@given(st.data())
def test_the_events_between_two_looks_lead_from_the_one_to_the_other(data: st.DataObject) -> None:
    seen = HISTORIES[data.draw(st.sampled_from(sorted(HISTORIES)))]
    start = data.draw(st.integers(0, len(seen) - 1))
    end = data.draw(st.integers(start, len(seen) - 1))
    for object_id, after in seen[end].items():
        before = seen[start].get(object_id)
        accumulator = folded(*([] if before is None else events_for(before)))
        if before is not None:
            assert snapshots(accumulator)[object_id] == before
        for event in events_for(after, before):
            assert event.recovered
            accumulator.apply(event)
        assert snapshots(accumulator)[object_id] == after


@pytest.mark.parametrize("name", sorted(HISTORIES))
def test_nothing_has_happened_to_what_has_not_changed(name: str) -> None:
    for snapshot in HISTORIES[name][-1].values():
        assert events_for(snapshot, replace(snapshot)) == []


@pytest.mark.parametrize("name", sorted(HISTORIES))
def test_an_ended_object_is_never_led_back_to_life(name: str) -> None:
    for snapshot in HISTORIES[name][-1].values():
        if snapshot.status == "completed":
            assert events_for(replace(snapshot, status="in_progress"), snapshot) == []


def message(text: str, status: str = "in_progress") -> Message:
    part = TextContentBlock(text=Text(value=text))
    return Message(id="msg_1", status=status, content=[part])


def pieces(events: Iterable[Event]) -> str:
    """The text that the deltas among events add."""
    text = ""
    for event in events:
        if isinstance(event.data, MessageDeltaEvent):
            for part in event.data.delta.content or ():
                if isinstance(part, TextDeltaBlock) and part.text is not None:
                    text += part.text.value or ""
    return text


def test_a_text_that_has_grown_gives_just_what_it_has_grown_by() -> None:
    events = events_for(message("It will rain.", "completed"), message("It will"))
    assert pieces(events) == " rain."
    assert [type(event) for event in events] == [ThreadMessageDelta, ThreadMessageCompleted]
    assert not any(event.replaced for event in events)


def test_a_text_that_became_another_is_marked_replaced() -> None:
    after = message("It will snow.", "completed")
    events = events_for(after, message("It will rain"))
    assert [event.replaced for event in events if isinstance(event, ThreadMessageCompleted)] == [
        True
    ]
    assert pieces(events) == ""
    assert folded(*events).messages == [after]


def test_a_run_whose_status_is_unknown_is_alive() -> None:
    *_, event = events_for(Run(id="run_1", status="pondering"))
    assert isinstance(event, ThreadRunInProgress)
    assert event.data.status == "pondering"


def test_a_late_subscriber_gets_the_whole_text_in_its_deltas() -> None:
    whole = next(item for item in history(TEXT_RUN)[-1].values() if isinstance(item, Message))
    assert pieces(events_for(whole)) == TEXT


@pytest.mark.parametrize("name", sorted(HISTORIES))
def test_an_object_said_whole_is_right_whatever_was_known_of_it(name: str) -> None:
    """Be it nothing, a part of it, or a part that only deltas have made."""
    seen = HISTORIES[name]
    for known in range(len(seen)):
        for after in seen[known].values():
            said = whole_events(after)
            assert snapshots(folded(*said))[after.id] == after
            assert all(event.recovered for event in said)
            for before in seen[:known]:
                if after.id in before:
                    knows = events_for(before[after.id])
                    assert snapshots(folded(*knows, *said))[after.id] == after
