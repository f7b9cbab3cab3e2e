"""From any snapshot to any later one: exactly, without detours, and on the wire, too."""

from __future__ import annotations

import json
from itertools import product
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from asyncruns import Accumulator, Message, Run, RunStep, events_for
from asyncruns.events import (
    EventDecoder,
    MessageEvent,
    RunEvent,
    RunStepEvent,
    ThreadMessageDelta,
    ThreadMessageInProgress,
    ThreadRunCreated,
    ThreadRunInProgress,
    ThreadRunRequiresAction,
    ThreadRunStepCompleted,
    ThreadRunStepCreated,
    ThreadRunStepDelta,
    ThreadRunStepInProgress,
)
from asyncruns.models import (
    ENDED_MESSAGE,
    ENDED_RUN,
    ENDED_STEP,
    CodeInterpreterToolCall,
    FunctionToolCall,
    TextContentBlock,
    TextDeltaBlock,
    ToolCallsStepDetails,
    to_dict,
)
from asyncruns.parts import MAX_NESTING
from tests.core.shapes import (
    ACTION,
    PARENTS,
    THREAD,
    citation,
    code,
    decode,
    details_delta,
    fold,
    frame,
    function,
    message,
    message_delta,
    placed,
    run,
    step,
    step_delta,
    text,
    whole_function,
    whole_text,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from asyncruns import Event

JSONObject = dict[str, Any]
Snapshot = Any
"""A Run, a RunStep or a Message."""

ENDED: dict[Any, Any] = {Run: ENDED_RUN, RunStep: ENDED_STEP, Message: ENDED_MESSAGE}
KINDS: dict[type, Any] = {Run: RunEvent, RunStep: RunStepEvent, Message: MessageEvent}
OPENINGS: dict[type, Any] = {
    Run: ThreadRunInProgress,
    RunStep: ThreadRunStepInProgress,
    Message: ThreadMessageInProgress,
}


def following(before: Snapshot | None, events: Iterable[Event]) -> Accumulator:
    """What the events make of a snapshot."""
    accumulator = Accumulator()
    if before is not None:
        accumulator.apply(OPENINGS[type(before)](before, b""))
    for event in events:
        accumulator.apply(event)
    return accumulator


def made(accumulator: Accumulator) -> Snapshot:
    """The only object that there is."""
    every: list[Snapshot] = [*accumulator.steps, *accumulator.messages]
    if accumulator.run is not None:
        every.append(accumulator.run)
    (whole,) = every
    return whole


def over_the_wire(events: Iterable[Event]) -> list[Event]:
    """The same events, as a server would have sent them."""
    decoder = EventDecoder()
    return [
        each
        for event in events
        for each in decoder.feed(f"event: {event.event}\n".encode() + b"data: " + event.raw + b"\n\n")
    ]  # fmt: skip


def lead(after: Snapshot, before: Snapshot | None) -> list[Event]:
    """The events from the one to the other, after a look at what all of them must be."""
    events = events_for(after, before)
    for event in events:
        assert event.recovered
        json.loads(event.raw)
    return events


# Generated streams

pieces = st.text('ab{"\\é😀', max_size=4)
indexes = st.integers(0, 3)
names = st.sampled_from(["one", "two"])
logs = st.builds(lambda i, t: {"index": i, "type": "logs", "logs": t}, indexes, pieces)
images = st.builds(lambda i, n: placed(i, "image", image={"file_id": n}), indexes, names)
odd_outputs = st.builds(lambda i, n: placed(i, "video", url=n), indexes, names)
outputs = st.lists(logs | images | odd_outputs, max_size=2)


def with_id(piece: JSONObject, named: bool) -> JSONObject:
    return {**piece, "id": f"call_{piece['type']}_{piece['index']}"} if named else piece


calls = st.builds(
    with_id,
    st.builds(function, indexes, pieces)
    | st.builds(lambda i, p, o: function(i, p, name="f", output=o), indexes, pieces, pieces)
    | st.builds(lambda i, t, o: code(i, t, *o), indexes, pieces, outputs)
    | st.builds(
        lambda i, n: placed(i, "file_search", file_search={"results": [{"file_id": n}]}),
        indexes,
        names,
    )
    | st.builds(lambda i, p: placed(i, "mcp", function={"arguments": p}), indexes, pieces)
    | st.builds(lambda i, n: placed(i, "mcp", server=n, x={n: 1}), indexes, names),
    st.booleans(),
)
odd_notes = st.builds(lambda i, n: placed(i, "url_citation", url=n), indexes, names)
paths = st.builds(lambda i, n: placed(i, "file_path", file_path={"file_id": n}), indexes, names)
notes = st.lists(st.builds(citation, indexes, names) | odd_notes | paths, max_size=2)
blocks = (
    st.builds(lambda i, v, n: text(i, v, *n), indexes, pieces, notes)
    | st.builds(lambda i, v: placed(i, "refusal", refusal=v), indexes, pieces)
    | st.builds(lambda i, n: placed(i, "image_file", image_file={"file_id": n}), indexes, names)
    | st.builds(lambda i, n: placed(i, "image_url", image_url={"url": n}), indexes, names)
    | st.builds(lambda i, n: placed(i, "audio", transcript=n), indexes, names)
)
details = st.builds(
    lambda n: {"type": "message_creation", "message_creation": {"message_id": n}}, names
) | st.builds(lambda n: {"type": "activities", n: [n]}, names)

step_deltas = st.lists(calls, min_size=1, max_size=3).map(lambda each: step_delta(*each))
odd_deltas = details.map(details_delta)
message_deltas = st.lists(blocks, min_size=1, max_size=3).map(lambda each: message_delta(*each))


def changed(whole: Any, change: str) -> Any:
    """An object's JSON, changed in one of the ways in which an end may differ from its deltas."""
    if isinstance(whole, dict):
        return {name: changed(value, change) for name, value in whole.items()}
    if isinstance(whole, list):
        kept = whole[:-1] if change == "shorter" else whole
        return [changed(item, change) for item in kept]
    if isinstance(whole, str) and whole.startswith("a"):
        return {"grown": whole + "!", "other": "!" + whole}.get(change, whole)
    return whole


CHANGES = ["same", "grown", "other", "shorter"]


def whole_step(made_so_far: RunStep, status: str, change: str) -> bytes:
    plain = to_dict(made_so_far.step_details)
    fields = step("step_1", status) | {"type": made_so_far.type}
    name = status if status in ENDED_STEP else "in_progress"
    return frame(f"thread.run.step.{name}", fields | {"step_details": changed(plain, change)})


def whole_message(made_so_far: Message, status: str, change: str) -> bytes:
    content = changed(to_dict(made_so_far.content), change)
    name = status if status in ENDED_MESSAGE else "in_progress"
    return frame(f"thread.message.{name}", message("msg_1", status, *content))


def history(data: st.DataObject, deltas: Any, whole: Any, statuses: list[str]) -> list[Snapshot]:
    """The snapshots of one object, whose deltas and whole objects come as they like."""
    accumulator, seen = Accumulator(), list[Any]()
    for is_delta in data.draw(st.lists(st.booleans(), min_size=1, max_size=6)):
        if is_delta or not seen:
            chunk = data.draw(deltas)
        else:
            chunk = whole(seen[-1], *data.draw(ways_to_go_on(statuses)))
        for event in decode(chunk):
            accumulator.apply(event)
        seen.append(made(accumulator))
    return seen


def ways_to_go_on(statuses: list[str]) -> Any:
    return st.tuples(st.sampled_from(statuses), st.sampled_from(CHANGES))


OBJECTS = {
    "step": (step_deltas, whole_step, ["in_progress", "generating", "completed", "failed"]),
    "odd step": (step_deltas | odd_deltas, whole_step, ["in_progress", "completed"]),
    "message": (message_deltas, whole_message, ["in_progress", "paused", "completed"]),
}


def has_details(snapshot: Snapshot) -> bool:
    if isinstance(snapshot, Message):
        return bool(snapshot.content)
    held = snapshot.step_details
    return bool(held.tool_calls if isinstance(held, ToolCallsStepDetails) else held)


@pytest.mark.parametrize("kind", OBJECTS)
@settings(max_examples=150)
@given(data=st.data())
def test_the_events_lead_from_any_snapshot_exactly_to_any_later_one(
    kind: str, data: st.DataObject
) -> None:
    seen: list[Any] = [None, *history(data, *OBJECTS[kind])]
    for start, end in product(range(len(seen)), range(1, len(seen))):
        before, after = seen[start], seen[end]
        if start > end or (before and has_details(before) and not has_details(after)):
            continue
        if before and before.status in ENDED[type(before)] and end > start:
            assert after.status in ENDED[type(after)]
        events = lead(after, before)
        assert made(following(before, events)) == after
        assert made(following(before, over_the_wire(events))) == after
        assert (events == []) == (before == after)


@settings(max_examples=150)
@given(data=st.data())
def test_the_text_of_the_deltas_is_what_has_come_or_the_object_is_marked(
    data: st.DataObject,
) -> None:
    seen = history(data, *OBJECTS["message"])
    for before, after in product(seen, seen):
        if seen.index(before) > seen.index(after) or not after.content:
            continue
        events = lead(after, before)
        for index, old in enumerate(before.content):
            if isinstance(old, TextContentBlock) and old.text.value:
                new = after.content[index] if index < len(after.content) else None
                grown = "".join(texts_of(events, index))
                goes_on = isinstance(new, TextContentBlock) and (
                    new.text.value == old.text.value + grown
                )
                assert goes_on or any(event.replaced for event in events)
        if any(event.replaced for event in events):
            assert [event.replaced for event in events[:-1]] == [False] * (len(events) - 1)
            assert events[-1].data == after


def texts_of(events: Iterable[Event], index: int) -> list[str]:
    """The pieces of one text among events."""
    return [
        part.text.value
        for event in events
        if isinstance(event, ThreadMessageDelta)
        for part in event.data.delta.content or ()
        if isinstance(part, TextDeltaBlock) and part.index == index
        if part.text is not None and part.text.value
    ]


# Runs


STATUSES = ["queued", "in_progress", "requires_action", "cancelling", *sorted(ENDED_RUN)]


@pytest.mark.parametrize("status", STATUSES)
def test_a_run_is_created_and_then_given_as_it_is(status: str) -> None:
    run_now = fold(frame("thread.run.queued", run(status, required_action=ACTION))).run
    assert run_now is not None
    created, event = lead(run_now, None)
    assert isinstance(created, ThreadRunCreated)
    assert (created.data.status, created.data.required_action) == ("queued", None)
    assert event.event == f"thread.run.{status}"
    assert following(None, [created, event]).run == run_now
    assert following(None, over_the_wire([created, event])).run == run_now


@pytest.mark.parametrize(("old", "new"), [*product(STATUSES, STATUSES)])
def test_a_run_is_led_from_any_status_to_any_other_but_never_back_to_life(
    old: str, new: str
) -> None:
    before = Run(id="run_1", status=old, started_at=1)
    after = Run(id="run_1", status=new, started_at=2)
    events = lead(after, before)
    if old in ENDED_RUN and new not in ENDED_RUN:
        assert events == []
    else:
        assert [event.event for event in events] == [f"thread.run.{new}"]
        assert following(before, events).run == after


def test_another_action_of_the_same_status_is_told() -> None:
    first = fold(frame("thread.run.requires_action", run("requires_action"))).run
    second = fold(
        frame("thread.run.requires_action", run("requires_action", required_action=ACTION))
    ).run
    assert second is not None
    (event,) = lead(second, first)
    assert isinstance(event, ThreadRunRequiresAction)


# Statuses


@pytest.mark.parametrize(
    "status", ["created", "delta", "step.delta", "step.created", "message.delta", "", "generating"]
)
@pytest.mark.parametrize("kind", [Run, RunStep, Message])
def test_a_status_that_sounds_like_an_event_is_only_a_status(kind: Any, status: str) -> None:
    after = kind(id="it", status=status)
    events = lead(after, None)
    assert isinstance(events[-1], KINDS[kind])
    assert made(following(None, events)) == after


# Nothing to say


MORE: dict[str, Any] = {"id": "it", "status": "in_progress", **PARENTS}
LESS: dict[str, Any] = {"thread_id": "", "assistant_id": "", "run_id": ""}


@pytest.mark.parametrize(
    "whole",
    [
        Run(id="it", status="queued", thread_id=THREAD, assistant_id="asst_1"),
        RunStep(**MORE),
        Message(**MORE),
    ],
    ids=["run", "step", "message"],
)
def test_parents_that_the_server_leaves_out_are_no_news(whole: Snapshot) -> None:
    fields = {name: value for name, value in LESS.items() if name in whole.__struct_fields__}
    assert lead(replace(whole, **fields), whole) == []
    *_, event = lead(replace(whole, status="completed", **fields), whole)
    assert event.data == replace(whole, status="completed")


def test_details_that_the_server_leaves_out_are_no_news() -> None:
    ended = fold(
        step_delta(function(0, "{", id="call_1")),
        frame("thread.run.step.completed", step("step_1", "completed", step_details=None)),
    ).steps[0]
    empty = fold(frame("thread.run.step.completed", step("step_1", "completed"))).steps[0]
    assert lead(empty, ended) == []
    alive = fold(step_delta(function(0, "{", id="call_1"))).steps[0]
    (event,) = lead(empty, alive)
    assert isinstance(event, ThreadRunStepCompleted)
    assert made(following(alive, [event])).step_details == alive.step_details

    said = fold(frame("thread.message.completed", message("m", "completed", whole_text("a"))))
    bare = fold(frame("thread.message.completed", message("m", "completed")))
    assert lead(bare.messages[0], said.messages[0]) == []


def test_a_text_that_the_server_leaves_out_is_not_replaced() -> None:
    alive = fold(message_delta(text(0, "a"))).messages[0]
    ended = fold(frame("thread.message.completed", message("msg_1", "completed"))).messages[0]
    assert [event.replaced for event in lead(ended, alive)] == [False]


# What is told, piece by piece


def one_step(*calls_: JSONObject, status: str = "in_progress") -> RunStep:
    return fold(frame("thread.run.step.in_progress", step("step_1", status, calls=[*calls_]))).steps[
        0
    ]  # fmt: skip


def test_a_new_step_is_created_alive_and_empty_and_then_changed() -> None:
    whole = one_step(whole_function("call_1", "f", "{}", None), status="completed")
    created, delta, ended = lead(whole, None)
    assert isinstance(created, ThreadRunStepCreated)
    assert created.data.status == "in_progress"
    assert (created.data.completed_at, created.data.usage) == (None, None)
    assert created.data.step_details == ToolCallsStepDetails()
    assert isinstance(delta, ThreadRunStepDelta)
    assert ended.data == whole


def test_a_call_that_goes_on_gives_only_what_is_new_of_it() -> None:
    before = one_step(whole_function("call_1", "f", '{"a":', None))
    after = one_step(
        whole_function("call_1", "f", '{"a":1}', None), whole_function("call_2", "g", "{", None)
    )
    (event,) = lead(after, before)
    (first, second) = to_dict(event.data)["delta"]["step_details"]["tool_calls"]
    assert (first["id"], first["function"]["arguments"]) == (None, "1}")
    assert (second["id"], second["index"], second["function"]["arguments"]) == ("call_2", 1, "{")


def test_an_output_that_was_submitted_is_a_delta() -> None:
    before = one_step(whole_function("call_1", "f", "{}", None))
    (event,) = lead(one_step(whole_function("call_1", "f", "{}", "sunny")), before)
    (call,) = to_dict(event.data)["delta"]["step_details"]["tool_calls"]
    assert call["function"] == {"name": "f", "arguments": "", "output": "sunny"}


def test_arguments_that_became_others_take_the_whole_object() -> None:
    before = one_step(whole_function("call_1", "f", '{"a"', None))
    after = one_step(whole_function("call_1", "f", '{"b"', None))
    *_, event = lead(after, before)
    assert isinstance(event, ThreadRunStepInProgress)
    assert made(following(before, lead(after, before))) == after


def test_a_call_of_another_kind_at_the_same_place_begins_anew() -> None:
    code_call = {"id": "c", "type": "code_interpreter", "code_interpreter": {"input": "1"}}
    before, after = one_step(whole_function("c", "f", "1", None)), one_step(code_call)
    assert isinstance(before.step_details, ToolCallsStepDetails)
    assert isinstance(before.step_details.tool_calls[0], FunctionToolCall)
    reached = made(following(before, lead(after, before)))
    assert isinstance(reached.step_details.tool_calls[0], CodeInterpreterToolCall)
    assert reached == after


def test_an_unknown_call_that_has_changed_is_told_by_the_whole_object() -> None:
    before = one_step({"type": "mcp", "function": {"arguments": "{"}})
    after = one_step({"type": "mcp", "function": {"arguments": "{}"}})
    (event,) = lead(after, before)
    assert isinstance(event, ThreadRunStepInProgress)


def nested(depth: int) -> JSONObject:
    inner: Any = 1
    for _ in range(depth - 1):
        inner = [inner]
    return {"type": "mcp", "x": inner}


def test_what_is_beyond_a_bound_of_deltas_is_told_by_the_whole_object() -> None:
    known = whole_function("call_1", "f", "{", None)
    kept = lead(one_step(known, nested(MAX_NESTING)), one_step(known))
    assert isinstance(kept[0], ThreadRunStepDelta)
    after = one_step(known, nested(MAX_NESTING + 1))
    (event,) = lead(after, one_step(known))
    assert isinstance(event, ThreadRunStepInProgress)
    assert made(following(one_step(known), [event])) == after


def test_a_snapshot_from_which_no_event_leads_on_is_left_alone() -> None:
    deep = one_step(nested(MAX_NESTING + 1))
    assert lead(replace(deep, step_details=None, created_at=1), deep) == []


@pytest.mark.parametrize(
    ("old", "new", "replaced"),
    [
        ([whole_text("ab")], [whole_text("abc")], False),
        ([whole_text("ab")], [whole_text("ab"), whole_text("c")], False),
        ([whole_text("ab")], [whole_text("b")], True),
        ([whole_text("ab")], [{"type": "refusal", "refusal": "ab"}], True),
        ([whole_text("ab"), whole_text("c")], [whole_text("ab")], True),
        ([whole_text("")], [{"type": "refusal", "refusal": "ab"}], False),
        ([{"type": "refusal", "refusal": "ab"}], [{"type": "refusal", "refusal": "b"}], False),
    ],
)
@pytest.mark.parametrize("status", ["in_progress", "completed"])
def test_a_text_that_is_not_what_it_was_is_marked(
    old: list[JSONObject], new: list[JSONObject], replaced: bool, status: str
) -> None:
    before = fold(frame("thread.message.in_progress", message("m", "in_progress", *old)))
    after = fold(frame(f"thread.message.{status}", message("m", status, *new))).messages[0]
    events = lead(after, before.messages[0])
    assert [event.replaced for event in events if event.replaced] == [True] * replaced
    assert made(following(before.messages[0], events)) == after
