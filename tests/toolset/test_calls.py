"""Calls to outputs: arguments converted, results encoded, failures told to the model."""

from __future__ import annotations

import contextvars
import dataclasses
import datetime as dt
import enum
import functools
import json
import threading
import uuid
from typing import Any

import msgspec
import pytest

from asyncruns import RunContext, ToolError, ToolOutput, Toolset
from asyncruns.calls import calls_of, check_outputs
from asyncruns.models import (
    ImageFile,
    RequiredActionFunction,
    RequiredActionFunctionToolCall,
    RequiredActionSubmitToolOutputs,
    Run,
    SubmitToolOutputs,
    UnknownRequiredAction,
)

pytestmark = pytest.mark.anyio

RUN = Run(id="run_1", thread_id="thread_1", status="requires_action")


def a_call(
    name: str, arguments: str = "{}", call_id: str = "call_1"
) -> RequiredActionFunctionToolCall:
    function = RequiredActionFunction(name=name, arguments=arguments)
    return RequiredActionFunctionToolCall(id=call_id, function=function)


async def output_of(function: Any, arguments: str = "{}", **options: Any) -> str:
    """What a function, registered alone, answers to a call."""
    toolset = Toolset()
    toolset.tool(name="it")(function)
    return await toolset.call(a_call("it", arguments), RUN, **options)


async def failure_of(function: Any, arguments: str = "{}", **options: Any) -> dict[str, str]:
    """What the model is told where a call fails, which it must."""
    with pytest.raises(ToolError) as caught:
        await output_of(function, arguments, **options)
    report = json.loads(caught.value.report)
    assert report["error"]["message"] == str(caught.value)
    error: dict[str, str] = report["error"]
    return error


# Arguments


class Color(enum.Enum):
    RED = "red"


class Size(enum.IntEnum):
    LARGE = 2


class Place(msgspec.Struct):
    city: str
    days: int = 1


@dataclasses.dataclass
class Point:
    x: float


async def test_arguments_are_converted_to_the_annotated_types() -> None:
    taken: dict[str, Any] = {}

    def it(  # noqa: PLR0917 -- one of each
        place: Place,
        point: Point,
        color: Color,
        size: Size,
        day: dt.date,
        key: uuid.UUID,
        names: set[str],
        pairs: list[tuple[int, Place | None]],
        *,
        ratio: float,
    ) -> None:
        taken.update(locals())

    arguments = {
        "place": {"city": "Oslo"},
        "point": {"x": 1},
        "color": "red",
        "size": 2,
        "day": "2026-10-31",
        "key": str(uuid.UUID(int=7)),
        "names": ["a", "a"],
        "pairs": [[1, None], [2, {"city": "Rome", "days": 2}]],
        "ratio": 3,
    }
    await output_of(it, json.dumps(arguments))
    del taken["taken"]
    assert taken == {
        "place": Place("Oslo"),
        "point": Point(1.0),
        "color": Color.RED,
        "size": Size.LARGE,
        "day": dt.date(2026, 10, 31),
        "key": uuid.UUID(int=7),
        "names": {"a"},
        "pairs": [(1, None), (2, Place("Rome", 2))],
        "ratio": 3.0,
    }
    assert isinstance(taken["ratio"], float)


async def test_a_default_is_the_functions_own() -> None:
    default: list[int] = []
    marker: Any = object()

    def it(values: list[int] = default, other: int = marker) -> None:
        assert values is default
        assert other is marker
        values.append(1)

    await output_of(it)
    await output_of(it)
    assert default == [1, 1]


@pytest.mark.parametrize("arguments", ["", " ", "\n", "{}", " {} "])
async def test_no_arguments_are_an_empty_object(arguments: str) -> None:
    assert await output_of(lambda: "done", arguments) == "done"


def get_weather(city: str, days: int = 1) -> str:
    return f"{city} {days}"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ('{"city":"Oslo","unit":"C"}', "unknown field `unit`"),
        ("{}", "missing required field `city`"),
        ("", "missing required field `city`"),
        ('{"city":1}', r"Expected `str`, got `int` - at `$.city`"),
        ('{"city":"a","days":"2"}', r"Expected `int`, got `str` - at `$.days`"),
        ('{"city":null}', r"Expected `str`, got `null` - at `$.city`"),
        ('{"city":"Os', "truncated"),
        ("nope", "invalid"),
        ("null", "Expected `object`, got `null`"),
        ("[]", "Expected `object`, got `array`"),
        ('{"city":"\\ud83d and more"}', "surrogate"),
        ("[" * 5000, ""),
    ],
)
async def test_arguments_that_do_not_validate_are_told_with_the_reason(
    arguments: str, told: str
) -> None:
    error = await failure_of(get_weather, arguments)
    assert error["code"] == "invalid_arguments"
    assert told in error["message"]


