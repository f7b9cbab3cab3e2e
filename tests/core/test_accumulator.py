"""Events to snapshots: the rules at the top of `accumulator`, one after the other."""

from __future__ import annotations

import copy
import json
from typing import Any

import msgspec
import pytest

from asyncruns import accumulator as accumulator_module
from asyncruns.accumulator import Accumulator, texts_of
from asyncruns.errors import LimitExceededError, StreamError
from asyncruns.events import ThreadMessageDelta, ThreadRunStepDelta
from asyncruns.models import (
    Message,
    MessageCreationStepDetails,
    RunStep,
    RunStepDelta,
    RunStepDeltaEvent,
    ToolCallDeltaObject,
    ToolCallsStepDetails,
    UnknownContentBlock,
    UnknownStepDetails,
    UnknownToolCall,
    UnknownToolCallDelta,
    to_dict,
)
from asyncruns.parts import CALLS, MAX_INDEX, MAX_NESTING, Parts, Pieces
from tests.core.shapes import (
    ARGUMENTS,
    ASSISTANT,
    CODE,
    DONE,
    PARENTS,
    RANKING,
    RUN,
    RUNS,
    TEXT,
    THREAD,
    USAGE,
    citation,
    code,
    decode,
    details_delta,
    encoded,
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
    thread,
    whole_function,
    whole_text,
)

CREATED = frame("thread.run.step.created", step())
STARTED = frame("thread.message.created", message())


def calls(*chunks: bytes) -> list[Any]:
    """The calls of the only step, as plain JSON types."""
    (made,) = fold(*chunks).steps
    return calls_of(made)


def calls_of(made: RunStep) -> list[Any]:
    details = to_dict(made.step_details)
    assert details["type"] == "tool_calls"
    result: list[Any] = details["tool_calls"]
    return result


def content(*chunks: bytes) -> list[Any]:
    """The content of the only message, as plain JSON types."""
    (made,) = fold(*chunks).messages
    result: list[Any] = to_dict(made.content)
    return result


def arguments(*chunks: bytes) -> list[str]:
    return [call["function"]["arguments"] for call in calls(*chunks)]


def values(*chunks: bytes) -> list[str]:
    return [part["text"]["value"] for part in content(*chunks)]


# Whole streams


@pytest.mark.parametrize("shape", RUNS)
def test_before_its_end_a_folded_object_has_all_that_the_end_has_by_deltas(shape: str) -> None:
    """The end replaces the snapshot, so only the snapshot before it tells of the folding."""
    accumulator = Accumulator()
    compared = 0
    for event in decode(*RUNS[shape]):
        ended: Any = event.data
        if event.event == "thread.run.step.completed":
            before = accumulator.step(ended.id)
            if before is not None:
                compared += 1
                assert without_results(before.step_details) == without_results(ended.step_details)
        elif event.event == "thread.message.completed":
            before_message = accumulator.message(ended.id)
            assert before_message is not None
            compared += 1
            assert before_message.content == ended.content
        accumulator.apply(event)
    assert compared or shape == "calling"


def without_results(details: Any) -> Any:
    """Plain details without what only the end has: the results of a file search."""
    plain = to_dict(details)
    for call in plain.get("tool_calls", []):
        call.get("file_search", {}).pop("results", None)
    return plain


def test_a_text_run_makes_a_run_a_step_and_a_message() -> None:
    folded = fold(*RUNS["text"])
    assert folded.run is not None
    assert folded.run.status == "completed"
    assert to_dict(folded.run.usage) == USAGE
    (made,) = folded.steps
    assert made.status == "completed"
    assert to_dict(made.step_details)["message_creation"] == {"message_id": "msg_1"}
    (said,) = folded.messages
    assert to_dict(said.content) == [whole_text(TEXT)]


def test_a_calling_run_stays_as_it_is_at_its_pause() -> None:
    folded = fold(*RUNS["calling"])
    assert folded.run is not None
    assert folded.thread is not None
    assert folded.thread.id == THREAD
    assert folded.run.status == "requires_action"
    (made,) = folded.steps
    assert made.status == "in_progress"
    assert calls_of(made) == [whole_function("call_1", "weather", ARGUMENTS, None)]


def test_the_stream_after_the_outputs_goes_on_with_the_same_snapshots() -> None:
    folded = fold(*RUNS["calling"], *RUNS["answered"])
    called, answered = folded.steps
    assert calls_of(called) == [whole_function("call_1", "weather", ARGUMENTS, "wet")]
    assert answered.type == "message_creation"
    assert [to_dict(said.content) for said in folded.messages] == [[whole_text(TEXT)]]


def test_a_step_that_the_stream_never_created_is_opened_by_its_end() -> None:
    folded = fold(*RUNS["answered"])
    assert [made.id for made in folded.steps] == ["step_1", "step_text"]
    assert folded.steps[0].status == "completed"


def test_code_that_ran_keeps_its_input_and_its_logs() -> None:
    (made,) = fold(*RUNS["code"][:-3]).steps
    (call,) = calls_of(made)
    assert call["id"] == "call_1"
    assert call["code_interpreter"] == {
        "input": CODE,
        "outputs": [{"type": "logs", "logs": "42\n"}],
    }


def test_the_results_of_a_search_come_with_the_end() -> None:
    (before,) = calls(*RUNS["search"][:3])
    assert before["file_search"] == {"ranking_options": RANKING, "results": []}
    (after,) = calls(*RUNS["search"])
    assert [result["file_id"] for result in after["file_search"]["results"]] == ["file_moss"]


@pytest.mark.parametrize("shape", RUNS)
def test_reading_between_the_events_changes_nothing(shape: str) -> None:
    read = Accumulator()
    for count, event in enumerate(decode(*RUNS[shape]), 1):
        read.apply(event)
        unread = fold(*RUNS[shape][:count])
        assert (read.run, read.steps, read.messages) == (unread.run, unread.steps, unread.messages)


@pytest.mark.parametrize("end", [b"", DONE])
def test_a_stream_that_stops_leaves_what_came(end: bytes) -> None:
    folded = fold(*RUNS["text"][:10], end)
    assert folded.run is not None
    assert folded.run.status == folded.steps[0].status == folded.messages[0].status == "in_progress"
    assert to_dict(folded.messages[0].content) == [whole_text("It will rain")]


def test_nothing_comes_of_nothing() -> None:
    folded = Accumulator()
    assert (folded.run, folded.thread, folded.steps, folded.messages) == (None, None, [], [])
    assert folded.step("step_1") is None
    assert folded.message("msg_1") is None


def test_done_errors_and_unknown_events_change_nothing() -> None:
    folded = fold(*RUNS["text"][:9])
    before = copy.deepcopy((folded.run, folded.steps, folded.messages))
    for event in decode(DONE, frame("error", {"message": "m"}), frame("thread.run.paused", {})):
        folded.apply(event)
    assert (folded.run, folded.steps, folded.messages) == before


# Rule 1: by the id of the object


