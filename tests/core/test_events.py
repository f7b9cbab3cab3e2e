"""Frames to events: the names of the protocol, the odd frames, and what cannot be read."""

from __future__ import annotations

import inspect
from typing import Any, get_args

import pytest
from msgspec.structs import fields

from asyncruns import events as events_module
from asyncruns.errors import LimitExceededError, StreamError
from asyncruns.events import (
    EVENTS,
    DoneEvent,
    ErrorEvent,
    EventDecoder,
    MessageEvent,
    RunEvent,
    RunStepEvent,
    ThreadCreated,
    ThreadMessageDelta,
    ThreadRunCompleted,
    ThreadRunCreated,
    ThreadRunStepDelta,
    UnknownEvent,
    decode_block,
)
from asyncruns.models import (
    ErrorObject,
    Message,
    MessageDeltaEvent,
    Run,
    RunStep,
    RunStepDeltaEvent,
    Thread,
)
from tests.core.shapes import (
    DONE,
    RUNS,
    decode,
    encoded,
    frame,
    function,
    message,
    run,
    step,
    step_delta,
    text,
    thread,
)

SENT: dict[Any, Any] = {
    Thread: thread(),
    Run: run(),
    RunStep: step(),
    Message: message(),
    RunStepDeltaEvent: {"id": "s", "delta": {"step_details": {"type": "tool_calls"}}},
    MessageDeltaEvent: {"id": "m", "delta": {"content": [text(0, "a")]}},
}

RUN_STATES = (
    "created queued in_progress requires_action completed incomplete failed cancelling cancelled "
    "expired"
)
STEP_STATES = "created in_progress completed failed cancelled expired"
MESSAGE_STATES = "created in_progress completed incomplete"

NAMES: dict[str, Any] = {
    "thread.created": Thread,
    **{f"thread.run.{state}": Run for state in RUN_STATES.split()},
    **{f"thread.run.step.{state}": RunStep for state in STEP_STATES.split()},
    "thread.run.step.delta": RunStepDeltaEvent,
    **{f"thread.message.{state}": Message for state in MESSAGE_STATES.split()},
    "thread.message.delta": MessageDeltaEvent,
}


def only(*chunks: bytes) -> Any:
    (event,) = decode(*chunks)
    return event


# Names


@pytest.mark.parametrize("name", NAMES)
def test_a_name_gives_its_class_with_the_name_the_object_and_its_json(name: str) -> None:
    sent = SENT[NAMES[name]]
    event = only(frame(name, sent))
    assert type(event) is EVENTS[name]
    assert event.event == name
    assert isinstance(event.data, NAMES[name])
    assert fields(EVENTS[name])[0].type is NAMES[name]
    assert event.data.id == sent["id"]
    assert event.raw == encoded(sent)
    assert not event.recovered


def test_the_names_are_those_of_the_protocol() -> None:
    assert set(EVENTS) == {*NAMES, "error", "done"}
    assert all(kind.event == name for name, kind in EVENTS.items())


def test_the_unions_hold_the_classes_with_their_object() -> None:
    def classes(kind: type) -> set[type]:
        return {EVENTS[name] for name in NAMES if NAMES[name] is kind}

    assert set(get_args(RunEvent)) == classes(Run)
    assert set(get_args(RunStepEvent)) == classes(RunStep)
    assert set(get_args(MessageEvent)) == classes(Message)
    assert set(get_args(events_module.Event)) == {*EVENTS.values(), UnknownEvent}


def test_everything_public_is_exported() -> None:
    classes = {kind.__name__ for kind in (*EVENTS.values(), UnknownEvent)}
    unions = {"Event", "RunEvent", "RunStepEvent", "MessageEvent"}
    public = {*classes, *unions, "EVENTS", "EventDecoder", "decode_block"}
    assert set(events_module.__all__) == public
    documented = [inspect.getdoc(getattr(events_module, name)) for name in classes]
    assert len(set(documented)) == len(classes)


@pytest.mark.parametrize(
    "name", [name for name, kind in NAMES.items() if not kind.__name__.endswith("DeltaEvent")]
)
def test_a_whole_object_remembers_its_json(name: str) -> None:
    event = only(frame(name, SENT[NAMES[name]]))
    assert event.data.raw == event.raw
    assert event.data.request_id is None


def test_a_whole_object_remembers_its_json_after_the_lenient_decode_too() -> None:
    sent = run(tools=[{"type": "mcp"}])
    event = only(frame("thread.run.created", sent))
    assert event.data.raw == event.raw == encoded(sent)


@pytest.mark.parametrize("shape", RUNS)
def test_a_stream_in_a_recorded_shape_has_only_known_events(shape: str) -> None:
    events = decode(b"".join(RUNS[shape]))
    assert len(events) == len(RUNS[shape])
    assert not [event for event in events if isinstance(event, UnknownEvent)]
    assert isinstance(events[-1], DoneEvent)