async def test_a_lone_surrogate_in_the_text_of_arguments_does_no_harm() -> None:
    assert await output_of(get_weather, '{"city":"a\ud83db"}') == "a?b 1"


@dataclasses.dataclass
class Picky:
    it: int

    def __post_init__(self) -> None:
        raise KeyError("never enough")


async def test_a_constructor_that_raises_makes_the_arguments_invalid() -> None:
    def it(value: Picky) -> None: ...

    error = await failure_of(it, '{"value":{"it":1}}')
    assert error["code"] == "invalid_arguments"
    assert "never enough" in error["message"]


async def test_what_a_partial_has_bound_cannot_be_overridden() -> None:
    bound = functools.partial(get_weather, city="Oslo")
    assert await output_of(bound, '{"days":2}') == "Oslo 2"
    error = await failure_of(bound, '{"city":"Rome"}')
    assert "unknown field `city`" in error["message"]


async def test_the_context_is_passed_and_cannot_be_given_by_the_model() -> None:
    async def it(city: str, context: RunContext, maybe: RunContext | None = None) -> str:
        assert maybe is context
        return f"{city} {context.run.id} {context.call_id} {context.idempotency_key}"

    assert await output_of(it, '{"city":"Oslo"}') == "Oslo run_1 call_1 run_1:call_1"
    error = await failure_of(it, '{"city":"Oslo","context":null}')
    assert "unknown field `context`" in error["message"]


# Results


class Name(str):
    __slots__ = ()


class Word(str, enum.Enum):  # noqa: UP042 -- the older form, whose str() is not its value
    HELLO = "hello"


@pytest.mark.parametrize(
    ("result", "output"),
    [
        ("text", "text"),
        ('{"a": 1}', '{"a": 1}'),
        ("", ""),
        (Name("a name"), "a name"),
        (Word.HELLO, "hello"),
        (None, "null"),
        (1.5, "1.5"),
        (True, "true"),
        ({"a": [1, "é"]}, '{"a":[1,"é"]}'),
        (Place("Oslo"), '{"city":"Oslo","days":1}'),
        ([Point(1.0)], '[{"x":1.0}]'),
        (ImageFile(file_id="file_1"), '{"file_id":"file_1"}'),
        ({"when": dt.date(2026, 10, 31)}, '{"when":"2026-10-31"}'),
        (b"\x00\xff", '"AP8="'),
        ({1}, "[1]"),
    ],
)
async def test_text_is_sent_as_it_is_and_anything_else_as_json(result: Any, output: str) -> None:
    made = await output_of(lambda: result)
    assert made == output
    assert type(made) is str


@pytest.mark.parametrize(
    "result", [object(), {"a": object()}, {(1, 2): 1, object(): 2}, "\ud83d", {"a": "\ud83d"}]
)
async def test_a_result_that_json_cannot_hold_is_a_failure(result: Any) -> None:
    error = await failure_of(lambda: result)
    assert error["code"] == "tool_failed"
    assert "Error: " in error["message"]


async def test_a_result_that_holds_itself_is_a_failure() -> None:
    endless: list[Any] = []
    endless.append(endless)
    assert (await failure_of(lambda: endless))["code"] == "tool_failed"


# Sync and async


class Station:
    async def measure(self, place: str) -> str:
        return f"measured {place}"

    async def __call__(self, place: str) -> str:
        return f"called {place}"


async def in_this_thread(place: str) -> str:
    return f"{place}, in the same thread: {threading.current_thread() is threading.main_thread()}"


def through_a_decorator(place: str) -> Any:
    return in_this_thread(place)


@pytest.mark.parametrize(
    ("function", "output"),
    [
        (Station().measure, "measured Oslo"),
        (Station(), "called Oslo"),
        (functools.partial(Station()), "called Oslo"),
        (functools.partial(Station().measure), "measured Oslo"),
        (in_this_thread, "Oslo, in the same thread: True"),
        (through_a_decorator, "Oslo, in the same thread: True"),
    ],
)
async def test_async_callables_of_every_kind_run_in_the_loop(function: Any, output: str) -> None:
    assert await output_of(function, '{"place":"Oslo"}') == output


async def test_sync_functions_run_in_a_thread_of_their_own() -> None:
    def it() -> int:
        return threading.get_ident()

    assert await output_of(it) != str(threading.get_ident())


variable = contextvars.ContextVar("variable", default="unset")


async def test_context_variables_are_visible_in_tools() -> None:
    variable.set("set")

    async def in_loop() -> str:
        return variable.get()

    def reads() -> str:
        return variable.get()

    def in_thread() -> str:
        variable.set("changed")
        return "done"

    assert await output_of(reads) == "set"
    assert await output_of(in_loop) == "set"
    await output_of(in_thread)
    assert variable.get() == "set"