def test_deltas_of_different_objects_interleave() -> None:
    folded = fold(
        CREATED,
        STARTED,
        frame("thread.run.step.created", step("step_2")),
        frame("thread.message.created", message("msg_2")),
        step_delta(function(0, "a")),
        message_delta(text(0, "x")),
        step_delta(function(0, "1"), step_id="step_2"),
        message_delta(text(0, "8"), message_id="msg_2"),
        step_delta(function(0, "b")),
        message_delta(text(0, "9"), message_id="msg_2"),
        step_delta(function(0, "2"), step_id="step_2"),
        message_delta(text(0, "y")),
    )
    assert [calls_of(made)[0]["function"]["arguments"] for made in folded.steps] == ["ab", "12"]
    assert [to_dict(said.content)[0]["text"]["value"] for said in folded.messages] == ["xy", "89"]
    assert [made.id for made in folded.steps] == ["step_1", "step_2"]
    second = folded.step("step_2")
    assert second is not None
    assert calls_of(second)[0]["function"]["arguments"] == "12"
    assert folded.message("msg_2") == folded.messages[1]


def test_calls_of_one_step_interleave() -> None:
    made = calls(
        CREATED,
        step_delta(function(0, "", id="call_a", name="f"), function(1, "", id="call_b", name="g")),
        step_delta(function(1, "b1")),
        step_delta(function(0, "a1"), function(1, "b2")),
        step_delta(function(0, "a2")),
    )
    assert made == [
        whole_function("call_a", "f", "a1a2", None),
        whole_function("call_b", "g", "b1b2", None),
    ]


# Rule 2: by index


def test_indexes_may_be_sparse_and_out_of_order() -> None:
    assert arguments(
        step_delta(function(9, "nine")),
        step_delta(function(2, "two")),
        step_delta(function(MAX_INDEX, "last")),
        step_delta(function(2, "!")),
        step_delta(function(0, "zero")),
    ) == ["zero", "two!", "nine", "last"]


def test_content_outputs_and_annotations_have_indexes_of_their_own() -> None:
    log = {"type": "logs", "logs": "a"}
    (call,) = calls(
        step_delta(code(0, None, {"index": 4, **log}, {"index": 1, **log, "logs": "b"})),
        step_delta(code(0, None, {"index": 4, "type": "logs", "logs": "c"})),
        step_delta(code(0, None, placed(2, "image", image={"file_id": "file_png"}))),
    )
    assert call["code_interpreter"]["outputs"] == [
        {"type": "logs", "logs": "b"},
        {"type": "image", "image": {"file_id": "file_png"}},
        {"type": "logs", "logs": "ac"},
    ]
    (part, image) = content(
        message_delta(placed(6, "image_file", image_file={"file_id": "file_png"})),
        message_delta(text(3, "a", citation(7, "file_b"), citation(2, "file_a"))),
    )
    notes = part["text"]["annotations"]
    assert [note["file_citation"]["file_id"] for note in notes] == ["file_a", "file_b"]
    assert image == {"type": "image_file", "image_file": {"file_id": "file_png"}}


@pytest.mark.parametrize("index", [-1, MAX_INDEX + 1, 10**40, -(10**40)])
@pytest.mark.parametrize("kind", ["call", "unknown call", "output", "content", "annotation"])
def test_an_index_out_of_bounds_is_an_error_and_the_snapshots_stay(kind: str, index: int) -> None:
    delta = {
        "call": step_delta(function(index, "a")),
        "unknown call": step_delta(placed(index, "foreign")),
        "output": step_delta(code(0, None, {"index": index, "type": "logs", "logs": "a"})),
        "content": message_delta(text(index, "a")),
        "annotation": message_delta(text(0, "a", citation(index))),
    }[kind]
    folded = fold(step_delta(function(5, "a")), message_delta(text(5, "b")))
    assert len(folded.steps) == len(folded.messages) == 1
    (event,) = decode(delta)
    with pytest.raises(LimitExceededError, match=f"index {index} .* not in 0 to 65535"):
        folded.apply(event)
    assert calls_of(folded.steps[0])[-1]["function"]["arguments"] == "a"
    assert to_dict(folded.messages[0].content)[-1]["text"]["value"] == "b"
    folded.apply(decode(step_delta(function(5, "c")))[0])
    assert calls_of(folded.steps[0])[-1]["function"]["arguments"] == "ac"


def test_what_a_delta_brought_before_its_index_out_of_bounds_is_seen() -> None:
    folded = fold(step_delta(function(0, "a")))
    assert calls_of(folded.steps[0])[0]["function"]["arguments"] == "a"
    with pytest.raises(LimitExceededError):
        folded.apply(decode(step_delta(function(0, "b"), function(-1, "c")))[0])
    assert calls_of(folded.steps[0])[0]["function"]["arguments"] == "ab"


def test_without_an_index_a_call_is_found_by_its_id() -> None:
    assert arguments(
        step_delta(function(None, "a", id="call_a"), function(None, "b", id="call_b")),
        step_delta(function(None, "2", id="call_b")),
        step_delta(function(None, "c", id="call_c")),
        step_delta(function(None, "1", id="call_a")),
    ) == ["a1", "b2", "c"]


def test_without_an_index_and_an_id_a_part_is_found_by_its_place() -> None:
    assert arguments(
        step_delta(function(None, "a"), function(None, "b")),
        step_delta(function(None, "1"), function(None, "2")),
    ) == ["a1", "b2"]
    assert values(
        message_delta(text(None, "a"), text(None, "b")),
        message_delta(text(None, "1")),
    ) == ["a1", "b"]


def test_an_id_of_a_call_without_an_index_may_be_known_from_one_with_it() -> None:
    assert arguments(
        step_delta(function(7, "a", id="call_a"), function(1, "x")),
        step_delta(function(None, "b", id="call_a")),
        step_delta(function(None, "c", id="call_b")),
        step_delta(function(8, "d")),
    ) == ["x", "ab", "cd"]


def test_an_unknown_part_with_an_id_and_no_index_goes_behind_parts_without_ids() -> None:
    foreign = {"type": "foreign", "id": "part_1", "x": 1}
    made = content(
        message_delta(text(0, "a")),
        message_delta(foreign),
        message_delta({"type": "foreign", "id": "part_1", "x": 2}),
    )
    assert made == [whole_text("a"), foreign | {"x": 2}]
    (call,) = calls(
        step_delta(code(0, None, {"index": 0, "type": "logs", "logs": "a"})),
        step_delta(code(0, None, foreign)),
    )
    assert call["code_interpreter"]["outputs"] == [{"type": "logs", "logs": "a"}, foreign]


def test_an_id_that_is_no_text_finds_nothing() -> None:
    made = calls(
        step_delta(placed(0, "foreign", id=["odd"])),
        step_delta(placed(None, "foreign", id="call_1")),
    )
    assert [call["id"] for call in made] == [["odd"], "call_1"]


# Rule 3: strings are concatenated, of all else the last value that is not null wins