# Done


@pytest.mark.parametrize(
    ("sent", "raw"),
    [
        (DONE, b"[DONE]"),
        (b"data: [DONE]\n\n", b"[DONE]"),
        (b"data:[DONE]\r\n\r\n", b"[DONE]"),
        (b"event:done\ndata:[DONE]\n\n", b"[DONE]"),
        (b"event: done\ndata: [DONE]\nid: 9\n\n", b"[DONE]"),
        (b"event: done\ndata: {}\n\n", b"{}"),
        (b"event: done\ndata: \n\n", b""),
        (b"event:done\ndata\n\n", b""),
        (b'data: {"event":"done","data":"[DONE]"}\n\n', b'"[DONE]"'),
        (b"event: done\ndata: [DONE]", b"[DONE]"),
        (b"data: [DONE]", b"[DONE]"),
    ],
)
def test_done_comes_in_many_forms(sent: bytes, raw: bytes) -> None:
    event = only(sent)
    assert isinstance(event, DoneEvent)
    assert event.event == "done"
    assert event.data is None
    assert event.raw == raw


# Errors


@pytest.mark.parametrize(
    "sent",
    [
        {"error": {"message": "Broken.", "type": "server_error", "param": None, "code": "c"}},
        {"message": "Broken.", "type": "server_error", "param": None, "code": "c"},
        {"error": None, "message": "Broken.", "type": "server_error", "code": "c"},
    ],
)
@pytest.mark.parametrize("name", [b"event: error\n", b"event:error\n"])
def test_both_forms_of_an_error_give_the_same(sent: Any, name: bytes) -> None:
    event = only(name + b"data: " + encoded(sent) + b"\n\n")
    assert isinstance(event, ErrorEvent)
    assert event.data == ErrorObject(message="Broken.", type="server_error", code="c")
    assert event.raw == encoded(sent)


def test_an_error_may_be_a_string() -> None:
    assert only(frame("error", {"error": "Broken."})).data == ErrorObject(message="Broken.")


def test_an_errors_numbers_become_text() -> None:
    assert only(frame("error", {"error": {"code": 500}})).data == ErrorObject(code="500")


def test_an_error_without_facts_has_none() -> None:
    assert only(frame("error", {})).data == ErrorObject()
    assert only(frame("error", {"error": {}})).data == ErrorObject()


@pytest.mark.parametrize("data", ["[]", '"Broken."', "null", "1"])
def test_an_error_that_is_no_object_cannot_be_read(data: str) -> None:
    with pytest.raises(StreamError, match="error event cannot be read: Expected `object`"):
        decode(f"event: error\ndata: {data}\n\n".encode())


# The envelope


@pytest.mark.parametrize("name", NAMES)
def test_the_envelope_gives_the_same_event(name: str) -> None:
    sent = SENT[NAMES[name]]
    enveloped = b"data: " + encoded({"event": name, "data": sent}) + b"\n\n"
    event = only(enveloped)
    assert event == only(frame(name, sent))
    assert event.raw == encoded(sent)


@pytest.mark.parametrize("before", [b"event: message\n", b"event:\n", b"event\n", b"id: 1\n"])
def test_the_envelope_may_come_in_a_message_event(before: bytes) -> None:
    sent = encoded({"event": "thread.created", "data": thread(), "more": 1})
    assert isinstance(only(before + b"data: " + sent + b"\n\n"), ThreadCreated)


def test_the_envelope_of_an_unknown_event_is_opened() -> None:
    event = only(b'data: {"event":"thread.run.paused","data":{"a":1}}\n\n')
    assert event == UnknownEvent({"a": 1}, b'{"a":1}', event="thread.run.paused")


def test_an_event_line_with_a_known_name_is_no_envelope() -> None:
    sent = thread(event="thread.run.created", data=run())
    assert isinstance(only(frame("thread.created", sent)), ThreadCreated)


@pytest.mark.parametrize("odd", [b"\xff", rb"\ud800"])
def test_text_that_is_none_hides_no_envelope(odd: bytes) -> None:
    sent = encoded({"event": "thread.created", "data": thread(id="<odd>")})
    event = only(b"data: " + sent.replace(b"<odd>", odd) + b"\n\n")
    assert isinstance(event, ThreadCreated)
    assert event.data.id == "\ufffd"


@pytest.mark.parametrize(
    "data", ['{"event":7,"data":{}}', '{"data":{}}', '{"event":"done"}', "[]", "1", '{"a":"b"}']
)
def test_a_frame_without_a_name_that_is_no_envelope_is_unknown(data: str) -> None:
    event = only(f"data: {data}\n\n".encode())
    assert isinstance(event, UnknownEvent)
    assert event.event == "message"
    assert event.raw == data.encode()


