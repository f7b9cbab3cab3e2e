"""Live arguments: exact while they are short, never far behind, exact again at the end."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncruns import Accumulator, Client, RunStream, StreamInterrupted, partial
from asyncruns.emulator import Call, Context, Emulator, Parallel
from asyncruns.events import ThreadRunStepDelta
from asyncruns.models import FunctionToolCallDelta, ToolCallDeltaObject
from asyncruns.partial import ALWAYS_EXACT, LiveArguments
from tests.core.shapes import (
    ARGUMENTS,
    DONE,
    RUNS,
    code,
    decode,
    frame,
    function,
    placed,
    run,
    step,
    step_delta,
    whole_function,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable

    from asyncruns.emulator import Action

anyio_test = pytest.mark.anyio

CREATED = frame("thread.run.step.created", step())


class Live:
    """Arguments that grow piece by piece, and what is read of them."""

    def __init__(self, *pieces: str) -> None:
        self.accumulator = Accumulator()
        self.live = LiveArguments(self.accumulator)
        self.feed(CREATED, step_delta(function(0, "", id="call_1", name="f")))
        self.add(*pieces)

    def feed(self, *chunks: bytes) -> None:
        for event in decode(*chunks):
            self.accumulator.apply(event)

    def add(self, *pieces: str) -> None:
        self.feed(*(step_delta(function(0, piece)) for piece in pieces))

    def read(self, **options: bool) -> Any:
        return self.live.read("call_1", **options)


# What is read


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", {}),
        (" ", {}),
        ("{", {}),
        ('{"ci', {}),
        ('{"city"', {}),
        ('{"city":', {}),
        ('{"city":"', {"city": ""}),
        ('{"city":"Os', {"city": "Os"}),
        ('{"city":"Oslo","days":1', {"city": "Oslo", "days": 1}),
        ('{"city":"Oslo","days":12,', {"city": "Oslo", "days": 12}),
        ('{"a":[1,{"b":tr', {"a": [1, {}]}),
        ('{"a":"x\\', {"a": "x"}),
        ('{"a":"x\\ud83d', {"a": "x"}),
        ('{"a":"x\\ud83d\\ude00', {"a": "x😀"}),
        ('{"a":"x\ud83d', {"a": "x?"}),
        ('{"a":1}', {"a": 1}),
    ],
)
def test_what_has_come_is_parsed_though_it_is_unfinished(text: str, value: object) -> None:
    live = Live()
    live.accumulator.apply(as_event(text))
    assert live.read() == value


def as_event(text: str) -> ThreadRunStepDelta:
    """A delta that was never JSON, so that it may hold what no JSON can."""
    (event,) = decode(step_delta(function(0, "")))
    assert isinstance(event, ThreadRunStepDelta)
    details = event.data.delta.step_details
    assert isinstance(details, ToolCallDeltaObject)
    assert details.tool_calls is not None
    (call,) = details.tool_calls
    assert isinstance(call, FunctionToolCallDelta)
    assert call.function is not None
    call.function.arguments = text
    return event


def test_a_value_that_was_read_never_changes() -> None:
    live = Live('{"a":[1')
    before = live.read()
    live.add(",2]")
    assert live.read() == {"a": [1, 2]}
    assert before == {"a": [1]}


def test_reading_again_gives_the_same_value_until_more_has_come() -> None:
    live = Live('{"a":[1')
    assert live.read() is live.read()


def test_calls_are_read_by_their_ids_and_apart() -> None:
    live = Live('{"a":')
    live.feed(step_delta(function(1, '{"b":1', id="call_2")))
    live.feed(frame("thread.run.step.created", step("step_2")))
    live.feed(step_delta(function(0, '{"c":2', id="call_3"), step_id="step_2"))
    live.add("7")
    assert [live.live.read(f"call_{n}") for n in (1, 2, 3)] == [{"a": 7}, {"b": 1}, {"c": 2}]


def test_a_call_that_came_whole_is_read_too() -> None:
    live = Live()
    whole = whole_function("call_2", "f", ARGUMENTS, "wet")
    live.feed(frame("thread.run.step.completed", step("step_2", "completed", calls=[whole])))
    assert live.live.read("call_2") == json.loads(ARGUMENTS)


def test_the_arguments_of_an_unknown_call_are_read_where_it_has_some() -> None:
    live = Live()
    live.feed(step_delta(placed(1, "openapi", id="call_2", function={"arguments": '{"a":'})))
    live.feed(step_delta(placed(1, "openapi", function={"arguments": "1"})))
    assert live.live.read("call_2") == {"a": 1}


# What cannot be read


def test_a_call_that_has_not_come_is_a_key_error() -> None:
    with pytest.raises(KeyError, match="no tool call 'call_9' has come"):
        Live().live.read("call_9")


@pytest.mark.parametrize(
    "piece",
    [
        code(1, "x = 1", id="call_2"),
        placed(1, "mcp", id="call_2"),
        placed(1, "mcp", id="call_2", function="f"),
        placed(1, "file_search", id="call_2", file_search={}),
    ],
    ids=["code", "unknown", "odd", "search"],
)
def test_a_call_without_arguments_is_a_value_error(piece: dict[str, Any]) -> None:
    live = Live()
    live.feed(step_delta(piece))
    with pytest.raises(ValueError, match="tool call call_2 has no arguments: its type is"):
        live.live.read("call_2")


@pytest.mark.parametrize("text", ["{'a'", "nope", '{"a":1,}', '{"a":trx', "[" * 5000])
def test_arguments_that_are_no_json_are_a_value_error_at_every_read(text: str) -> None:
    live = Live(text)
    for _ in range(3):
        with pytest.raises(ValueError, match="the arguments of tool call call_1 are no JSON: "):
            live.read()


def test_arguments_that_become_json_after_all_are_read() -> None:
    live = Live("tr")
    with pytest.raises(ValueError, match="are no JSON"):
        live.read()
    live.add("ue")
    assert live.read() is True


def test_without_jiter_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jiter", None)  # an import now fails
    partial._parser.cache_clear()
    live = Live()
    assert live.read() == {}
    live.add("{")
    with pytest.raises(ImportError, match=r"pip install 'asyncruns\[partial\]'"):
        live.read()
    monkeypatch.undo()
    assert live.read() == {}


# Laws

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip
objects = st.dictionaries(st.text(), values, max_size=5)


@settings(max_examples=50)
@given(objects, st.booleans(), st.sampled_from([None, 1]))
def test_every_beginning_of_an_object_can_be_read_and_the_whole_is_exact(
    value: dict[str, Any], ascii_only: bool, indent: int | None
) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    live = Live()
    for character in text:
        live.accumulator.apply(as_event(character))
        assert isinstance(live.read(), dict)
    assert live.read(exact=True) == value


@given(st.lists(st.text(st.sampled_from("abc \\n"), min_size=1), max_size=20))
def test_a_string_is_read_as_far_as_it_has_come(pieces: list[str]) -> None:
    live, so_far = Live('{"text":"'), ""
    for piece in pieces:
        live.add(json.dumps(piece)[1:-1])
        so_far += piece
        assert live.read() == {"text": so_far}


# What it costs


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The lengths of all texts that were parsed."""
    lengths: list[int] = []
    parse: Callable[[str], Any] = partial._parse_partial

    def count(text: str) -> Any:
        lengths.append(len(text))
        return parse(text)

    monkeypatch.setattr(partial, "_parse_partial", count)
    return lengths