def test_strings_are_concatenated() -> None:
    assert arguments(*[step_delta(function(0, piece)) for piece in "{}é\n"]) == ["{}é\n"]
    assert values(*[message_delta(text(0, piece)) for piece in ("a ", "", "b", "b")]) == ["a bb"]
    (refusal,) = content(*[message_delta(placed(0, "refusal", refusal=p)) for p in ("I ", "no")])
    assert refusal == {"type": "refusal", "refusal": "I no"}
    (call,) = calls(
        *[step_delta(code(0, piece)) for piece in ("x ", "= ", "1")],
        *[step_delta(code(0, None, {"index": 0, "type": "logs", "logs": p})) for p in ("1", "1")],
    )
    assert call["code_interpreter"]["input"] == "x = 1"
    assert call["code_interpreter"]["outputs"] == [{"type": "logs", "logs": "11"}]


def test_of_all_else_the_last_value_that_is_not_null_wins() -> None:
    (call,) = calls(
        step_delta(function(0, "a", id="call_a", name="f", output=None)),
        step_delta(function(0, None, id="call_b", name="g", output="one")),
        step_delta(function(0, None, id=None, name=None, output=None)),
        step_delta(function(0, None, output="two")),
        step_delta(function(0, None, id=None, name=None, output=None)),
        step_delta(placed(0, "function")),
        step_delta(placed(0, "function", function=None)),
    )
    assert call == whole_function("call_b", "g", "a", "two")


def test_an_images_file_and_address_are_replaced() -> None:
    made = content(
        message_delta(placed(0, "image_file", image_file={"file_id": "file_a", "detail": "low"})),
        message_delta(placed(1, "image_url", image_url={"url": "https://a.example"})),
        message_delta(placed(0, "image_file", image_file={"file_id": "file_b", "detail": None})),
        message_delta(placed(1, "image_url", image_url={"detail": "high"})),
        message_delta(placed(1, "image_url", image_url=None)),
    )
    assert made == [
        {"type": "image_file", "image_file": {"file_id": "file_b", "detail": "low"}},
        {"type": "image_url", "image_url": {"url": "https://a.example", "detail": "high"}},
    ]


def test_the_ranking_of_a_search_is_replaced_and_its_numbers_are_not_summed() -> None:
    ranking = {"ranker": "auto", "score_threshold": 0.25}
    (call,) = calls(
        step_delta(placed(0, "file_search", id="call_1", file_search={})),
        *[step_delta(placed(0, "file_search", file_search={"ranking_options": ranking}))] * 3,
        step_delta(placed(0, "file_search", file_search={"ranking_options": {"ranker": "new"}})),
        step_delta(placed(0, "file_search", file_search=None)),
    )
    assert call["id"] == "call_1"
    assert call["file_search"]["ranking_options"] == {"ranker": "new", "score_threshold": 0.25}


def test_an_annotation_comes_whole_and_its_offsets_are_not_summed() -> None:
    path = placed(1, "file_path", text="sandbox:/a", file_path={"file_id": "f"}, start_index=2)
    (part,) = content(
        message_delta(text(0, "see [0:0†moss.txt]", citation(0))),
        message_delta(text(0, None, citation(0), path)),
        message_delta(text(0, "!", citation(0, start_index=4), path | {"end_index": 9})),
    )
    assert part["text"]["value"] == "see [0:0†moss.txt]!"
    assert part["text"]["annotations"] == [
        {
            "type": "file_citation",
            "text": "[0:0†moss.txt]",
            "file_citation": {"file_id": "file_moss"},
            "start_index": 4,
            "end_index": 19,
        },
        {
            "type": "file_path",
            "text": "sandbox:/a",
            "file_path": {"file_id": "f"},
            "start_index": 2,
            "end_index": 9,
        },
    ]


@pytest.mark.parametrize("part", [{"value": "a", "annotations": None}, {"value": None}, None, {}])
def test_a_text_may_have_nulls_for_its_value_and_its_annotations(part: Any) -> None:
    made = content(message_delta(text(0, "b")), message_delta(placed(0, "text", text=part)))
    assert made in ([whole_text("b")], [whole_text("ba")])
    assert len(made[0]["text"]["value"]) == (2 if part and part.get("value") else 1)


def test_code_and_logs_and_images_may_have_nulls() -> None:
    (call,) = calls(
        step_delta(code(0, "a", placed(0, "logs", logs=None), placed(1, "image", image=None))),
        step_delta(placed(0, "code_interpreter", code_interpreter={"input": None})),
        step_delta(placed(0, "code_interpreter", code_interpreter=None)),
        step_delta(placed(0, "code_interpreter", code_interpreter={"outputs": None})),
    )
    assert call["code_interpreter"] == {
        "input": "a",
        "outputs": [{"type": "logs", "logs": ""}, {"type": "image", "image": {"file_id": None}}],
    }


def test_a_refusal_may_be_null() -> None:
    assert content(message_delta(placed(0, "refusal"))) == [{"type": "refusal", "refusal": ""}]


def test_a_delta_may_give_the_role() -> None:
    (said,) = fold(STARTED, message_delta(text(0, "a"), role="tool"), message_delta()).messages
    assert said.role == "tool"
    (said,) = fold(STARTED, message_delta(role="assistant"), message_delta(role=None)).messages
    assert said.role == "assistant"


def test_lists_may_be_null_or_missing() -> None:
    assert calls(CREATED, details_delta({"type": "tool_calls", "tool_calls": None})) == []
    assert calls(CREATED, details_delta({"type": "tool_calls"})) == []
    assert calls(CREATED, details_delta(None)) == []
    assert content(STARTED, frame("thread.message.delta", {"id": "msg_1", "delta": {}})) == []


# Rule 4: a call that is repeated


@pytest.mark.parametrize("repeats", [1, 2, 3, 4])
def test_a_whole_function_call_may_come_again_and_again(repeats: int) -> None:
    again = step_delta(function(0, ARGUMENTS, id="call_1", name="weather"))
    assert calls(CREATED, *[again] * repeats) == [
        whole_function("call_1", "weather", ARGUMENTS, None)
    ]


def test_a_whole_call_may_come_again_after_its_pieces() -> None:
    pieces = [step_delta(function(0, piece)) for piece in ('{"a', '":1', "}")]
    again = step_delta(function(0, '{"a":1}', id="call_1", output="x"))
    made = calls(CREATED, step_delta(function(0, "", id="call_1")), *pieces, again, again)
    assert made == [whole_function("call_1", None, '{"a":1}', "x")]  # type: ignore[arg-type]


def test_whole_code_may_come_again_with_its_outputs() -> None:
    log = {"index": 0, "type": "logs", "logs": "42\n"}
    image = placed(1, "image", image={"file_id": "file_png"})
    (call,) = calls(
        CREATED,
        step_delta(code(0, "6 * 7", id="call_1")),
        step_delta(code(0, "6 * 7", log, id="call_1")),
        step_delta(code(0, "6 * 7", log, image, id="call_1")),
        step_delta(code(0, "6 * 7", id="call_1")),
    )
    assert call["code_interpreter"] == {
        "input": "6 * 7",
        "outputs": [
            {"type": "logs", "logs": "42\n"},
            {"type": "image", "image": {"file_id": "file_png"}},
        ],
    }


def test_an_unknown_call_may_come_again() -> None:
    again = placed(0, "openapi", id="call_1", function={"name": "f", "arguments": "{}"})
    (call,) = calls(CREATED, *[step_delta(again)] * 3)
    assert call == {"type": "openapi", "id": "call_1", "function": again["function"]}