# Unknown events


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ('{"a":[1,null]}', {"a": [1, None]}),
        ("null", None),
        ("7", 7),
        ('"text"', "text"),
        ("plain words", "plain words"),
        ("[DONE]", "[DONE]"),
        ("", ""),
        ('"\\ud800"', "\ufffd"),
    ],
)
def test_an_unknown_event_has_its_json_or_its_text(data: str, expected: Any) -> None:
    event = only(f"event: thread.run.paused\ndata: {data}\n\n".encode())
    assert isinstance(event, UnknownEvent)
    assert event.event == "thread.run.paused"
    assert event.data == expected
    assert event.raw == data.encode()


def test_an_unknown_events_bytes_may_be_no_text() -> None:
    event = only(b"event: beat\xff\ndata: \xfe\n\n")
    assert event == UnknownEvent("\ufffd", b"\xfe", event="beat\ufffd")


@pytest.mark.parametrize("name", ["Thread.created", "thread.created ", "thread.run", "thread"])
def test_a_name_that_is_nearly_known_is_unknown(name: str) -> None:
    assert isinstance(only(frame(name, thread())), UnknownEvent)


# Odd frames

CREATED = encoded(thread())


@pytest.mark.parametrize(
    "sent",
    [
        b"event: thread.created\ndata: " + CREATED + b"\n\n",
        b"event:thread.created\ndata:" + CREATED + b"\n\n",
        b"event: thread.created\ndata:" + CREATED + b"\n\n",
        b"event: thread.created\ndata:  " + CREATED + b"\n\n",
        b"event:thread.created\r\ndata: " + CREATED + b"\r\n\r\n",
        b"event: thread.created\rdata: " + CREATED + b"\r\r",
        b"data: " + CREATED + b"\nevent: thread.created\n\n",
        b"id: 4\nevent: thread.created\ndata: " + CREATED + b"\n\n",
        b"event: thread.created\nid: 4\ndata: " + CREATED + b"\n\n",
        b"event: thread.created\ndata: " + CREATED + b"\nid: 4\n\n",
        b"event: thread.created\ndata: " + CREATED + b"\nretry: 100\n\n",
        b": ping\nevent: thread.created\ndata: " + CREATED + b"\n\n",
        b"event: thread.created\ndata: " + CREATED + b"\n: ping\n\n",
        b"event: other\nevent: thread.created\ndata: " + CREATED + b"\n\n",
        b"\xef\xbb\xbfevent: thread.created\ndata: " + CREATED + b"\n\n",
        b"\n\n\nevent: thread.created\ndata: " + CREATED + b"\n\n\n\n",
    ],
)
def test_an_odd_frame_gives_the_ordinary_event(sent: bytes) -> None:
    event = only(sent)
    assert isinstance(event, ThreadCreated)
    assert event.data.id == thread()["id"]
    assert event.raw.strip() == CREATED


def test_json_may_stand_on_several_data_lines() -> None:
    lines = b'event: thread.created\ndata: {\ndata: \ndata:  "id":\ndata: "thread_1"}\n\n'
    event = only(lines)
    assert isinstance(event, ThreadCreated)
    assert event.data.id == "thread_1"
    assert event.raw == b'{\n\n "id":\n"thread_1"}'


@pytest.mark.parametrize(
    "sent",
    [
        b": ping\n\n",
        b":\n\n",
        b"event: thread.created\n\n",
        b"retry: 100\n\n",
        b"data:\n\n",
        b"data: \n\n",
        b"event: message\ndata:\n\n",
        b"\n\n\n",
    ],
)
def test_a_frame_that_asks_for_nothing_gives_no_event(sent: bytes) -> None:
    assert decode(sent) == []
    assert decode(sent, DONE) == decode(DONE)


def test_a_block_can_be_decoded_alone() -> None:
    assert decode_block(DONE.strip()) == DoneEvent(None, b"[DONE]")
    assert decode_block(b"") is None


# What cannot be read


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("space", [" ", ""])
@pytest.mark.parametrize("data", ["", "{", "[]", "7", "null", '"text"', "[DONE]", "{}", "plain"])
def test_data_that_is_not_the_object_is_an_error_that_names_the_event(
    name: str, space: str, data: str
) -> None:
    with pytest.raises(StreamError) as caught:
        decode(f"event:{space}{name}\ndata:{space}{data}\n\n".encode())
    assert caught.value.event == name
    assert str(caught.value).startswith(f"the data of a {name} event cannot be read: ")
    assert str(caught.value).endswith(f"; it begins {data!r}")
    assert isinstance(caught.value.__cause__, ValueError)


def test_a_long_text_that_cannot_be_read_is_shown_by_its_beginning() -> None:
    with pytest.raises(StreamError) as caught:
        decode(b"event: thread.created\ndata: \xff" + b"y" * 10_000 + b"\n\n")
    assert str(caught.value).endswith("; it begins " + repr("\ufffd" + "y" * 199))


