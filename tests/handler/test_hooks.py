"""Events to hooks: which are called, in which order, with what; on streams made by hand."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncruns import Accumulator, RunHandler
from asyncruns.events import ErrorEvent, UnknownEvent
from asyncruns.handler import Dispatch
from asyncruns.models import to_dict
from tests.core.shapes import (
    ACTION,
    ANSWERED_RUN,
    ARGUMENTS,
    CALLING_RUN,
    CODE_RUN,
    DONE,
    SEARCH_RUN,
    TEXT,
    TEXT_RUN,
    citation,
    decode,
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
    from collections.abc import Callable

pytestmark = pytest.mark.anyio

HOOKS = sorted(name for name in vars(RunHandler) if name.startswith("on_"))


class Recorder(RunHandler):
    """Has every hook, half of them async, and writes down what they are called with."""

    def __init__(self) -> None:  # there is no super().__init__() to call
        self.calls: list[tuple[Any, ...]] = []

    def names(self, *without: str) -> list[str]:
        return [name for name, *_ in self.calls if name not in {"event", *without}]

    def of(self, name: str) -> list[tuple[Any, ...]]:
        return [arguments for hook, *arguments in self.calls if hook == name]  # type: ignore[misc]


def recording(name: str) -> Callable[..., Any]:
    def hook(self: Recorder, *arguments: Any) -> None:
        self.calls.append((name.removeprefix("on_"), *arguments))

    async def async_hook(self: Recorder, *arguments: Any) -> None:
        hook(self, *arguments)

    return async_hook if HOOKS.index(name) % 2 else hook


for hook_name in HOOKS:
    setattr(Recorder, hook_name, recording(hook_name))


async def told(*chunks: bytes) -> Recorder:
    """What a handler is told of a stream."""
    recorder, accumulator = Recorder(), Accumulator()
    dispatch = Dispatch(recorder, accumulator)
    for event in decode(*chunks):
        accumulator.apply(event)
        await dispatch(event)
    return recorder


def test_the_hooks_are_those_that_are_promised() -> None:
    assert HOOKS == [
        "on_end",
        "on_error",
        "on_event",
        "on_image_file_done",
        "on_message_created",
        "on_message_delta",
        "on_message_done",
        "on_requires_action",
        "on_run_created",
        "on_run_done",
        "on_run_updated",
        "on_step_created",
        "on_step_delta",
        "on_step_done",
        "on_text_created",
        "on_text_delta",
        "on_text_done",
        "on_tool_call_created",
        "on_tool_call_delta",
        "on_tool_call_done",
    ]


# Whole streams


async def test_the_hooks_of_a_text_run_in_their_order() -> None:
    seen = await told(*TEXT_RUN)
    assert seen.names() == [
        "run_created",
        "run_updated",
        "step_created",
        "message_created",
        "message_delta",
        "text_created",
        "text_delta",
        *["message_delta", "text_delta"] * 6,
        "text_done",
        "message_done",
        "step_done",
        "run_done",
    ]
    assert "".join(delta.value for delta, _ in seen.of("text_delta")) == TEXT
    assert [snapshot.value for (snapshot,) in seen.of("text_done")] == [TEXT]
    assert [snapshot.status for (snapshot,) in seen.of("run_updated")] == ["in_progress"]


async def test_the_hooks_of_a_run_that_calls_over_both_its_streams() -> None:
    seen = await told(*CALLING_RUN, *ANSWERED_RUN)
    assert seen.names()[: seen.names().index("message_created")] == [
        "run_created",
        "run_updated",
        "step_created",
        "step_delta",
        "tool_call_created",
        "tool_call_delta",
        *["step_delta", "tool_call_delta"] * 5,
        "run_updated",
        "requires_action",
        "tool_call_done",
        "step_done",
        "run_updated",
        "run_updated",
        "step_created",
    ]
    deltas = [delta.function.arguments for delta, _ in seen.of("tool_call_delta")]
    assert "".join(deltas) == ARGUMENTS
    ((call,),) = seen.of("tool_call_done")
    assert call.function.output == "wet"


@pytest.mark.parametrize("frames", [CODE_RUN, SEARCH_RUN], ids=["code", "search"])
async def test_calls_of_every_kind_are_created_changed_and_done(frames: list[bytes]) -> None:
    seen = await told(*frames)
    names = seen.names("message_delta", "text_delta")
    calls = [name for name in names if name.startswith("tool_call")]
    assert calls[0] == "tool_call_created"
    assert calls[-1] == "tool_call_done"
    assert set(calls[1:-1]) == {"tool_call_delta"}
    assert len(calls) == 2 + sum(b"step.delta" in chunk.partition(b"\n")[0] for chunk in frames)


async def test_every_event_is_told_before_its_hooks() -> None:
    seen = await told(*TEXT_RUN, frame("thread.run.pondering", {"a": 1}))
    assert [event for (event,) in seen.of("event")] == decode(
        *TEXT_RUN, frame("thread.run.pondering", {"a": 1})
    )
    assert isinstance(seen.calls[-1][1], UnknownEvent)
    for (name, *_), (following, *_) in pairwise(seen.calls):
        assert name == "event" or following != "step_created"


async def test_the_snapshot_of_a_delta_has_the_delta_in_it() -> None:
    seen = await told(*TEXT_RUN, *CALLING_RUN)
    so_far = ""
    for delta, snapshot in seen.of("text_delta"):
        so_far += delta.value
        assert snapshot.value == so_far
    so_far = ""
    for delta, call in seen.of("tool_call_delta"):
        so_far += delta.function.arguments
        assert call.function.arguments == so_far


# Calls


def counts(seen: Recorder) -> dict[str, int]:
    return Counter(name for name in seen.names() if name.startswith("tool_call"))


def ids(seen: Recorder, name: str) -> list[str]:
    return [call.id for (call,) in seen.of(name)]


CREATED = frame("thread.run.step.created", step())
ENDED = "thread.run.step.completed"


def ended(*calls: str, step_id: str = "step_1") -> bytes:
    whole = [whole_function(call, "f", "", None) for call in calls]
    return frame(ENDED, step(step_id, "completed", calls=whole))


async def test_a_step_that_came_only_whole_has_its_calls_created_and_done() -> None:
    seen = await told(ended("call_a", "call_b"))
    assert seen.names() == [
        "step_created",
        *["tool_call_created"] * 2,
        *["tool_call_done"] * 2,
        "step_done",
    ]
    assert ids(seen, "tool_call_created") == ids(seen, "tool_call_done") == ["call_a", "call_b"]


async def test_a_step_that_came_alive_and_whole_has_its_calls_created_then() -> None:
    alive = frame(
        "thread.run.step.in_progress", step(calls=[whole_function("call_a", "f", "{", None)])
    )
    seen = await told(alive, step_delta(function(0, "}")), ended("call_a"))
    assert seen.names("step_delta") == [
        "step_created",
        "tool_call_created",
        "tool_call_delta",
        "tool_call_done",
        "step_done",
    ]


async def test_a_delta_before_created_opens_the_step() -> None:
    seen = await told(step_delta(function(0, "{", id="call_a")), CREATED, CREATED, ended("call_a"))
    assert seen.names() == [
        "step_created",
        "step_delta",
        "tool_call_created",
        "tool_call_delta",
        "tool_call_done",
        "step_done",
    ]


async def test_an_end_that_comes_twice_is_told_once() -> None:
    seen = await told(CREATED, ended("call_a"), ended("call_a"), CREATED)
    assert seen.names() == ["step_created", "tool_call_created", "tool_call_done", "step_done"]


async def test_an_end_may_have_more_calls_than_deltas_have_shown() -> None:
    seen = await told(CREATED, step_delta(function(1, "x", id="call_b")), ended("call_a", "call_b"))
    assert ids(seen, "tool_call_created") == ["call_b", "call_a"]
    assert ids(seen, "tool_call_done") == ["call_a", "call_b"]


@pytest.mark.parametrize("named", [True, False], ids=["with ids", "without"])
async def test_sparse_indexes_are_the_calls_of_the_end(named: bool) -> None:
    beside = [{"id": "call_a"}, {"id": "call_b"}] if named else [{}, {}]
    deltas = step_delta(function(9, "b", **beside[1]), function(2, "a", **beside[0]))
    seen = await told(CREATED, deltas, ended("call_a", "call_b", "call_c"))
    assert counts(seen) == {"tool_call_created": 3, "tool_call_delta": 2, "tool_call_done": 3}
    assert ids(seen, "tool_call_created")[-1] == "call_c"


async def test_an_id_that_comes_late_belongs_to_the_call_that_was_created() -> None:
    deltas = [step_delta(function(1, "x")), step_delta(function(1, "y", id="call_b"))]
    seen = await told(CREATED, *deltas, ended("call_a", "call_b"))
    assert ids(seen, "tool_call_created") == ["", "call_a"]
    assert counts(seen)["tool_call_created"] == counts(seen)["tool_call_done"] == 2


async def test_an_end_without_details_ends_the_calls_that_deltas_have_made() -> None:
    bare = frame(ENDED, step("step_1", "completed", step_details=None))
    first = step_delta(function(5, "x", id="call_a"))
    seen = await told(CREATED, first, bare, step_delta(function(5, "y")))
    assert counts(seen) == {"tool_call_created": 1, "tool_call_delta": 2, "tool_call_done": 1}


async def test_a_delta_after_the_end_is_told_though_late() -> None:
    late = step_delta(function(0, None, output="sunny"))
    seen = await told(CREATED, step_delta(function(0, "", id="call_a")), ended("call_a"), late)
    assert seen.names() == [
        "step_created",
        "step_delta",
        "tool_call_created",
        "tool_call_delta",
        "tool_call_done",
        "step_done",
        "step_delta",
        "tool_call_delta",
    ]
    assert seen.calls[-1][2].function.output == "sunny"


async def test_a_call_that_begins_after_the_end_is_done_at_once() -> None:
    late = [step_delta(function(1, "x", id="call_b")), step_delta(function(1, "y"))]
    seen = await told(ended("call_a"), *late)
    assert ids(seen, "tool_call_created") == ["call_a", "call_b"]
    assert ids(seen, "tool_call_done") == ["call_a", "call_b"]
    assert counts(seen)["tool_call_delta"] == 2


async def test_a_step_that_writes_a_message_has_no_calls() -> None:
    seen = await told(
        frame(ENDED, step("step_1", "completed", message_id="msg_1")),
        frame(ENDED, step("step_2", "failed", step_details={"type": "activities"})),
    )
    assert seen.names() == ["step_created", "step_done"] * 2


@given(st.data())
def test_however_deltas_interleave_each_call_is_told_once_and_wholly(data: st.DataObject) -> None:
    calls = [(f"step_{s}", c) for s in range(2) for c in range(data.draw(st.integers(1, 3)))]
    texts = {call: data.draw(st.lists(st.text("ab{", max_size=3), min_size=1)) for call in calls}
    rng = random.Random(data.draw(st.integers()))
    waiting = {call: list(pieces) for call, pieces in texts.items()}
    chunks: list[bytes] = []
    while any(waiting.values()):
        call = rng.choice([call for call, pieces in waiting.items() if pieces])
        step_id, index = call
        first = len(waiting[call]) == len(texts[call])
        beside = {"id": f"{step_id}.{index}"} if first else {}
        chunks.append(step_delta(function(index, waiting[call].pop(0), **beside), step_id=step_id))
    chunks += [
        ended(*(f"{name}.{index}" for name, index in calls if name == step_id), step_id=step_id)
        for step_id in ("step_0", "step_1")
    ]
    seen = asyncio.run(told(*chunks))
    assert Counter(ids(seen, "tool_call_created")) == {f"{s}.{c}": 1 for s, c in calls}
    assert Counter(ids(seen, "tool_call_done")) == {f"{s}.{c}": 1 for s, c in calls}
    for step_id, index in calls:
        deltas = [d for d, call in seen.of("tool_call_delta") if call.id == f"{step_id}.{index}"]
        pieces = [delta.function.arguments for delta in deltas]
        assert pieces == texts[step_id, index]


# Messages


STARTED = frame("thread.message.created", message())


def finished(*content: dict[str, Any], status: str = "completed") -> bytes:
    return frame(f"thread.message.{status}", message("msg_1", status, *content))


PNG = {"type": "image_file", "image_file": {"file_id": "file_png"}}


async def test_texts_and_images_of_a_message_are_told_apart() -> None:
    seen = await told(
        STARTED,
        message_delta(placed(0, "image_file", image_file={"file_id": "file_png"})),
        message_delta(text(1, "a"), text(2, "b")),
        message_delta(placed(3, "refusal", refusal="no")),
        message_delta(text(1, "c")),
        finished(PNG, whole_text("ac"), whole_text("b"), {"type": "refusal", "refusal": "no"}),
    )
    assert seen.names("message_delta") == [
        "message_created",
        *["text_created", "text_delta"] * 2,
        "text_delta",
        "image_file_done",
        *["text_done"] * 2,
        "message_done",
    ]
    assert [to_dict(image) for (image,) in seen.of("image_file_done")] == [{"file_id": "file_png"}]
    assert [snapshot.value for (snapshot,) in seen.of("text_done")] == ["ac", "b"]


async def test_a_message_that_came_only_whole_has_its_texts_created_and_done() -> None:
    seen = await told(finished(PNG, whole_text("a"), whole_text("b"), status="incomplete"))
    assert seen.names() == [
        "message_created",
        *["text_created"] * 2,
        "image_file_done",
        *["text_done"] * 2,
        "message_done",
    ]


async def test_a_text_at_a_sparse_index_is_the_text_of_the_end() -> None:
    seen = await told(message_delta(text(4, "a")), finished(PNG, whole_text("a")))
    assert Counter(seen.names()) == {
        "message_created": 1,
        "message_delta": 1,
        "text_created": 1,
        "text_delta": 1,
        "image_file_done": 1,
        "text_done": 1,
        "message_done": 1,
    }


async def test_a_text_is_created_by_a_delta_without_a_piece_and_told_of_annotations() -> None:
    seen = await told(
        STARTED, message_delta(placed(0, "text")), message_delta(text(0, None, citation()))
    )
    assert seen.names("message_delta") == ["message_created", "text_created", "text_delta"]
    assert len(seen.calls[-1][2].annotations) == 1


async def test_a_text_that_begins_after_the_end_is_done_at_once() -> None:
    seen = await told(finished(whole_text("a")), message_delta(text(1, "b")))
    assert [snapshot.value for (snapshot,) in seen.of("text_created")] == ["a", "b"]
    assert [snapshot.value for (snapshot,) in seen.of("text_done")] == ["a", "b"]


async def test_messages_interleave() -> None:
    seen = await told(
        message_delta(text(0, "a")),
        message_delta(text(0, "x"), message_id="msg_2"),
        message_delta(text(0, "b")),
        message_delta(text(0, "y"), message_id="msg_2"),
        finished(whole_text("ab")),
    )
    assert [snapshot.value for _, snapshot in seen.of("text_delta")] == ["a", "x", "ab", "xy"]
    assert seen.names().count("message_created") == seen.names().count("text_created") == 2
    assert seen.names()[-2:] == ["text_done", "message_done"]


# The run


def of_run(name: str, status: str, **fields: Any) -> bytes:
    return frame(f"thread.run.{name}", run(status, **fields))


async def test_a_run_is_created_once_whatever_comes_first() -> None:
    assert (await told(of_run("in_progress", "in_progress"))).names() == ["run_created"]
    assert (await told(of_run("completed", "completed"))).names() == ["run_created", "run_done"]
    paused = await told(of_run("requires_action", "requires_action", required_action=ACTION))
    assert paused.names() == ["run_created", "requires_action"]


async def test_each_change_of_the_runs_status_is_told_once() -> None:
    statuses = ["queued", "queued", "in_progress", "pondering", "pondering", "cancelling"]
    seen = await told(*(of_run("queued", status) for status in statuses))
    assert [changed.status for (changed,) in seen.of("run_updated")] == [
        "in_progress",
        "pondering",
        "cancelling",
    ]


@pytest.mark.parametrize("status", ["completed", "incomplete", "failed", "cancelled", "expired"])
async def test_every_end_of_the_run_is_told_once_and_nothing_of_it_after(status: str) -> None:
    frames = [of_run("created", "queued"), of_run("completed", status), of_run("failed", "failed")]
    seen = await told(*frames, of_run("queued", "queued"))
    assert seen.names() == ["run_created", "run_done"]
    assert seen.of("run_done")[0][0].status == status


def pause(*call_ids: str) -> bytes:
    calls = [{"id": i, "type": "function", "function": {"name": "f"}} for i in call_ids]
    action = {"type": "submit_tool_outputs", "submit_tool_outputs": {"tool_calls": calls}}
    return of_run("requires_action", "requires_action", required_action=action)


async def test_each_pause_is_told_once_with_or_without_life_between() -> None:
    seen = await told(
        pause("call_a"),
        pause("call_a"),  # some servers repeat it in an event of another name
        pause("call_b"),  # polling may see nothing of what was between
        of_run("queued", "queued"),
        pause("call_b"),
    )
    asked = [snapshot.required_action for (snapshot,) in seen.of("requires_action")]
    assert [
        action.submit_tool_outputs.tool_calls[0].id for action in asked
    ] == ["call_a", "call_b", "call_b"]  # fmt: skip


async def test_the_runs_end_ends_what_never_got_an_end_of_its_own() -> None:
    seen = await told(
        of_run("created", "queued"),
        CREATED,
        step_delta(function(0, "x", id="call_a")),
        message_delta(text(0, "a"), placed(1, "image_file", image_file={"file_id": "file_png"})),
        frame("thread.message.completed", message("msg_2", "completed", whole_text("b"))),
        of_run("failed", "failed"),
    )
    assert seen.names()[-6:] == [
        "text_done",
        "image_file_done",
        "message_done",
        "tool_call_done",
        "step_done",
        "run_done",
    ]
    assert seen.names().count("message_done") == 2
    ((unfinished,),) = seen.of("step_done")
    assert unfinished.status == "in_progress"


async def test_an_error_in_the_stream_is_told() -> None:
    seen = await told(frame("error", {"error": {"message": "overloaded"}}), DONE)
    assert seen.names() == ["error"]
    assert seen.of("error")[0][0].message == "overloaded"
    assert isinstance(seen.calls[0][1], ErrorEvent)


async def test_the_end_is_told_by_the_stream_alone() -> None:
    recorder = Recorder()
    await Dispatch(recorder, Accumulator()).end()
    assert recorder.calls == [("end",)]
    await Dispatch(RunHandler(), Accumulator()).end()