def test_pieces_that_name_the_id_each_time_are_no_repeats() -> None:
    pieces = [step_delta(function(0, piece, id="call_1")) for piece in ('{"', "a", '":', "1", "}")]
    assert arguments(CREATED, *pieces) == ['{"a":1}']
    (call,) = calls(CREATED, *[step_delta(code(0, piece, id="call_1")) for piece in ("ab", "a")])
    assert call["code_interpreter"]["input"] == "aba"


def test_the_same_arguments_under_another_id_are_no_repeat() -> None:
    assert arguments(
        step_delta(function(0, "a", id="call_1")), step_delta(function(0, "a", id="call_2"))
    ) == ["aa"]


class WatchedText(str):
    """A text that counts how often it is compared with a piece."""

    compared = 0

    __slots__ = ()

    def startswith(self, *args: Any) -> bool:
        WatchedText.compared += 1
        return super().startswith(*args)


def test_whether_a_text_is_all_that_came_costs_no_more_than_the_text() -> None:
    pieces = Pieces()
    for _ in range(10_000):
        pieces.append("a")
    WatchedText.compared = 0
    assert not pieces.is_all(WatchedText("a"))
    assert not pieces.is_all(WatchedText("aab"))
    assert WatchedText.compared <= 5
    assert pieces.is_all("a" * 10_000)
    assert not pieces.is_all("a" * 10_001)


# Rule 5: objects that are not there yet


def test_a_delta_before_created_opens_the_step() -> None:
    (made,) = fold(step_delta(function(0, "a"))).steps
    assert (made.id, made.status, made.type) == ("step_1", "in_progress", "tool_calls")
    assert calls_of(made)[0]["function"]["arguments"] == "a"


def test_a_delta_before_created_opens_the_message() -> None:
    (said,) = fold(message_delta(text(0, "a"))).messages
    assert (said.id, said.status, said.role) == ("msg_1", "in_progress", "assistant")


def test_created_after_the_first_deltas_keeps_what_they_brought() -> None:
    late_step = fold(step_delta(function(0, "a")), CREATED, step_delta(function(0, "b")))
    (made,) = late_step.steps
    assert made.created_at == step()["created_at"]
    assert calls_of(made)[0]["function"]["arguments"] == "ab"
    (said,) = fold(message_delta(text(0, "a")), STARTED, message_delta(text(0, "b"))).messages
    assert said.created_at == message()["created_at"]
    assert to_dict(said.content) == [whole_text("ab")]


def test_created_may_come_twice() -> None:
    assert arguments(CREATED, CREATED, step_delta(function(0, "a")), CREATED) == ["a"]
    assert values(STARTED, STARTED, message_delta(text(0, "a")), STARTED) == ["a"]


def test_a_delta_opens_a_step_that_writes_a_message() -> None:
    details = {"type": "message_creation", "message_creation": {"message_id": "msg_1"}}
    (made,) = fold(details_delta(details), details_delta({"type": "message_creation"})).steps
    assert made.type == "message_creation"
    assert to_dict(made.step_details) == details


def test_a_delta_of_details_goes_on_from_those_that_were_there() -> None:
    new = {"type": "message_creation", "message_creation": {"message_id": "msg_2"}}
    (made,) = fold(
        frame("thread.run.step.created", step(message_id="msg_1")), details_delta(new)
    ).steps
    assert to_dict(made.step_details) == new
    (made,) = fold(
        frame("thread.run.step.created", step(message_id="msg_1")),
        details_delta({"type": "message_creation", "message_creation": None}),
    ).steps
    assert to_dict(made.step_details)["message_creation"] == {"message_id": "msg_1"}


# Rule 6: whole objects replace the snapshot


def test_a_whole_object_replaces_the_snapshot() -> None:
    end = step("step_1", "completed", calls=[whole_function("call_9", "g", "{}", "out")])
    (made,) = fold(
        CREATED,
        step_delta(function(0, "a"), function(1, "b")),
        frame("thread.run.step.failed", end),
    ).steps
    assert calls_of(made) == [whole_function("call_9", "g", "{}", "out")]
    assert made.status == "completed"
    assert to_dict(made.usage) == USAGE


@pytest.mark.parametrize("name", ["completed", "failed", "cancelled", "expired"])
def test_every_end_of_a_step_without_details_keeps_those_that_came(name: str) -> None:
    end = frame(f"thread.run.step.{name}", step("step_1", name, usage=USAGE))
    (made,) = fold(CREATED, step_delta(function(0, "a")), end).steps
    assert made.status == name
    assert to_dict(made.usage) == USAGE
    assert calls_of(made)[0]["function"]["arguments"] == "a"


@pytest.mark.parametrize("details", [None, {"type": "tool_calls", "tool_calls": []}])
def test_an_end_without_details_keeps_those_that_came_whole(details: Any) -> None:
    started = step(calls=[whole_function("call_1", "f", "{}", None)])
    end = step("step_1", "completed", step_details=details)
    (made,) = fold(
        frame("thread.run.step.in_progress", started), frame("thread.run.step.completed", end)
    ).steps
    assert calls_of(made) == [whole_function("call_1", "f", "{}", None)]
    assert made.status == "completed"


@pytest.mark.parametrize(
    "details", [None, {"type": "message_creation"}, {"type": "message_creation", "x": 1}]
)
def test_an_end_that_names_no_message_keeps_the_one_that_is_known(details: Any) -> None:
    (made,) = fold(
        frame("thread.run.step.created", step(message_id="msg_1")),
        frame("thread.run.step.completed", step("step_1", "completed", step_details=details)),
    ).steps
    assert isinstance(made.step_details, MessageCreationStepDetails)
    assert made.step_details.message_creation.message_id == "msg_1"
    assert made.status == "completed"


def test_an_end_without_details_keeps_unknown_ones() -> None:
    details = {"type": "activities", "activities": [1]}
    (made,) = fold(
        frame("thread.run.step.created", step(type="activities", step_details=details)),
        frame("thread.run.step.completed", step("step_1", "completed", step_details=None)),
    ).steps
    assert to_dict(made.step_details) == details
    assert made.status == "completed"


@pytest.mark.parametrize("name", ["completed", "incomplete"])
def test_every_end_of_a_message_without_content_keeps_what_came(name: str) -> None:
    end = frame(f"thread.message.{name}", message("msg_1", name))
    (said,) = fold(STARTED, message_delta(text(0, "a", citation())), end).messages
    assert said.status == name
    (part,) = to_dict(said.content)
    assert part["text"]["value"] == "a"
    assert len(part["text"]["annotations"]) == 1


def test_an_end_of_a_message_without_content_keeps_content_that_came_whole() -> None:
    started = frame("thread.message.in_progress", message("msg_1", "in_progress", whole_text("a")))
    (said,) = fold(
        started, frame("thread.message.completed", message("msg_1", "completed"))
    ).messages
    assert said.status == "completed"
    assert to_dict(said.content) == [whole_text("a")]


