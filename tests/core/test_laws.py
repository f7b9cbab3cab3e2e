"""What holds for every stream: laws, and a slow folder of plain dicts beside the real one."""

from __future__ import annotations

import contextlib
import copy
import json
from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st

from asyncruns.accumulator import Accumulator
from asyncruns.errors import StreamError
from asyncruns.events import EventDecoder, ThreadMessageDelta, ThreadRunStepDelta
from asyncruns.models import ENDED_MESSAGE, ENDED_STEP, to_dict, to_json
from asyncruns.sse import FrameDecoder
from tests.core.reference import (
    SlowFolder,
    assert_messages_agree,
    assert_steps_agree,
    call_pieces,
    content_pieces,
    some,
    with_one_id_each,
    without_index,
)
from tests.core.shapes import (
    DONE,
    RANKING,
    RUNS,
    JSONObject,
    citation,
    code,
    decode,
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
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from asyncruns.events import Event

law = settings(deadline=None, max_examples=150)

Named = tuple[str, Any]
"""An event before it is a frame: its name and its data."""


def opened(raw: bytes) -> Named:
    name, _, data = raw.partition(b"\ndata: ")
    return name.removeprefix(b"event: ").decode(), json.loads(data)


NAMED = [opened(raw) for body in RUNS.values() for raw in body if raw != DONE]

ODD = [
    b": ping\n\n",
    b"event: error\ndata: {}\n\n",
    b"event: thread.message.delta\ndata: {\n\n",
    b"event: thread.run.paused\ndata: one\ndata: two\n\n",
    b"id: 7\nretry: 9\ndata: " + encoded({"event": "thread.run.created", "data": run()}) + b"\n\n",
    "data: \u2028\x85\n\n".encode(),
    b"data: \xff\xfe\n\n",
    b"data\n\n\n\n",
    DONE,
]

frames = st.sampled_from([raw for body in RUNS.values() for raw in body] + ODD)
line_ends = st.sampled_from([b"\n", b"\r", b"\r\n"])


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """A stream, each frame with line ends of its own, with a BOM or without, whole or cut."""
    sent = draw(st.lists(frames, max_size=8))
    body = b"".join(raw.replace(b"\n", draw(line_ends)) for raw in sent)
    body = draw(st.sampled_from([b"", b"\xef\xbb\xbf"])) + body
    return body[: len(body) - draw(st.sampled_from([0, 0, 1, 2, 3, 30]))]


def cut(body: bytes, places: Iterable[int]) -> list[bytes]:
    ends = sorted({place % (len(body) + 1) for place in places} | {len(body)})
    return [body[start:end] for start, end in zip([0, *ends], ends, strict=False)]


places = st.lists(st.integers(0, 1 << 16), max_size=30)


def outcomes(chunks: Sequence[bytes]) -> list[Any]:
    """All that a decoder gives: its events, its errors, and what is left over."""
    decoder = EventDecoder()
    made: list[Any] = []
    for events in [*map(decoder.feed, chunks), decoder.close()]:
        while True:
            try:
                made.append(next(events))
            except StopIteration:
                break
            except StreamError as exc:
                made.append(str(exc))
    return [*made, decoder.leftover]


# Chunks


@law
@given(bodies(), places)
def test_how_a_stream_is_cut_into_chunks_is_invisible(body: bytes, at: list[int]) -> None:
    assert outcomes(cut(body, at)) == outcomes([body])


@law
@given(bodies())
def test_a_stream_may_come_byte_by_byte(body: bytes) -> None:
    body = body[-700:]
    assert outcomes([bytes([byte]) for byte in body]) == outcomes([body])


@law
@given(st.binary(max_size=60), places)
def test_any_bytes_give_the_same_frames_however_they_are_cut(body: bytes, at: list[int]) -> None:
    def frames_of(chunks: list[bytes]) -> list[Any]:
        decoder = FrameDecoder()
        made = [found for chunk in chunks for found in decoder.feed(chunk)]
        return [*made, decoder.close()]

    assert frames_of(cut(body, at)) == frames_of([body])


@law
@given(st.text("\n\r:ade tv\ufeff", max_size=60), st.integers(1, 3))
def test_line_ends_give_the_same_frames_however_they_are_cut(written: str, size: int) -> None:
    body = written.replace("a", "data").encode()
    whole, cutting = FrameDecoder(), FrameDecoder()
    expected = [*whole.feed(body), whole.close()]
    chunks = [body[start : start + size] for start in range(0, len(body), size)]
    assert [f for chunk in chunks for f in cutting.feed(chunk)] + [cutting.close()] == expected


# Pieces

pieces = st.lists(st.text(max_size=6), max_size=12)


def the_call(*deltas: bytes) -> Any:
    (made,) = fold(frame("thread.run.step.created", step()), *deltas).steps
    (call,) = to_dict(made.step_details)["tool_calls"] or [None]
    return call


def the_part(*deltas: bytes) -> Any:
    (said,) = fold(frame("thread.message.created", message()), *deltas).messages
    (part,) = to_dict(said.content)
    return part


@law
@given(pieces)
def test_the_pieces_of_arguments_fold_to_the_arguments(sent: list[str]) -> None:
    call = the_call(step_delta(function(0, "")), *[step_delta(function(0, p)) for p in sent])
    assert call["function"]["arguments"] == "".join(sent)


@law
@given(pieces)
def test_the_pieces_of_an_unknown_calls_arguments_fold_to_the_arguments(sent: list[str]) -> None:
    deltas = [step_delta(placed(0, "openapi", function={"arguments": p})) for p in ["", *sent]]
    assert the_call(*deltas)["function"]["arguments"] == "".join(sent)


@law
@given(pieces)
def test_the_pieces_of_code_fold_to_the_code(sent: list[str]) -> None:
    call = the_call(step_delta(code(0, "")), *[step_delta(code(0, p)) for p in sent])
    assert call["code_interpreter"]["input"] == "".join(sent)


@law
@given(pieces)
def test_the_pieces_of_logs_fold_to_the_logs(sent: list[str]) -> None:
    logs = [placed(0, "logs", logs=p) for p in ["", *sent]]
    (output,) = the_call(*[step_delta(code(0, None, log)) for log in logs])["code_interpreter"][
        "outputs"
    ]
    assert output == {"type": "logs", "logs": "".join(sent)}


@law
@given(pieces)
def test_the_pieces_of_a_text_fold_to_the_text(sent: list[str]) -> None:
    part = the_part(message_delta(text(0, "")), *[message_delta(text(0, p)) for p in sent])
    assert part["text"]["value"] == "".join(sent)


@law
@given(pieces)
def test_the_pieces_of_a_refusal_fold_to_the_refusal(sent: list[str]) -> None:
    deltas = [message_delta(placed(0, "refusal", refusal=p)) for p in ["", *sent]]
    assert the_part(*deltas)["refusal"] == "".join(sent)


# Folded, then completed

words = st.text(max_size=5)
names = st.sampled_from(["a", "b", "c", "\u00e9"])


@st.composite
def broken_up(draw: st.DrawFn, sent: str) -> list[str]:
    ends = sorted(draw(st.lists(st.integers(0, len(sent)), max_size=3)))
    return [sent[start:end] for start, end in zip([0, *ends], [*ends, len(sent)], strict=True)]


@st.composite
def calls_with_deltas(draw: st.DrawFn, index: int) -> tuple[JSONObject, list[JSONObject]]:
    """A finished call, and the pieces that make it."""
    call_id, kind = f"call_{index}", draw(st.sampled_from(["function", "code", "search", "mcp"]))
    string = draw(words)
    split = draw(broken_up(string))
    inside: Any
    if kind == "function":
        inside = {"name": draw(names), "arguments": string, "output": None}
        opening = function(index, "", id=call_id, name=inside["name"], output=None)
        rest = [function(index, piece) for piece in split]
        return {"id": call_id, "type": "function", "function": inside}, [opening, *rest]
    if kind == "code":
        outputs = draw(st.lists(outputs_with_deltas(), max_size=3))
        inside = {"input": string, "outputs": [whole for whole, _ in outputs]}
        opening = code(index, "", id=call_id)
        rest = [code(index, piece) for piece in split]
        rest += [
            code(index, None, placed(place, **piece))
            for place, (_, made) in enumerate(outputs)
            for piece in made
        ]
        return {"id": call_id, "type": "code_interpreter", "code_interpreter": inside}, [
            opening,
            *rest,
        ]
    if kind == "search":
        inside = {"ranking_options": RANKING, "results": []}
        sent = placed(index, "file_search", id=call_id, file_search=inside)
        return {"id": call_id, "type": "file_search", "file_search": inside}, [sent]
    sent = placed(index, "mcp", id=call_id, server=draw(names))
    return {"type": "mcp", "id": call_id, "server": sent["server"]}, [sent]


@st.composite
def outputs_with_deltas(draw: st.DrawFn) -> tuple[JSONObject, list[JSONObject]]:
    string = draw(words)
    if draw(st.booleans()):
        image = {"type": "image", "image": {"file_id": string}}
        return image, [{"kind": "image", "image": image["image"]}]
    split = draw(broken_up(string))
    return {"type": "logs", "logs": string}, [{"kind": "logs", "logs": piece} for piece in split]


@st.composite
def parts_with_deltas(draw: st.DrawFn, index: int) -> tuple[JSONObject, list[JSONObject]]:
    """A finished part of a message, and the pieces that make it."""
    string, kind = draw(words), draw(st.sampled_from(["text", "refusal", "image_file"]))
    split = draw(broken_up(string))
    if kind == "text":
        notes = draw(st.lists(names, max_size=3))
        deltas = [text(index, piece) for piece in split]
        deltas += [text(index, None, citation(place, note)) for place, note in enumerate(notes)]
        annotations = [whole_of(citation(place, note)) for place, note in enumerate(notes)]
        return {"type": "text", "text": {"value": string, "annotations": annotations}}, deltas
    if kind == "refusal":
        return {"type": "refusal", "refusal": string}, [
            placed(index, "refusal", refusal=piece) for piece in split
        ]
    image = {"file_id": string}
    return {"type": "image_file", "image_file": image}, [
        placed(index, "image_file", image_file=image)
    ]


def whole_of(note: JSONObject) -> JSONObject:
    """An annotation as a finished message has it: without its index and its quote."""
    whole = {name: value for name, value in note.items() if name != "index"}
    return whole | {"file_citation": {"file_id": note["file_citation"]["file_id"]}}


@st.composite
def interleaved(draw: st.DrawFn, rows: list[list[JSONObject]]) -> list[JSONObject]:
    """All pieces, in any order that keeps the order within each row."""
    waiting = [list(row) for row in rows if row]
    order: list[JSONObject] = []
    while waiting:
        row = draw(st.sampled_from(waiting))
        order.append(row.pop(0))
        waiting = [row for row in waiting if row]
    return order


@law
@given(st.data())
def test_a_folded_step_agrees_with_its_end(data: st.DataObject) -> None:
    made = [data.draw(calls_with_deltas(index)) for index in range(data.draw(st.integers(0, 3)))]
    folded = fold(frame("thread.run.step.created", step()))
    for piece in data.draw(interleaved([deltas for _, deltas in made])):
        apply_all(folded, decode(step_delta(piece)))
    end = step("step_1", "completed", calls=[whole for whole, _ in made])
    assert to_dict(folded.steps[0].step_details) == end["step_details"]
    apply_all(folded, decode(frame("thread.run.step.completed", end)))
    assert to_dict(folded.steps[0].step_details) == end["step_details"]
    assert folded.steps[0].status == "completed"


@law
@given(st.data())
def test_a_folded_message_agrees_with_its_end(data: st.DataObject) -> None:
    made = [data.draw(parts_with_deltas(index)) for index in range(data.draw(st.integers(0, 3)))]
    folded = fold(frame("thread.message.created", message()))
    for piece in data.draw(interleaved([deltas for _, deltas in made])):
        apply_all(folded, decode(message_delta(piece)))
    end = message("msg_1", "completed", *[whole for whole, _ in made])
    assert to_dict(folded.messages[0].content) == end["content"]
    apply_all(folded, decode(frame("thread.message.completed", end)))
    assert to_dict(folded.messages[0].content) == end["content"]
    assert folded.messages[0].status == "completed"


def apply_all(folded: Accumulator, events: Iterable[Event]) -> None:
    for event in events:
        folded.apply(event)


# Anything at all

JUNK: list[Any] = [
    None, True, 0, 7, -1, 65_536, 10**40, 1.5, "", "x", "completed", "asyncruns.unknown", [], {},
    [None], [[]], [7], {"type": "x"}, {"type": []}, {"type": "text"}, {"type": "function"},
    {"index": 0, "type": "function", "id": "call_1", "function": {"arguments": "x"}},
    {"type": "mcp", "id": "call_1", "function": {"arguments": ["x"]}},
    {"type": "asyncruns.unknown", "unknown_type": "x", "raw": "W10="},
]  # fmt: skip


def paths(value: Any, before: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where in a JSON value something else could stand."""
    if isinstance(value, dict):
        items: Iterable[tuple[Any, Any]] = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    else:
        items = ()
    inside = [path for name, item in items for path in paths(item, (*before, name))]
    return [before, *inside] if before else inside


@st.composite
def mutated(draw: st.DrawFn, named: Named) -> Named:
    """An event with something else in one place, or without what stood there."""
    name, data = named[0], copy.deepcopy(named[1])
    *way, last = draw(st.sampled_from(paths(data)))
    place = data
    for key in way:
        place = place[key]
    if draw(st.booleans()):
        place[last] = copy.deepcopy(draw(st.sampled_from(JUNK)))
    elif isinstance(place, dict):
        del place[last]
    return name, data


any_event = st.sampled_from(NAMED)
any_mutation = any_event.flatmap(mutated)


def survive(chunks: Iterable[bytes]) -> None:
    """Decode, fold and read: only StreamErrors may come of it, and the snapshots stay readable."""
    decoder, folded = EventDecoder(), Accumulator()
    for chunk in chunks:
        events = decoder.feed(chunk)
        while True:
            with contextlib.suppress(StreamError):
                event = next(events, None)
                if event is None:
                    break
                folded.apply(event)
                if isinstance(event, ThreadRunStepDelta | ThreadMessageDelta):
                    list(folded.changed_parts(event.data))
            made = to_json([folded.run, folded.thread, folded.steps, folded.messages])
            json.loads(made.decode("utf-8", "replace"), strict=False)
    list(decoder.close())


@law
@given(st.lists(any_event, max_size=25))
def test_any_order_of_events_ends_in_snapshots(events: list[Named]) -> None:
    survive(frame(name, data) for name, data in events)


@settings(deadline=None, max_examples=600)
@given(st.lists(st.one_of(any_event, any_mutation), max_size=12))
def test_any_mutated_events_end_in_snapshots_or_stream_errors(events: list[Named]) -> None:
    survive(frame(name, data) for name, data in events)


@law
@given(st.lists(any_event, min_size=1, max_size=6), st.data())
def test_any_damaged_bytes_end_in_snapshots_or_stream_errors(
    events: list[Named], data: st.DataObject
) -> None:
    body = bytearray(b"".join(frame(name, sent) for name, sent in events))
    for _ in range(data.draw(st.integers(1, 6))):
        place = data.draw(st.integers(0, len(body) - 1))
        body[place : place + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=4))
    survive([bytes(body)])


@law
@given(st.binary(max_size=200))
def test_any_bytes_end_in_snapshots_or_stream_errors(body: bytes) -> None:
    survive([body, b"\n\n", b"event: thread.message.delta\ndata: " + body + b"\n\n"])


JSON_VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["id", "delta", "type", "index", "content", "step_details"]), inner
        )
    ),
    max_leaves=12,
)


@law
@given(st.sampled_from(sorted({name for name, _ in NAMED})), JSON_VALUES)
def test_any_json_ends_in_snapshots_or_stream_errors(name: str, data: Any) -> None:
    survive([frame(name, data)])


# A slow folder


@settings(deadline=None, max_examples=400)
@given(st.data(), st.booleans())
def test_a_slow_folder_of_steps_agrees(data: st.DataObject, indexed: bool) -> None:
    folders: dict[str, SlowFolder] = {}
    folded = Accumulator()
    some_pieces = st.lists(call_pieces(indexed=indexed), max_size=3)
    for _ in range(data.draw(st.integers(1, 10))):
        step_id = data.draw(some(["step_1", "step_2"]))
        folder = folders.setdefault(step_id, SlowFolder("tool_calls", ENDED_STEP))
        pieces_sent = data.draw(some_pieces)
        if data.draw(st.integers(0, 3)):
            folder.status = folder.status or "in_progress"
            folder.change(pieces_sent)
            raw = step_delta(*pieces_sent, step_id=step_id)
        else:
            status = data.draw(some(["in_progress", "completed", "failed"]))
            wholes = with_one_id_each(without_index(pieces_sent))
            folder.take(status, wholes)
            raw = frame("thread.run.step.in_progress", step(step_id, status, calls=wholes))
        apply_all(folded, decode(raw))
        if data.draw(st.booleans()):
            assert_steps_agree(folded, folders)
    assert_steps_agree(folded, folders)


@settings(deadline=None, max_examples=400)
@given(st.data(), st.booleans())
def test_a_slow_folder_of_messages_agrees(data: st.DataObject, indexed: bool) -> None:
    folders: dict[str, SlowFolder] = {}
    folded = Accumulator()
    some_pieces = st.lists(content_pieces(indexed=indexed), max_size=3)
    for _ in range(data.draw(st.integers(1, 10))):
        message_id = data.draw(some(["msg_1", "msg_2"]))
        folder = folders.setdefault(message_id, SlowFolder("content", ENDED_MESSAGE))
        pieces_sent = data.draw(some_pieces)
        if data.draw(st.integers(0, 3)):
            folder.status = folder.status or "in_progress"
            folder.change(pieces_sent)
            raw = message_delta(*pieces_sent, message_id=message_id)
        else:
            status = data.draw(some(["in_progress", "completed", "incomplete"]))
            wholes = without_index(pieces_sent)
            folder.take(status, wholes)
            raw = frame("thread.message.in_progress", message(message_id, status, *wholes))
        apply_all(folded, decode(raw))
        if data.draw(st.booleans()):
            assert_messages_agree(folded, folders)
    assert_messages_agree(folded, folders)
