"""The comparison finds every difference, and none where there is none."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from asyncruns import (
    Accumulator,
    CodeOutputLogs,
    FunctionToolCall,
    Message,
    MessageDeltaEvent,
    RunStep,
    RunStepDeltaEvent,
    TextContentBlock,
    ToolCallDeltaObject,
    ToolCallsStepDetails,
    UnknownToolCall,
    remember,
)
from asyncruns.cli.compare import Difference, Sent, Witness, judge_ends, judge_folding, plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from asyncruns import Event
    from tests.cli.conftest import Recorded


def witness_of(events: Iterable[Event]) -> Witness:
    accumulator = Accumulator()
    witness = Witness(accumulator)
    for event in events:
        accumulator.apply(event)
        witness.take(event)
    return witness


def changed(events: Iterable[Event], change: Callable[[Any], None]) -> list[Event]:
    """The events with a change made to the delta of each."""
    copies = copy.deepcopy(list(events))
    for event in copies:
        if isinstance(event.data, RunStepDeltaEvent | MessageDeltaEvent):
            change(event.data.delta)
    return copies


def calls_of(delta: Any) -> list[Any]:
    details = getattr(delta, "step_details", None)
    return (details.tool_calls or []) if isinstance(details, ToolCallDeltaObject) else []


def paths(differences: Iterable[Difference]) -> set[str]:
    return {difference.path for difference in differences}


def test_what_the_deltas_of_a_run_fold_to_equals_what_the_server_has(recorded: Recorded) -> None:
    verdict = judge_folding(witness_of(recorded.events), recorded.sent)
    assert verdict.differences == []
    assert verdict.equal
    assert verdict.sentence == (
        "folded from deltas alone: 4 of 4 steps and 2 of 2 messages equal the server's"
    )


def test_what_a_run_ended_as_equals_what_the_server_has(recorded: Recorded) -> None:
    verdict = judge_ends(recorded.steps, recorded.messages, recorded.sent)
    assert verdict.differences == []
    assert verdict.sentence == (
        "as they ended: 4 of 4 steps and 2 of 2 messages equal the server's"
    )


def test_the_folding_is_judged_on_what_was_there_before_the_ends(recorded: Recorded) -> None:
    witness = witness_of(recorded.events)
    assert [step.status for step in witness.steps.values()] == ["in_progress"] * 4
    assert [message.status for message in witness.messages.values()] == ["in_progress"] * 2
    assert all(step.usage is None for step in witness.steps.values())


def test_a_fold_that_takes_every_call_for_the_first_is_found(recorded: Recorded) -> None:
    def ignore_index(delta: Any) -> None:
        for call in calls_of(delta):
            call.index = 0

    verdict = judge_folding(witness_of(changed(recorded.events, ignore_index)), recorded.sent)
    assert not verdict.equal
    assert "3 of 4 steps and 2 of 2 messages" in verdict.sentence
    assert {difference.subject[:6] for difference in verdict.differences} == {"step 2"}
    assert "step_details.tool_calls[1]" in paths(verdict.differences)


def test_a_fold_that_takes_every_output_of_code_for_the_first_is_found(
    recorded: Recorded,
) -> None:
    def ignore_index(delta: Any) -> None:
        for call in calls_of(delta):
            for output in getattr(getattr(call, "code_interpreter", None), "outputs", None) or ():
                output.index = 0

    verdict = judge_folding(witness_of(changed(recorded.events, ignore_index)), recorded.sent)
    outputs = "step_details.tool_calls[0].code_interpreter.outputs"
    assert f"{outputs}[1]" in paths(verdict.differences)


def test_a_fold_that_takes_every_annotation_for_the_first_is_found(recorded: Recorded) -> None:
    def ignore_index(delta: Any) -> None:
        for part in getattr(delta, "content", None) or ():
            for annotation in part.text.annotations or ():
                annotation.index = 0

    verdict = judge_folding(witness_of(changed(recorded.events, ignore_index)), recorded.sent)
    assert "4 of 4 steps and 1 of 2 messages" in verdict.sentence
    assert "content[0].text.annotations[1]" in paths(verdict.differences)


@pytest.mark.parametrize(
    ("event_name", "path"),
    [
        ("thread.message.delta", "content[0].text.value"),
        ("thread.run.step.delta", "step_details.tool_calls[0].code_interpreter.input"),
    ],
)
def test_a_delta_that_is_lost_is_found(recorded: Recorded, event_name: str, path: str) -> None:
    lost = next(
        event
        for event in reversed(recorded.events)
        if event.event == event_name and "outputs" not in event.raw.decode()
    )
    events = [event for event in recorded.events if event is not lost]
    verdict = judge_folding(witness_of(events), recorded.sent)
    assert paths(verdict.differences) == {path}


def test_an_object_of_which_only_the_end_came_counts_as_not_assembled(recorded: Recorded) -> None:
    ends = [event for event in recorded.events if event.event.endswith(".completed")]
    verdict = judge_folding(witness_of(ends), recorded.sent)
    assert "0 of 4 steps and 0 of 2 messages" in verdict.sentence
    assert paths(verdict.differences) == {""}
    assert "assembled nothing, the server has {" in str(verdict.differences[0])


def test_an_object_that_the_server_does_not_have_is_a_difference(recorded: Recorded) -> None:
    sent = Sent(recorded.sent.steps[:-1], recorded.sent.messages)
    verdict = judge_ends(recorded.steps, recorded.messages, sent)
    assert "3 of 4 steps and 2 of 2 messages" in verdict.sentence
    assert str(verdict.differences[0]).endswith("the server has nothing")


def test_a_field_that_a_struct_lost_is_a_difference_though_the_raw_json_has_it(
    recorded: Recorded,
) -> None:
    first, *others = recorded.steps
    lossy = remember(replace(first, completed_at=None), first.raw)
    verdict = judge_ends([lossy, *others], recorded.messages, recorded.sent)
    assert paths(verdict.differences) == {"completed_at"}


def test_a_field_that_no_struct_has_must_be_in_the_raw_json(recorded: Recorded) -> None:
    without_raw = [replace(step) for step in recorded.steps]
    verdict = judge_ends(without_raw, recorded.messages, recorded.sent)
    assert "expires_at (raw)" in paths(verdict.differences)
    assert "expires_at" not in paths(verdict.differences)


@pytest.mark.parametrize(
    ("theirs", "differs"),
    [
        ({"id": "s", "status": "failed"}, False),  # what is empty may be absent
        ({"id": "s", "status": "failed", "usage": None}, False),
        ({"id": "s", "status": "failed", "created_at": 0}, True),
        ({"id": "s", "status": "failed", "news": 1}, True),
        ({"id": "s", "status": "completed"}, True),
        ({"id": "s"}, True),
    ],
)
def test_only_what_is_empty_may_be_absent_at_the_server(
    theirs: dict[str, Any], differs: bool
) -> None:
    ours = replace(RunStep(id="s", status="failed"), object="")
    (found,) = [judge_ends([ours], [], Sent([theirs], [])).differences]
    assert bool([one for one in found if not one.path.endswith("(raw)")]) is differs


def test_true_is_not_1() -> None:
    message = Message(id="m", status="completed", metadata={"n": 1})  # type: ignore[dict-item]  # pyright: ignore[reportArgumentType] -- as a server may send it
    theirs = {**plain(message), "metadata": {"n": True}}
    assert "metadata.n" in paths(judge_ends([], [message], Sent([], [theirs])).differences)


def test_plain_gives_every_field_of_every_struct() -> None:
    step = RunStep(
        id="s",
        status="completed",
        step_details=ToolCallsStepDetails(
            tool_calls=[
                FunctionToolCall(id="c"),
                UnknownToolCall(unknown_type="mcp", raw=b'{"type":"mcp","server":"x"}'),
            ]
        ),
    )
    assert plain(step)["step_details"] == {
        "type": "tool_calls",
        "tool_calls": [
            {
                "type": "function",
                "id": "c",
                "function": {"arguments": "", "name": None, "output": None},
            },
            {"type": "mcp", "server": "x"},
        ],
    }
    assert plain(CodeOutputLogs(logs="x")) == {"type": "logs", "logs": "x"}
    assert plain(TextContentBlock())["text"] == {"value": "", "annotations": []}


def test_a_difference_shows_long_values_from_shortly_before_the_place() -> None:
    common = "x" * 100
    difference = Difference("step 1 (s)", "a.b", common + "ours" + common, common + "theirs")
    assert str(difference) == (
        f'step 1 (s), a.b: assembled …{"x" * 20}ours{"x" * 36}…, the server has …{"x" * 20}theirs"'
    )