def test_the_deltas_after_a_whole_object_go_on_from_it() -> None:
    started = step(
        calls=[
            whole_function("call_1", "f", '{"a"', None),
            {
                "id": "call_2",
                "type": "code_interpreter",
                "code_interpreter": {"input": "x", "outputs": [{"type": "logs", "logs": "1"}]},
            },
            {"id": "call_3", "type": "file_search", "file_search": {}},
        ]
    )
    made = calls(
        frame("thread.run.step.in_progress", started),
        step_delta(function(0, ":1}")),
        step_delta(code(1, "y", {"index": 0, "type": "logs", "logs": "2"})),
        step_delta(placed(2, "file_search", file_search={"ranking_options": RANKING})),
    )
    assert made[0] == whole_function("call_1", "f", '{"a":1}', None)
    assert made[1]["code_interpreter"] == {
        "input": "xy",
        "outputs": [{"type": "logs", "logs": "12"}],
    }
    assert made[2]["file_search"]["ranking_options"] == RANKING


def test_message_deltas_after_a_whole_object_go_on_from_it() -> None:
    note = {"type": "file_path", "text": "a", "file_path": {"file_id": "f"}}
    parts = [
        whole_text("a", note),
        {"type": "refusal", "refusal": "n"},
        {"type": "image_file", "image_file": {"file_id": "f"}},
        {"type": "image_url", "image_url": {"url": "u"}},
        {"type": "foreign", "x": None},
    ]
    made = content(
        frame("thread.message.in_progress", message("msg_1", "in_progress", *parts)),
        message_delta(text(0, "b", placed(1, "url_citation", url="u"))),
        message_delta(placed(1, "refusal", refusal="o")),
    )
    assert made[0]["text"]["value"] == "ab"
    first, second = made[0]["text"]["annotations"]
    assert first["file_path"] == {"file_id": "f"}
    assert second == {"type": "url_citation", "url": "u"}
    assert made[1] == {"type": "refusal", "refusal": "no"}
    assert made[2:] == parts[2:]


# Rule 7: an end is an end


def test_a_run_that_has_ended_does_not_go_back() -> None:
    ended = frame("thread.run.completed", run("completed", usage=USAGE))
    folded = fold(ended, frame("thread.run.in_progress", run("in_progress")))
    assert folded.run is not None
    assert folded.run.status == "completed"
    assert to_dict(folded.run.usage) == USAGE


def test_a_step_and_a_message_that_have_ended_do_not_go_back() -> None:
    end = step("step_1", "failed", calls=[whole_function("call_1", "f", "{}", None)])
    folded = fold(
        frame("thread.run.step.failed", end),
        CREATED,
        frame("thread.message.incomplete", message("msg_1", "incomplete", whole_text("a"))),
        STARTED,
    )
    assert [made.status for made in folded.steps] == ["failed"]
    assert len(calls_of(folded.steps[0])) == 1
    assert [said.status for said in folded.messages] == ["incomplete"]


def test_another_end_replaces_an_end() -> None:
    folded = fold(
        frame("thread.run.failed", run("failed")),
        frame("thread.run.completed", run("completed")),
        frame("thread.run.step.failed", step("step_1", "failed")),
        frame("thread.run.step.completed", step("step_1", "completed")),
    )
    assert folded.run is not None
    assert folded.run.status == folded.steps[0].status == "completed"


def test_the_bodys_status_decides_and_not_the_events_name() -> None:
    folded = fold(
        frame("thread.run.completed", run("requires_action")),
        frame("thread.run.queued", run("queued")),
    )
    assert folded.run is not None
    assert folded.run.status == "queued"


def test_an_unknown_status_is_alive() -> None:
    folded = fold(
        frame("thread.run.in_progress", run("generating")), frame("thread.run.queued", run())
    )
    assert folded.run is not None
    assert folded.run.status == "queued"


def test_another_run_takes_the_place_of_one_that_has_ended() -> None:
    folded = fold(
        frame("thread.run.completed", run("completed")),
        frame("thread.run.created", run(id="run_two")),
    )
    assert folded.run is not None
    assert (folded.run.id, folded.run.status) == ("run_two", "queued")


def test_a_late_delta_brings_an_output_and_leaves_complete_strings_alone() -> None:
    end = step(
        "step_1",
        "completed",
        calls=[
            whole_function("call_1", "f", "{}", None),
            {"id": "call_2", "type": "mcp", "function": {"arguments": "[]"}, "output": None},
            {
                "id": "call_3",
                "type": "code_interpreter",
                "code_interpreter": {"input": "x", "outputs": [{"type": "logs", "logs": "1"}]},
            },
        ],
    )
    log = {"index": 0, "type": "logs", "logs": "1"}
    (made,) = fold(
        frame("thread.run.step.completed", end),
        step_delta(function(0, "{}", output="late")),
        step_delta(placed(1, "mcp", output="real", function={"arguments": "[]"})),
        step_delta(code(2, "x", log)),
        step_delta(code(2, "x", log | {"logs": "9"}, log | {"index": 1, "logs": "2"}, id="call_3")),
    ).steps
    assert made.status == "completed"
    called, remote, ran = calls_of(made)
    assert called == whole_function("call_1", "f", "{}", "late")
    assert remote == end["step_details"]["tool_calls"][1] | {"output": "real"}
    assert ran["code_interpreter"] == {
        "input": "x",
        "outputs": [{"type": "logs", "logs": "1"}, {"type": "logs", "logs": "2"}],
    }


def test_a_late_delta_may_bring_a_string_that_the_end_left_empty() -> None:
    end = step("step_1", "completed", calls=[whole_function("call_1", "f", "", None)])
    late = [step_delta(function(0, "{")), step_delta(function(0, "}"))]
    assert arguments(frame("thread.run.step.completed", end), *late) == ["{}"]
    end = message("msg_1", "completed", whole_text(""))
    assert values(frame("thread.message.completed", end), message_delta(text(0, "a"))) == ["a"]


def test_a_late_delta_leaves_a_complete_text_and_refusal_alone() -> None:
    refusal = {"type": "refusal", "refusal": "no"}
    end = message("msg_1", "completed", whole_text("ab"), refusal)
    made = content(
        frame("thread.message.completed", end),
        message_delta(text(0, "b"), placed(1, "refusal", refusal="o"), text(2, "new")),
    )
    assert made == [whole_text("ab"), refusal, whole_text("new")]


def test_a_late_delta_after_an_end_without_details_goes_on() -> None:
    end = frame("thread.message.completed", message("msg_1", "completed"))
    late = message_delta(text(0, "b"))
    assert values(STARTED, message_delta(text(0, "a")), end, late) == ["ab"]


# Rule 8: a part whose type changes


def test_a_part_whose_type_changes_starts_anew() -> None:
    assert calls(step_delta(function(0, "a", id="call_1")), step_delta(code(0, "b"))) == [
        {"id": "", "type": "code_interpreter", "code_interpreter": {"input": "b", "outputs": []}}
    ]
    assert content(
        message_delta(text(0, "a")), message_delta(placed(0, "refusal", refusal="b"))
    ) == [{"type": "refusal", "refusal": "b"}]