def test_short_arguments_are_exact_at_every_read(parsed: list[int]) -> None:
    live, length = Live('{"text":"'), 9
    while length < ALWAYS_EXACT - 8:
        live.add("a" * 8)
        length += 8
        assert live.read() == {"text": "a" * (length - 9)}
    assert len(parsed) == length // 8 - 1


@pytest.mark.parametrize("count", [2_000, 20_000])
def test_a_read_at_every_delta_parses_no_more_than_so_many_characters(
    count: int, parsed: list[int]
) -> None:
    live = Live('{"text":"')
    piece = step_delta(function(0, "a" * 20))
    (event,) = decode(piece)
    for _ in range(count):
        live.accumulator.apply(event)
        live.read()
    assert sum(parsed) <= (ALWAYS_EXACT + 20) * count
    assert max(parsed) > 20 * count * 0.99  # it has gone on to the end


def test_a_read_is_never_further_behind_than_promised() -> None:
    live = Live('{"text":"')
    (event,) = decode(step_delta(function(0, "a" * 20)))
    length = 0
    for _ in range(5_000):
        live.accumulator.apply(event)
        length += 20
        lag = length - len(live.read()["text"])
        assert lag <= 20 * (length // ALWAYS_EXACT)


def test_what_is_not_read_is_not_parsed_and_rare_reads_are_exact(parsed: list[int]) -> None:
    live = Live('{"text":"')
    live.add(*["a" * 100] * 200)
    assert parsed == []
    assert live.read() == {"text": "a" * 20_000}
    assert len(parsed) == 1


def test_a_read_builds_no_other_call() -> None:
    live = Live('{"a":1')
    live.feed(step_delta(function(1, "x", id="call_2")), step_delta(function(1, "y")))
    live.read()
    other, _ = live.accumulator.find_call("call_2") or (None, None)
    assert other.arguments._pieces == ["x", "y"]  # type: ignore[union-attr]


LONG = "a" * 3 * ALWAYS_EXACT


def behind() -> Live:
    """Long arguments whose last piece no read has shown."""
    live = Live('{"text":"', LONG)
    assert live.read() == {"text": LONG}
    live.add('b"}')
    assert live.read() == {"text": LONG}
    return live


def test_a_read_that_asks_for_it_is_exact() -> None:
    assert behind().read(exact=True) == {"text": LONG + "b"}


def test_once_the_step_has_ended_every_read_is_exact() -> None:
    live = behind()
    whole = whole_function("call_1", "f", json.dumps({"text": LONG + "b"}), None)
    live.feed(frame("thread.run.step.completed", step("step_1", "completed", calls=[whole])))
    assert live.read() == {"text": LONG + "b"}


def test_after_so_many_reads_the_value_has_caught_up() -> None:
    live = behind()
    reads = [live.read() for _ in range(3)]
    assert reads[-1] == {"text": LONG + "b"}


# In a stream


async def script(_: Context) -> AsyncGenerator[Action, Any]:
    yield Parallel(
        Call("get_weather", {"city": "Oslo", "days": 3}, id="call_a"),
        Call("get_weather", {"city": "Rome", "days": 4}, id="call_b"),
        interleave=True,
    )


@anyio_test
async def test_a_stream_gives_the_arguments_while_they_come() -> None:
    seen: list[Any] = []
    async with (
        Emulator(script) as emulator,
        Client(base_url=emulator.base_url, api_key="sk-1") as client,
    ):
        assistant = emulator.add_assistant()
        async with client.threads.create_and_run_stream(assistant_id=assistant["id"]) as stream:
            async for event in stream:
                if event.event == "thread.run.step.delta":
                    read: dict[str, Any] = {}
                    for call_id in ("call_a", "call_b"):
                        try:
                            read[call_id] = stream.tool_arguments(call_id)
                        except KeyError:
                            assert len(seen) < 2
                    seen.append(read)
    cities = [read["call_b"].get("city", "") for read in seen if "call_b" in read]
    assert cities == sorted(cities, key=len)
    assert len(set(cities)) > 1
    assert seen[-1] == {
        "call_a": {"city": "Oslo", "days": 3},
        "call_b": {"city": "Rome", "days": 4},
    }


async def body(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


def long_call(*last: bytes) -> RunStream:
    pieces = [step_delta(function(0, piece)) for piece in ('{"text":"', LONG, 'b"}')]
    first = step_delta(function(0, "", id="call_1", name="f"))
    opening = frame("thread.run.created", run("in_progress"))
    return RunStream(body(opening, CREATED, first, *pieces, *last))


async def last_lagging_read(stream: RunStream) -> Any:
    """Read the last delta but one, and with it the last: the second read is behind."""
    async for event in stream:
        if event.event == "thread.run.step.delta":
            try:
                read = stream.tool_arguments("call_1")
            except KeyError:
                continue
            if read.get("text"):
                return stream.tool_arguments("call_1")
    raise AssertionError


@anyio_test
async def test_at_a_pause_the_arguments_are_exact() -> None:
    async with long_call(frame("thread.run.requires_action", run("requires_action"))) as stream:
        assert await last_lagging_read(stream) == {"text": LONG}
        reads = [(event.event, stream.tool_arguments("call_1")) async for event in stream]
    assert reads == [
        ("thread.run.step.delta", {"text": LONG}),
        ("thread.run.requires_action", {"text": LONG + "b"}),
    ]


@anyio_test
@pytest.mark.parametrize("last", [[DONE], []], ids=["done", "cut"])
async def test_where_a_stream_was_cut_the_arguments_are_exact(last: list[bytes]) -> None:
    async with long_call(*last) as stream:
        assert await last_lagging_read(stream) == {"text": LONG}
        with pytest.raises(StreamInterrupted):
            await stream.until_done()
        assert stream.tool_arguments("call_1") == {"text": LONG + "b"}


def test_the_shapes_of_other_tests_have_a_call_to_read() -> None:
    accumulator = Accumulator()
    for event in decode(*RUNS["calling"]):
        accumulator.apply(event)
    assert LiveArguments(accumulator).read("call_1") == json.loads(ARGUMENTS)
