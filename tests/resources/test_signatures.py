"""Signatures: those of the openai package, shown in full, and checked at the call."""

from __future__ import annotations

import inspect
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any

import pytest
from openai.resources.beta import AsyncAssistants, AsyncThreads
from openai.resources.beta.threads import AsyncMessages, AsyncRuns
from openai.resources.beta.threads.runs import AsyncSteps

from asyncruns import Client, Run
from asyncruns.resources.assistants import Assistants
from asyncruns.resources.messages import Messages
from asyncruns.resources.runs import Runs
from asyncruns.resources.steps import Steps
from asyncruns.resources.threads import Threads

if TYPE_CHECKING:
    from collections.abc import Callable

PAIRS: list[tuple[type, type]] = [
    (Assistants, AsyncAssistants),
    (Threads, AsyncThreads),
    (Runs, AsyncRuns),
    (Steps, AsyncSteps),
    (Messages, AsyncMessages),
]


def methods(kind: type) -> dict[str, Callable[..., object]]:
    return {
        name: member
        for name, member in vars(kind).items()
        if inspect.isfunction(member) and not name.startswith("_")
    }


CASES = [
    pytest.param(ours, theirs, name, id=f"{ours.__name__}.{name}")
    for ours, theirs in PAIRS
    for name in methods(theirs)
]

BY_KEYWORD = "an option by its position says nothing; every other method takes it by its name"
BY_POSITION_TOO = "may be given as in submit_tool_outputs, and by its name as well"

DIFFERENCES: dict[str, dict[str, str]] = {
    "Runs.submit_tool_outputs_stream": {"run_id": BY_POSITION_TOO},
    "Runs.poll": dict.fromkeys(
        ("extra_headers", "extra_query", "extra_body", "timeout", "poll_interval_ms"), BY_KEYWORD
    ),
}
"""What differs nevertheless: {method: {parameter: reason}}."""


@pytest.mark.parametrize(("ours", "theirs", "name"), CASES)
def test_a_method_takes_what_the_openai_package_s_takes(
    ours: type, theirs: type, name: str
) -> None:
    mine = inspect.signature(getattr(ours, name)).parameters
    known = inspect.signature(getattr(theirs, name)).parameters
    allowed = DIFFERENCES.get(f"{ours.__name__}.{name}", {})
    assert known.keys() <= mine.keys()
    for parameter in known.values():
        if parameter.name in allowed:
            continue
        assert mine[parameter.name].kind == parameter.kind
        required = parameter.default is inspect.Parameter.empty
        assert (mine[parameter.name].default is inspect.Parameter.empty) == required
    positional = inspect.Parameter.POSITIONAL_OR_KEYWORD
    mine_in_order, known_in_order = (
        [p.name for p in some.values() if p.kind == positional and p.name not in allowed]
        for some in (mine, known)
    )
    assert mine_in_order == known_in_order
    for added in mine.keys() - known.keys() - allowed.keys():
        assert mine[added].kind == inspect.Parameter.KEYWORD_ONLY
        assert mine[added].default is not inspect.Parameter.empty


@pytest.mark.parametrize(("ours", "theirs"), PAIRS, ids=lambda kind: kind.__name__)
def test_every_method_of_ours_shows_its_keywords(ours: type, theirs: type) -> None:
    del theirs
    for name, method in methods(ours).items():
        kinds = {parameter.kind for parameter in inspect.signature(method).parameters.values()}
        assert inspect.Parameter.VAR_KEYWORD not in kinds, name
        parameters = inspect.signature(method).parameters
        assert {"extra_headers", "extra_query", "extra_body", "timeout"} <= parameters.keys(), name
        assert method.__doc__, name


def test_the_signature_shows_types_and_what_is_required() -> None:
    signature = inspect.signature(Runs.create)
    assert signature.parameters["assistant_id"].annotation is str
    assert signature.parameters["assistant_id"].default is inspect.Parameter.empty
    assert signature.parameters["temperature"].annotation == float | None
    assert inspect.signature(Runs.retrieve).return_annotation is Run


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda c: c.runs.create("t", assistant_id="a", modle="m"),
            r"Runs.create\(\) got an unexpected keyword argument 'modle'",
        ),
        (
            lambda c: c.runs.create("t"),
            r"Runs.create\(\) is missing the required keyword argument 'assistant_id'",
        ),
        (
            lambda c: c.messages.create("t", role="user"),
            r"Messages.create\(\) is missing the required keyword argument 'content'",
        ),
        (
            lambda c: c.assistants.list(limits=3),
            r"Assistants.list\(\) got an unexpected keyword argument 'limits'",
        ),
        (
            lambda c: c.runs.retrieve("r", "t"),
            r"Runs.retrieve\(\) takes 2 positional arguments but 3 were given",
        ),
        (
            lambda c: c.runs.stream(assistant_id="a"),
            r"Runs.stream\(\) missing 1 required keyword-only argument: 'thread_id'",
        ),
    ],
    ids=["unknown", "missing", "missing content", "unknown in a list", "positional", "no thread"],
)
@pytest.mark.anyio
async def test_a_wrong_call_is_a_type_error_before_anything_happens(
    call: Any, message: str
) -> None:
    with pytest.raises(TypeError, match=message):
        await call(Client(api_key=""))


@pytest.mark.parametrize("ours", [ours for ours, _ in PAIRS])
def test_what_is_to_be_awaited_is_a_coroutine_function_to_those_who_wrap_it(ours: type) -> None:
    awaited = {name for name, method in methods(ours).items() if iscoroutinefunction(method)}
    plain = {"list", "stream", "attach", "submit_tool_outputs_stream", "create_and_run_stream"}
    assert awaited == methods(ours).keys() - plain - {"create_and_stream"}