def test_an_unknown_part_whose_type_changes_starts_anew() -> None:
    made = calls(
        step_delta(placed(0, "openapi", x=1, function={"arguments": "ab"})),
        step_delta(placed(0, "mcp", y=2, function={"arguments": "cd"})),
        step_delta(placed(0, "mcp", function={"arguments": "ef"})),
    )
    assert made == [{"type": "mcp", "y": 2, "function": {"arguments": "cdef"}}]


def test_a_known_part_may_become_unknown_and_back() -> None:
    first, second, third = function(0, "a"), placed(0, "mcp", x=1), function(0, "b")
    assert calls(*map(step_delta, (first, second))) == [{"type": "mcp", "x": 1}]
    assert arguments(*map(step_delta, (first, second, third))) == ["b"]


def test_details_whose_type_changes_start_anew() -> None:
    details = {"type": "message_creation", "message_creation": {"message_id": "msg_1"}}
    foreign = {"type": "activities", "activities": []}
    (made,) = fold(step_delta(function(0, "a")), details_delta(details)).steps
    assert to_dict(made.step_details) == details
    (made,) = fold(details_delta(details), details_delta(foreign)).steps
    assert to_dict(made.step_details) == foreign
    assert arguments(details_delta(details), step_delta(function(0, "a"))) == ["a"]
    assert arguments(
        step_delta(function(0, "a")), details_delta(foreign), step_delta(function(0, "b"))
    ) == ["b"]


# Rule 9: the parents' ids


@pytest.mark.parametrize("run_first", [True, False])
def test_parent_ids_that_are_left_out_come_from_the_run(run_first: bool) -> None:
    missing: Any = dict.fromkeys(PARENTS)
    created = frame("thread.run.created", run())
    others = [
        frame("thread.run.step.created", step(**missing)),
        frame("thread.message.created", message(**missing)),
        step_delta(function(0, "a"), step_id="step_2"),
        message_delta(text(0, "a"), message_id="msg_2"),
    ]
    folded = fold(created, *others) if run_first else fold(*others, created)
    found = [{name: getattr(made, name) for name in PARENTS} for made in folded.steps]
    found += [{name: getattr(said, name) for name in PARENTS} for said in folded.messages]
    assert found == [PARENTS] * 4


def test_parent_ids_that_are_there_stay() -> None:
    other: Any = {"run_id": "run_x", "assistant_id": "asst_x", "thread_id": "thread_x"}
    folded = fold(
        frame("thread.run.step.created", step(**other)), frame("thread.run.created", run())
    )
    (made,) = folded.steps
    assert {name: getattr(made, name) for name in PARENTS} == other


def test_a_runs_thread_comes_from_the_thread_and_from_the_run_before() -> None:
    bare = {"id": RUN, "status": "queued"}
    folded = fold(frame("thread.created", thread()), frame("thread.run.created", bare))
    assert folded.run is not None
    assert folded.run.thread_id == THREAD
    assert folded.run.raw == encoded(bare)
    folded = fold(frame("thread.run.created", run()), frame("thread.run.completed", bare))
    assert folded.run is not None
    assert (folded.run.thread_id, folded.run.assistant_id) == (THREAD, ASSISTANT)


def test_ids_that_only_a_later_run_event_has_reach_what_came_before() -> None:
    bare = {"id": RUN, "status": "queued"}
    folded = fold(
        frame("thread.run.created", bare),
        step_delta(function(0, "a")),
        message_delta(text(0, "a")),
        frame("thread.run.in_progress", run("in_progress")),
    )
    assert folded.steps[0].thread_id == folded.messages[0].thread_id == THREAD
    assert folded.steps[0].assistant_id == folded.messages[0].assistant_id == ASSISTANT


def test_an_id_that_the_run_does_not_know_either_stays_unknown() -> None:
    folded = fold(
        frame("thread.run.created", {"id": RUN, "status": "queued"}),
        frame("thread.run.step.created", step(thread_id=None)),
    )
    (made,) = folded.steps
    assert (made.thread_id, made.run_id, made.assistant_id) == ("", RUN, ASSISTANT)


def test_without_a_run_the_parents_stay_unknown() -> None:
    (made,) = fold(step_delta(function(0, "a"))).steps
    assert (made.thread_id, made.run_id, made.assistant_id) == ("", "", "")


def test_filling_in_an_id_does_not_change_the_event() -> None:
    thread_created, created = decode(
        frame("thread.created", thread()),
        frame("thread.run.created", {"id": RUN, "status": "queued"}),
    )
    before = copy.deepcopy(created.data)
    folded = Accumulator()
    folded.apply(thread_created)
    folded.apply(created)
    assert created.data == before


# Unknown variants


def test_an_unknown_call_is_merged() -> None:
    (made,) = fold(
        step_delta(
            placed(0, "openapi", id="call_1", server={"label": "a", "tries": 1}, output=None)
        ),
        step_delta(placed(0, "openapi", server={"label": None, "tries": 1}, list=[1])),
        step_delta(placed(0, "openapi", server={"tries": 2, "deep": {"x": 1}}, list=[])),
        step_delta({"index": 0, "server": {"deep": {"y": 2}}}),
    ).steps
    assert isinstance(made.step_details, ToolCallsStepDetails)
    (call,) = made.step_details.tool_calls
    assert isinstance(call, UnknownToolCall)
    assert (call.type, call.id, call.index) == ("openapi", "call_1", None)
    assert call.value == {
        "type": "openapi",
        "id": "call_1",
        "server": {"label": "a", "tries": 2, "deep": {"x": 1, "y": 2}},
        "output": None,
        "list": [1],
    }


def test_an_unknown_calls_arguments_are_concatenated() -> None:
    pieces = [step_delta(placed(0, "openapi", function={"arguments": p})) for p in ("", "{", "}")]
    opened = step_delta(placed(0, "openapi", id="c", function={"name": "f", "arguments": ""}))
    assert calls(opened) == [
        {"type": "openapi", "id": "c", "function": {"name": "f", "arguments": ""}}
    ]
    assert calls(opened, *pieces) == [
        {"type": "openapi", "id": "c", "function": {"name": "f", "arguments": "{}"}}
    ]


@pytest.mark.parametrize("payload", ["text", None, {"arguments": {"a": 1}}, {"name": "f"}])
def test_an_unknown_call_may_have_a_function_of_another_form(payload: Any) -> None:
    sent = placed(0, "openapi", function=payload)
    assert calls(step_delta(sent)) == [{"type": "openapi", "function": payload}]


def test_an_unknown_call_that_came_whole_keeps_its_arguments() -> None:
    whole = {"type": "openapi", "id": "c", "function": {"arguments": "{"}, "x": None}
    (call,) = calls(
        frame("thread.run.step.in_progress", step(calls=[whole])),
        step_delta(placed(0, "openapi", function={"arguments": "}"})),
    )
    assert call == whole | {"function": {"arguments": "{}"}}