@pytest.mark.parametrize(
    "sent",
    [
        {"delta": {}},
        {"id": None, "delta": {}},
        {"id": "s"},
        {"id": "s", "delta": []},
        {"id": "s", "delta": {"step_details": {"type": "tool_calls", "tool_calls": {}}}},
        {"id": "s", "delta": {"step_details": {"type": "tool_calls", "tool_calls": [7]}}},
        {"id": "s", "delta": {"step_details": 7}},
    ],
)
def test_a_delta_of_the_wrong_shape_is_a_stream_error(sent: Any) -> None:
    with pytest.raises(StreamError, match=r"thread\.run\.step\.delta"):
        decode(frame("thread.run.step.delta", sent))


# The decoder


def test_events_are_decoded_when_the_iteration_comes_to_them() -> None:
    decoder = EventDecoder()
    events = decoder.feed(frame("thread.created", thread()) + b"event: error\ndata: no\n\n")
    assert isinstance(next(events), ThreadCreated)
    with pytest.raises(StreamError):
        next(events)


def test_behind_data_that_cannot_be_read_the_iteration_can_go_on() -> None:
    decoder = EventDecoder()
    good, bad = frame("thread.run.created", run()), b"event: thread.created\ndata: no\n\n"
    events = decoder.feed(good + bad + good)
    assert isinstance(next(events), ThreadRunCreated)
    with pytest.raises(StreamError):
        next(events)
    assert isinstance(next(events), ThreadRunCreated)
    assert list(events) == []
    assert [type(event) for event in decoder.feed(good)] == [ThreadRunCreated]


def test_a_frame_over_the_limit_fails_at_the_call() -> None:
    decoder = EventDecoder(limit=100)
    with pytest.raises(LimitExceededError, match="limit of 100 bytes"):
        decoder.feed(frame("thread.created", thread(metadata={"a": "x" * 100})))


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_a_last_frame_without_its_blank_line_counts_if_its_data_is_whole(end: bytes) -> None:
    decoder = EventDecoder()
    assert list(decoder.feed(b"event: thread.created\r\ndata: " + CREATED + end)) == []
    (event,) = decoder.close()
    assert isinstance(event, ThreadCreated)
    assert event.raw == event.data.raw == CREATED
    assert decoder.leftover == b""


@pytest.mark.parametrize(
    "cut",
    [
        b"event: thread.created\ndata: " + CREATED[:-1],
        b"event: thread.created\ndata: ",
        b"event: thread.created",
        b"event: error\ndata: {",
        b"data: " + encoded({"event": "thread.created", "data": thread()})[:-1],
        b"data: [DON",
        b'event: thread.run.paused\ndata: {"a"',
        b"event: thread.run.paused\ndata: plain",
        b": ping",
        b"eve",
    ],
)
def test_a_last_frame_whose_data_is_cut_is_left_over(cut: bytes) -> None:
    decoder = EventDecoder()
    assert len(list(decoder.feed(DONE + cut))) == 1
    assert decoder.leftover == b""
    assert list(decoder.close()) == []
    assert decoder.leftover == cut


@pytest.mark.parametrize("data", [b'{"a":1}', b'"text"'])
def test_a_last_frame_of_an_unknown_event_counts_if_its_data_is_whole(data: bytes) -> None:
    event = only(b"event: thread.run.paused\ndata: " + data)
    assert isinstance(event, UnknownEvent)
    assert event.raw == data


def test_nothing_is_left_over_from_a_stream_that_ends_well() -> None:
    decoder = EventDecoder()
    list(decoder.feed(DONE))
    assert list(decoder.close()) == []
    assert decoder.leftover == b""


# The ordinary case


@pytest.mark.parametrize("shape", RUNS)
@pytest.mark.parametrize("size", [1, 2, 3, 7, 1 << 20])
def test_a_stream_gives_its_events_however_it_is_cut(shape: str, size: int) -> None:
    body = b"".join(RUNS[shape])
    chunks = [body[start : start + size] for start in range(0, len(body), size)]
    assert decode(*chunks) == decode(body)


def test_the_body_may_say_otherwise_than_the_name() -> None:
    event = only(frame("thread.run.completed", run("incomplete")))
    assert isinstance(event, ThreadRunCompleted)
    assert event.data.status == "incomplete"


def test_deltas_are_typed() -> None:
    step_change = only(step_delta(function(0, "{")))
    assert isinstance(step_change, ThreadRunStepDelta)
    message_change = only(frame("thread.message.delta", {"id": "m", "delta": {}}))
    assert isinstance(message_change, ThreadMessageDelta)
    assert message_change.data == MessageDeltaEvent(id="m", delta=message_change.data.delta)
