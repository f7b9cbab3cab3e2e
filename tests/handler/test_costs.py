"""What a handler costs: nothing is called, built or decoded for hooks that are not overridden."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from asyncruns import Accumulator, RunHandler, RunStream, accumulator, parts
from asyncruns.events import EVENTS, UnknownEvent
from asyncruns.handler import Dispatch
from tests.core.shapes import (
    ANSWERED_RUN,
    CALLING_RUN,
    TEXT_PIECES,
    frame,
    function,
    message_delta,
    run,
    step,
    step_delta,
    text,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.anyio

HOOKS = sorted(name for name in vars(RunHandler) if name.startswith("on_"))

# Both objects are left open, so that only their deltas tell of them, and the run's end ends them.
OPEN_RUN = [
    frame("thread.run.created", run()),
    *[step_delta(function(0, piece, id="call_1")) for piece in "abc"],
    *[message_delta(text(0, piece)) for piece in "abcde"],
    frame("thread.run.completed", run("completed")),
]


def ignore(*_: Any) -> None:
    """A hook."""


def handler_of(*names: str) -> RunHandler:
    """A handler that overrides these hooks."""
    made: RunHandler = type("Handler", (RunHandler,), dict.fromkeys(names, ignore))()
    return made


def dispatch_of(*names: str) -> Dispatch:
    return Dispatch(handler_of(*names), Accumulator())


def hooked(*names: str) -> set[str]:
    """The events at which a handler with these hooks is called."""
    dispatch = dispatch_of(*names)
    return {name for name, kind in EVENTS.items() if kind in dispatch.hooked}


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was built of deltas while a test ran: objects and single parts."""
    names: list[str] = []

    def count(kind: Any, method: str) -> None:
        build = getattr(kind, method)

        def counted(self: Any) -> Any:
            names.append(kind.__name__)
            return build(self)

        monkeypatch.setattr(kind, method, counted)

    count(accumulator._StepBuilder, "_build")
    count(accumulator._MessageBuilder, "_build")
    count(parts._FunctionCall, "build")
    count(parts._Text, "build")
    return names


async def body(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def iterate(handler: RunHandler | None, *chunks: bytes) -> None:
    async with RunStream(body(*chunks), event_handler=handler) as stream:
        async for _ in stream:
            pass


# Which events


def test_a_handler_without_hooks_is_called_at_no_event() -> None:
    assert hooked() == set()


def test_a_handler_that_hears_every_event_is_called_at_every_event() -> None:
    assert hooked("on_event") == set(EVENTS)
    assert UnknownEvent in dispatch_of("on_event").hooked


@pytest.mark.parametrize(
    ("hook", "beginning"),
    [
        ("on_run_created", "thread.run."),
        ("on_run_updated", "thread.run."),
        ("on_run_done", "thread.run."),
        ("on_requires_action", "thread.run."),
        ("on_error", "error"),
        ("on_end", "nothing"),
    ],
)
def test_hooks_of_the_run_are_not_called_at_deltas_steps_and_messages(
    hook: str, beginning: str
) -> None:
    names = hooked(hook)
    assert names == {
        name for name in EVENTS if name.startswith(beginning) and ".step." not in name
    }  # fmt: skip
    assert not dispatch_of(hook).takes_deltas


@pytest.mark.parametrize("hook", [name for name in HOOKS if name.endswith(("_delta", "_created"))])
def test_hooks_of_one_kind_of_object_are_not_called_at_the_deltas_of_another(hook: str) -> None:
    if hook == "on_run_created":
        return
    of_steps = hook.startswith(("on_step", "on_tool_call"))
    assert ("thread.run.step.delta" in hooked(hook)) == of_steps
    assert ("thread.message.delta" in hooked(hook)) == (not of_steps)
    assert dispatch_of(hook).takes_deltas


@pytest.mark.parametrize("hook", [name for name in HOOKS if name.endswith("_done")])
def test_hooks_of_ends_are_not_called_at_deltas(hook: str) -> None:
    assert not {name for name in hooked(hook) if name.endswith("delta")}
    assert not dispatch_of(hook).takes_deltas


# What is built


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ([], []),
        (["on_event", "on_end", "on_error"], []),
        (["on_run_created", "on_run_updated", "on_run_done", "on_requires_action"], []),
        (["on_tool_call_delta"], ["_FunctionCall"] * 3),
        (["on_tool_call_created"], ["_FunctionCall"]),
        (["on_text_delta"], ["_Text"] * 5),
        (["on_text_created"], ["_Text"]),
        (["on_step_created"], ["_StepBuilder", "_FunctionCall"]),
        (["on_step_delta"], ["_StepBuilder", "_FunctionCall"] * 3),
        (["on_step_done"], ["_StepBuilder", "_FunctionCall"]),
        (["on_tool_call_done"], ["_StepBuilder", "_FunctionCall"]),
        (["on_message_created"], ["_MessageBuilder", "_Text"]),
        (["on_message_done"], ["_MessageBuilder", "_Text"]),
        (["on_text_done"], ["_MessageBuilder", "_Text"]),
    ],
)
async def test_only_what_a_hook_gets_is_built(
    names: list[str], expected: list[str], built: list[str]
) -> None:
    await iterate(handler_of(*names), *OPEN_RUN)
    assert built == expected


async def test_a_handler_for_the_runs_end_builds_no_more_than_no_handler(built: list[str]) -> None:
    frames = [*CALLING_RUN[:-1], *ANSWERED_RUN]
    await iterate(None, *frames)
    without = list(built)
    await iterate(handler_of("on_run_done"), *frames)
    assert built == without * 2


async def test_an_end_builds_nothing_for_a_hook_of_beginnings(built: list[str]) -> None:
    bare = frame("thread.run.step.completed", step("step_1", "completed", step_details=None))
    first = step_delta(function(0, "a"), step_id="step_1")
    await iterate(handler_of("on_tool_call_created"), first, bare, OPEN_RUN[-1])
    assert built == ["_FunctionCall"]


# What is decoded


@pytest.mark.parametrize(
    ("names", "folds"),
    [
        ([], 1),
        (["on_run_done", "on_end", "on_message_done", "on_text_done"], 1),
        (["on_text_delta"], len(TEXT_PIECES)),
        (["on_event"], len(TEXT_PIECES)),
    ],
)
async def test_until_done_leaves_deltas_undecoded_that_no_hook_gets(
    names: list[str], folds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    folded: list[Any] = []
    apply = parts._Text.apply

    def count(self: Any, piece: Any) -> None:
        folded.append(piece)
        apply(self, piece)

    monkeypatch.setattr(parts._Text, "apply", count)
    frames = [chunk for chunk in ANSWERED_RUN if b"thread.message.created" not in chunk]
    frames = [chunk for chunk in frames if b"thread.message.in_progress" not in chunk]
    async with RunStream(body(*frames), event_handler=handler_of(*names)) as stream:
        await stream.until_done()
        assert len(folded) == folds
        assert stream.outcome == "completed"


async def test_ends_are_told_in_full_though_deltas_were_left_undecoded() -> None:
    told: list[Any] = []

    class Handler(RunHandler):
        def on_tool_call_done(self, call: Any) -> None:
            told.append(call.function.arguments)

        def on_text_done(self, text: Any) -> None:
            told.append(text.value)

    async with RunStream(body(*OPEN_RUN), event_handler=Handler()) as stream:
        await stream.until_done()
    assert told == ["abcde", "abc"]