def test_unknown_content_outputs_annotations_and_details_are_merged() -> None:
    made = content(
        message_delta(placed(0, "video", id="v", x=1)),
        message_delta(placed(0, "video", y=2), text(1, "", placed(0, "url_citation", a=1))),
        message_delta(text(1, "", placed(0, "url_citation", b=2))),
    )
    assert made[0] == {"type": "video", "id": "v", "x": 1, "y": 2}
    assert made[1]["text"]["annotations"] == [{"type": "url_citation", "a": 1, "b": 2}]
    (call,) = calls(
        step_delta(code(0, None, placed(0, "table", rows=1))),
        step_delta(code(0, None, placed(0, "table", columns=2))),
    )
    assert call["code_interpreter"]["outputs"] == [{"type": "table", "rows": 1, "columns": 2}]
    (step_made,) = fold(
        details_delta({"type": "activities", "id": "a", "x": 1}),
        details_delta({"type": "activities", "y": 2}),
    ).steps
    assert isinstance(step_made.step_details, UnknownStepDetails)
    assert step_made.type == "activities"
    assert step_made.step_details.value == {"type": "activities", "id": "a", "x": 1, "y": 2}


@pytest.mark.parametrize(("sent", "expected"), [(None, ""), (7, ""), ([], "")])
def test_an_unknown_part_may_have_a_type_and_an_id_that_are_no_text(
    sent: Any, expected: str
) -> None:
    (said,) = fold(message_delta({"index": 0, "type": sent, "id": 7})).messages
    (part,) = said.content
    assert isinstance(part, UnknownContentBlock)
    assert (part.type, part.id, part.value) == (expected, None, {"type": sent, "id": 7})


@pytest.mark.parametrize("number", ["1e999", "-1e999", "1" * 5000])
def test_an_unknown_part_that_cannot_be_read_is_an_error_and_leaves_no_part(number: str) -> None:
    folded = fold(message_delta(text(0, "a")))
    sent = message_delta(placed(1, "foreign", x="<number>"))
    (event,) = decode(sent.replace(b'"<number>"', number.encode()))
    with pytest.raises(StreamError, match="a foreign delta cannot be read"):
        folded.apply(event)
    assert to_dict(folded.messages[0].content) == [whole_text("a")]


def test_a_whole_object_with_a_part_that_cannot_be_read_stays_whole() -> None:
    sent = step(calls=[whole_function("call_1", "f", "{}", None), placed(None, "foreign", x="<n>")])
    raw = frame("thread.run.step.in_progress", sent).replace(b'"<n>"', b"1e999")
    folded = fold(raw)
    with pytest.raises(StreamError, match="a foreign delta cannot be read"):
        folded.apply(decode(step_delta(function(0, "a")))[0])
    (made,) = folded.steps
    assert isinstance(made.step_details, ToolCallsStepDetails)
    assert len(made.step_details.tool_calls) == 2


def nested(depth: int) -> Any:
    """Lists and objects in turn, in the variant itself as the first of them."""
    value: Any = 1
    for level in range(depth - 1):
        value = [value] if level % 2 else {"x": value}
    return placed(0, "foreign", y=value)


def test_an_unknown_part_may_be_nested_up_to_a_bound() -> None:
    assert calls(step_delta(nested(MAX_NESTING)))[0]["type"] == "foreign"
    with pytest.raises(LimitExceededError, match="deeper than 64 levels"):
        fold(step_delta(nested(MAX_NESTING + 1)))
    with pytest.raises(LimitExceededError, match="deeper than 64 levels"):
        fold(step_delta(nested(800)))


def test_a_forged_unknown_part_is_an_error() -> None:
    forged = {"type": "asyncruns.unknown", "unknown_type": "x", "raw": "MTIz"}
    with pytest.raises(StreamError, match="a x delta is no object"):
        fold(step_delta(forged))


def test_an_unknown_part_of_our_own_is_folded_like_one_that_was_sent() -> None:
    piece = UnknownToolCallDelta(unknown_type="mcp", index=0, raw=b'{"type":"mcp","x":1}')
    details = ToolCallDeltaObject(tool_calls=[piece])
    change = RunStepDeltaEvent(id="step_1", delta=RunStepDelta(step_details=details))
    folded = Accumulator()
    folded.apply(ThreadRunStepDelta(change, b"", recovered=True))
    assert calls_of(folded.steps[0]) == [{"type": "mcp", "x": 1}]


# Snapshots


def test_raw_is_on_whole_snapshots_only() -> None:
    folded = fold(frame("thread.run.created", run()), frame("thread.created", thread()))
    assert folded.run is not None
    assert folded.thread is not None
    assert folded.run.raw == encoded(run())
    assert folded.thread.raw == encoded(thread())
    assert fold(CREATED).steps[0].raw == encoded(step())
    assert fold(STARTED).messages[0].raw == encoded(message())
    assert fold(CREATED, step_delta(function(0, "a"))).steps[0].raw is None
    assert fold(STARTED, message_delta(text(0, "a"))).messages[0].raw is None
    end = message("msg_1", "completed", whole_text("ab"))
    ended = fold(STARTED, message_delta(text(0, "a")), frame("thread.message.completed", end))
    assert ended.messages[0].raw == encoded(end)


def test_raw_stays_where_only_a_parent_was_filled_in() -> None:
    bare = step(run_id=None)
    folded = fold(frame("thread.run.step.created", bare), frame("thread.run.created", run()))
    (made,) = folded.steps
    assert made.run_id == RUN
    assert made.raw == encoded(bare)


def test_raw_is_gone_where_the_details_are_not_the_servers() -> None:
    ended = frame("thread.run.step.completed", step("step_1", "completed"))
    assert fold(CREATED, step_delta(function(0, "a")), ended).steps[0].raw is None
    named = frame("thread.run.step.created", step(message_id="msg_1"))
    bare = frame("thread.run.step.completed", step("step_1", "completed", step_details=None))
    assert fold(named, bare).steps[0].raw is None


@pytest.mark.parametrize("shape", RUNS)
def test_a_snapshot_that_was_handed_out_never_changes(shape: str) -> None:
    accumulator = Accumulator()
    held: list[tuple[Any, bytes]] = []
    for event in decode(*RUNS[shape], *RUNS[shape]):
        accumulator.apply(event)
        snapshot = (accumulator.run, accumulator.steps, accumulator.messages)
        held.append((snapshot, msgspec.json.encode(snapshot)))
    assert all(msgspec.json.encode(snapshot) == before for snapshot, before in held)


def test_a_snapshot_of_every_kind_of_part_never_changes() -> None:
    log, note = {"index": 0, "type": "logs", "logs": "a"}, placed(0, "url_citation", x={"y": 1})
    deltas = [
        step_delta(function(0, "a", id="c")),
        step_delta(code(1, "a", log, placed(1, "image", image={"file_id": "a"}))),
        step_delta(placed(2, "file_search", file_search={"ranking_options": RANKING})),
        step_delta(placed(3, "mcp", function={"arguments": "a"}, x={"y": 1})),
        message_delta(text(0, "a", citation(), note), placed(1, "refusal", refusal="a")),
        message_delta(placed(2, "image_file", image_file={"file_id": "a"})),
        details_delta({"type": "activities", "x": {"y": 1}}, "step_2"),
    ]
    again = [delta.replace(b'"a"', b'"b"').replace(b'"y":1', b'"y":2') for delta in deltas]
    folded = fold(*deltas)
    held: list[Any] = [*folded.steps, *folded.messages]
    before = msgspec.json.encode(held)
    for event in decode(*again):
        folded.apply(event)
    assert msgspec.json.encode(held) == before
    now: list[Any] = [*folded.steps, *folded.messages]
    assert all(new != old for new, old in zip(now, held, strict=True))