# Failures


class Unspeakable(Exception):  # noqa: N818 -- it is one
    def __str__(self) -> str:
        raise RuntimeError("no words")


@pytest.mark.parametrize(
    ("exc", "told"),
    [
        (ValueError("there is no Atlantis"), "ValueError: there is no Atlantis"),
        (KeyError("a"), "KeyError: 'a'"),
        (TimeoutError("upstream"), "TimeoutError: upstream"),
        (ToolError("by hand"), "ToolError: by hand"),
        (ValueError("\ud83d"), "ValueError: ?"),
        (Unspeakable(), "Unspeakable"),
        (ExceptionGroup("both", [ValueError("a")]), "ExceptionGroup: both (1 sub-exception)"),
        (msgspec.ValidationError("its own"), "ValidationError: its own"),
    ],
)
@pytest.mark.parametrize("is_async", [False, True])
async def test_what_a_tool_raises_is_told_and_chained(
    exc: Exception, told: str, *, is_async: bool
) -> None:
    def sync_tool() -> None:
        raise exc

    async def async_tool() -> None:
        raise exc

    toolset = Toolset(sync_tool, async_tool)
    with pytest.raises(ToolError) as caught:
        await toolset.call(a_call("async_tool" if is_async else "sync_tool"), RUN, timeout=5)
    assert caught.value.__cause__ is exc
    assert str(caught.value) == told
    assert json.loads(caught.value.report) == {"error": {"code": "tool_failed", "message": told}}


async def test_a_stop_iteration_is_a_failure_like_any_other() -> None:
    def it() -> Any:
        return next(iter(()))

    assert (await failure_of(it))["code"] == "tool_failed"


async def test_an_unknown_tool_is_told_with_the_names_that_there_are() -> None:
    toolset = Toolset(get_weather)
    toolset.tool(name="other")(get_weather)
    with pytest.raises(ToolError, match="no tool 'nope', only: get_weather, other") as caught:
        await toolset.call(a_call("nope"), RUN)
    assert json.loads(caught.value.report)["error"]["code"] == "unknown_tool"
    with pytest.raises(ToolError, match="only: none"):
        await Toolset().call(a_call("nope"), RUN)


# The calls of a run, and their outputs


def waiting(*calls: RequiredActionFunctionToolCall) -> Run:
    action = RequiredActionSubmitToolOutputs(
        submit_tool_outputs=SubmitToolOutputs(tool_calls=list(calls))
    )
    return Run(id="run_1", status="requires_action", required_action=action)


def test_a_run_waits_for_its_calls_only_while_it_requires_them() -> None:
    run = waiting(a_call("a"), a_call("b", call_id="call_2"))
    assert [call.id for call in calls_of(run)] == ["call_1", "call_2"]
    run.status = "queued"
    assert calls_of(run) == []
    assert calls_of(None) == []
    assert calls_of(RUN) == []
    approval = UnknownRequiredAction(unknown_type="submit_tool_approval", raw=b"{}")
    assert calls_of(Run(id="r", status="requires_action", required_action=approval)) == []


def test_outputs_must_answer_each_call_exactly_once() -> None:
    calls = [a_call("a"), a_call("b", call_id="call_2")]
    first, second = {"tool_call_id": "call_1"}, {"tool_call_id": "call_2"}
    check_outputs(calls, [second, first])
    for outputs, fault in (
        ([first], "missing: call_2"),
        ([], "missing: call_1, call_2"),
        ([first, second, second], "doubled: call_2"),
        ([first, second, {"tool_call_id": "call_3"}], "unknown: call_3"),
        ([first, {}], "missing: call_2; unknown: None"),
    ):
        with pytest.raises(ValueError, match=f"exactly once \\({fault}\\)"):
            check_outputs(calls, outputs)


async def test_all_calls_are_answered_in_their_order() -> None:
    toolset = Toolset(get_weather)
    calls = [
        a_call("get_weather", '{"city":"Oslo"}', "call_1"),
        a_call("get_weather", "{}", "call_2"),
        a_call("nope", "{}", "call_3"),
        a_call("get_weather", '{"city":"Rome","days":2}', "call_4"),
    ]
    outputs = await toolset.answer(RUN, calls)
    assert [output.tool_call_id for output in outputs] == ["call_1", "call_2", "call_3", "call_4"]
    assert outputs[0] == ToolOutput("call_1", "Oslo 1")
    assert outputs[3] == ToolOutput("call_4", "Rome 2")
    codes = [json.loads(output.output)["error"]["code"] for output in outputs[1:3]]
    assert codes == ["invalid_arguments", "unknown_tool"]
    assert await toolset.answer(RUN, []) == []