def test_reading_again_costs_nothing_until_the_object_changes() -> None:
    folded = fold(CREATED, STARTED, step_delta(function(0, "a")), message_delta(text(0, "a")))
    (made,), (said,) = folded.steps, folded.messages
    assert folded.steps[0] is made
    assert folded.step("step_1") is made
    folded.apply(decode(message_delta(text(0, "b")))[0])
    assert folded.steps[0] is made
    assert folded.messages[0] is not said


def strings_of(folded: Accumulator) -> list[Any]:
    step_parts = folded._steps["step_1"].parts.by_index
    message_parts = folded._messages["msg_1"].parts.by_index
    return [step_parts[0].arguments._pieces, message_parts[0].value._pieces]


def test_pieces_are_joined_when_they_are_read_and_not_before() -> None:
    count = 500
    chunks = [step_delta(function(0, f"{n},", id="call_1")) for n in range(count)]
    chunks += [message_delta(text(0, f"{n},")) for n in range(count)]
    folded = fold(*chunks)
    assert [len(pieces) for pieces in strings_of(folded)] == [count, count]
    joined = "".join(f"{n}," for n in range(count))
    assert calls_of(folded.steps[0])[0]["function"]["arguments"] == joined
    assert to_dict(folded.messages[0].content) == [whole_text(joined)]
    assert strings_of(folded) == [[joined], [joined]]


def changed(folded: Accumulator, delta: bytes) -> list[tuple[Any, int, Any]]:
    """What a delta changes: each of its pieces, its index, and what the part is then."""
    (event,) = decode(delta)
    assert isinstance(event, ThreadRunStepDelta | ThreadMessageDelta)
    folded.apply(event)
    return [(piece, index, part.build()) for piece, index, part in folded.changed_parts(event.data)]


def test_the_parts_that_a_delta_went_to_can_be_told() -> None:
    folded = fold(step_delta(function(0, "a", id="call_a")), message_delta(text(3, "a")))
    delta = step_delta(function(None, "b", id="call_a"), function(4, "c"), function(None, "d"))
    told = [
        (piece.function.arguments, index, part.function.arguments)
        for piece, index, part in changed(folded, delta)
    ]
    assert told == [("b", 0, "ab"), ("c", 4, "c"), ("d", 2, "d")]
    ((piece, index, part),) = changed(folded, message_delta(text(3, "b")))
    assert (piece.text.value, index, part.text.value) == ("b", 3, "ab")


def test_a_part_that_another_piece_of_the_delta_replaced_is_not_told() -> None:
    told = changed(Accumulator(), step_delta(function(0, "a"), code(0, "b")))
    assert [(piece.type, index, part.type) for piece, index, part in told] == [
        ("code_interpreter", 0, "code_interpreter")
    ]


class WatchedList(list[Any]):
    """A list that counts how often it is gone through."""

    times = 0

    def __iter__(self) -> Any:
        WatchedList.times += 1
        return super().__iter__()


def test_pieces_without_an_index_are_not_searched_for_each_of_them() -> None:
    sent = [function(None, "a") for _ in range(100)]
    (event,) = decode(step_delta(*sent))
    assert isinstance(event, ThreadRunStepDelta)
    details = event.data.delta.step_details
    assert isinstance(details, ToolCallDeltaObject)
    parts = Parts(CALLS)
    parts.apply(WatchedList(details.tool_calls or ()))
    assert len(parts.build()) == 100
    assert WatchedList.times == 1


@pytest.mark.parametrize(
    "delta",
    [
        details_delta(None),
        details_delta({"type": "tool_calls"}),
        details_delta({"type": "message_creation"}),
        message_delta(),
        frame("thread.message.delta", {"id": "msg_1", "delta": {}}),
    ],
)
def test_a_delta_without_parts_went_to_none(delta: bytes) -> None:
    assert changed(Accumulator(), delta) == []


def test_a_deferred_block_that_asks_for_nothing_changes_nothing() -> None:
    folded = fold(STARTED)
    folded.defer(b"msg_1", b": ping")
    folded.defer(b"msg_2", b": ping")
    assert folded.messages == fold(STARTED).messages
    assert folded.steps == []


def test_a_call_whose_place_another_one_took_is_found_no_more() -> None:
    made = calls(
        step_delta(function(None, "a", id="call_a")),
        step_delta(code(None, "b")),
        step_delta(function(None, "c", id="call_a")),
    )
    assert [call["type"] for call in made] == ["code_interpreter", "function"]
    assert made[1]["function"]["arguments"] == "c"


def test_snapshots_are_complete_objects() -> None:
    folded = fold(step_delta(function(0, "a")), message_delta(text(0, "a")))
    assert isinstance(folded.steps[0], RunStep)
    assert isinstance(folded.messages[0], Message)
    fields = {field.encode_name for field in msgspec.structs.fields(RunStep)}
    assert set(to_dict(folded.steps[0])) == fields
    assert json.loads(msgspec.json.encode(folded.messages[0]))["status"] == "in_progress"


def test_the_accumulator_is_what_the_room_exports() -> None:
    assert accumulator_module.__all__ == ["Accumulator", "texts_of"]


def test_the_texts_of_a_message_are_those_of_its_snapshot() -> None:
    image = {"index": 1, "type": "image_file", "image_file": {"file_id": "file_1"}}
    folded = fold(message_delta(text(2, "!"), image, text(0, "He")), message_delta(text(0, "y")))
    assert folded.texts("msg_1") == ["Hey", "", "!"]
    (message,) = folded.messages
    assert texts_of(message) == ["Hey", "", "!"]
    assert folded.texts("msg_2") == []


def test_a_call_is_found_by_its_id_as_far_as_it_has_come() -> None:
    folded = fold(step_delta(function(0, '{"a"', id="call_a"), function(1, "{", id="call_b")))
    found = folded.find_call("call_a")
    assert found is not None
    part, ended = found
    assert not isinstance(part, msgspec.Struct)
    assert getattr(part, "arguments").join() == '{"a"'  # noqa: B009 -- Part promises no arguments
    assert not ended
    assert folded.find_call("call_c") is None


def test_a_call_of_an_ended_step_is_found_as_it_came() -> None:
    whole = whole_function("call_a", "f", "{}", "out")
    folded = fold(frame("thread.run.step.completed", step("step_1", "completed", calls=[whole])))
    details = folded.steps[0].step_details
    assert isinstance(details, ToolCallsStepDetails)
    assert folded.find_call("call_a") == (details.tool_calls[0], True)


def test_it_is_open_until_each_step_and_each_message_has_ended() -> None:
    frames = [
        frame("thread.run.step.created", step("step_1", "in_progress")),
        frame("thread.message.created", message("msg_1", "in_progress")),
        frame("thread.run.step.completed", step("step_1", "completed")),
        frame("thread.message.completed", message("msg_1", "completed")),
    ]
    opened = [fold(*frames[:count]).is_open for count in range(len(frames) + 1)]
    assert opened == [False, True, True, True, False]
