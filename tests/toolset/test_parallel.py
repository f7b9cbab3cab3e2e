"""Calls at once: limits, time limits, cancellation, and what is left of a thread afterwards."""

from __future__ import annotations

import asyncio
import json
import random
import threading
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from asyncruns import ToolError, Toolset
from asyncruns import toolset as toolset_module
from asyncruns.models import RequiredActionFunction, RequiredActionFunctionToolCall, Run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

pytestmark = pytest.mark.anyio

RUN = Run(id="run_1", thread_id="thread_1", status="requires_action")


def calls(*names: str) -> list[RequiredActionFunctionToolCall]:
    return [
        RequiredActionFunctionToolCall(id=f"call_{n}", function=RequiredActionFunction(name=name))
        for n, name in enumerate(names)
    ]


class Gates:
    """Blocking functions for threads: each counts itself and waits for its gate."""

    def __init__(self) -> None:
        self.opened = threading.Event()
        self.begun = 0
        self.ended = 0
        self.most = 0
        self.threads: list[threading.Thread] = []
        self._lock = threading.Lock()

    def wait(self) -> str:
        with self._lock:
            self.begun += 1
            self.threads.append(threading.current_thread())
            self.most = max(self.most, self.begun - self.ended)
        assert self.opened.wait(30)
        with self._lock:
            self.ended += 1
        return "late"


@pytest.fixture
def gates() -> Iterator[Gates]:
    made = Gates()
    yield made
    made.opened.set()  # no thread outlives its test


async def until(condition: Callable[[], object]) -> None:
    with anyio.fail_after(20):
        while not condition():  # noqa: ASYNC110 -- threads set no event of the loop
            await asyncio.sleep(0.001)


def code_of(output: str) -> str:
    code: str = json.loads(output)["error"]["code"]
    return code


# At once, and how many of them


async def test_async_calls_run_at_once() -> None:
    met = asyncio.Barrier(3)

    async def meet() -> str:
        await met.wait()
        return "met"

    with anyio.fail_after(20):
        outputs = await Toolset(meet).answer(RUN, calls("meet", "meet", "meet"))
    assert [output.output for output in outputs] == ["met"] * 3


async def test_sync_calls_run_at_once_and_the_loop_goes_on(gates: Gates) -> None:
    answering = asyncio.create_task(Toolset(gates.wait).answer(RUN, calls("wait", "wait")))
    await until(lambda: gates.begun == 2)
    assert not answering.done()
    gates.opened.set()
    assert [output.output for output in await answering] == ["late", "late"]


@pytest.mark.parametrize("most", [1, 2])
async def test_no_more_calls_run_at_once_than_allowed(most: int) -> None:
    running = highest = 0

    async def it() -> None:
        nonlocal running, highest
        running += 1
        highest = max(highest, running)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        running -= 1

    await Toolset(it).answer(RUN, calls(*["it"] * 7), max_parallel=most)
    assert highest == most


async def test_a_limiter_of_one_place_lets_threads_run_one_by_one(gates: Gates) -> None:
    gates.opened.set()
    limiter = anyio.CapacityLimiter(1)
    await Toolset(gates.wait).answer(RUN, calls(*["wait"] * 20), limiter=limiter)
    assert gates.most == 1
    assert gates.ended == 20
    assert limiter.borrowed_tokens == 0


async def test_async_tools_need_no_place_for_threads() -> None:
    async def it() -> str:
        return "done"

    limiter = anyio.CapacityLimiter(1)
    limiter.acquire_on_behalf_of_nowait("someone")
    (output,) = await Toolset(it).answer(RUN, calls("it"), limiter=limiter, timeout=5)
    assert output.output == "done"


async def test_tools_of_one_limiter_share_its_places(gates: Gates) -> None:
    limiter = anyio.CapacityLimiter(2)
    toolset = Toolset(gates.wait)
    answers = [
        asyncio.create_task(toolset.answer(RUN, calls("wait", "wait"), limiter=limiter))
        for _ in range(3)
    ]
    await until(lambda: limiter.statistics().tasks_waiting == 4)
    await until(lambda: gates.begun == 2)
    gates.opened.set()
    await asyncio.gather(*answers)
    assert (gates.ended, gates.most) == (6, 2)


# Time limits


async def test_an_async_tool_that_is_late_is_cancelled() -> None:
    cleaned_up = []

    async def it() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            cleaned_up.append(True)

    (output,) = await Toolset(it).answer(RUN, calls("it"), timeout=0.01)
    assert json.loads(output.output) == {
        "error": {"code": "timeout", "message": "the tool did not answer within 0.01 s"}
    }
    assert cleaned_up == [True]


async def test_a_time_limit_stops_only_the_call_that_is_late() -> None:
    async def late() -> None:
        await asyncio.sleep(60)

    async def prompt() -> str:
        return "in time"

    outputs = await Toolset(late, prompt).answer(RUN, calls("late", "prompt"), timeout=0.01)
    assert code_of(outputs[0].output) == "timeout"
    assert outputs[1].output == "in time"


async def test_a_sync_tool_that_is_late_keeps_its_place_until_it_returns(gates: Gates) -> None:
    limiter = anyio.CapacityLimiter(1)
    toolset = Toolset(gates.wait)
    toolset.tool(name="quick")(lambda: "quick")
    (output,) = await toolset.answer(RUN, calls("wait"), timeout=0.01, limiter=limiter)
    assert code_of(output.output) == "timeout"
    assert (gates.begun, gates.ended, limiter.borrowed_tokens) == (1, 0, 1)

    (output,) = await toolset.answer(RUN, calls("quick"), timeout=0.01, limiter=limiter)
    assert code_of(output.output) == "timeout"  # no place was free for it

    gates.opened.set()
    (output,) = await toolset.answer(RUN, calls("quick"), timeout=20, limiter=limiter)
    assert output.output == "quick"
    assert gates.ended == 1
    assert limiter.borrowed_tokens == 0


async def test_a_call_that_waited_in_vain_for_a_place_never_runs(gates: Gates) -> None:
    limiter = anyio.CapacityLimiter(1)
    ran: list[bool] = []
    toolset = Toolset(gates.wait)
    toolset.tool(name="later")(lambda: ran.append(True))
    await toolset.answer(RUN, calls("wait", "later"), timeout=0.01, limiter=limiter)
    gates.opened.set()
    await until(lambda: limiter.borrowed_tokens == 0)
    assert ran == []


async def test_a_tools_own_timeout_error_is_no_time_limit() -> None:
    async def it() -> None:
        async with asyncio.timeout(0):
            await asyncio.sleep(60)

    (output,) = await Toolset(it).answer(RUN, calls("it"), timeout=30)
    assert code_of(output.output) == "tool_failed"


async def test_an_answer_that_a_cancelled_tool_still_gives_counts() -> None:
    async def it() -> str:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return "what there was"
        return "never"

    (output,) = await Toolset(it).answer(RUN, calls("it"), timeout=0.01)
    assert output.output == "what there was"


# The first failure


async def test_raising_cancels_the_other_calls_and_gives_the_first_failure() -> None:
    cancelled = []
    cause = ValueError("first")

    async def waits() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    async def fails() -> None:
        await asyncio.sleep(0)
        raise cause

    async def fails_in_its_cleanup() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            raise KeyError("second")

    toolset = Toolset(waits, fails, fails_in_its_cleanup)
    round_ = calls("waits", "fails_in_its_cleanup", "fails", "waits")
    with pytest.raises(ToolError, match=r"^ValueError: first$") as caught:
        await toolset.answer(RUN, round_, on_error="raise")
    assert caught.value.__cause__ is cause
    assert cancelled == [True, True]


async def test_raising_leaves_the_threads_of_the_others_behind(gates: Gates) -> None:
    def fails() -> None:
        raise ValueError("now")

    limiter = anyio.CapacityLimiter(2)
    with pytest.raises(ToolError, match="now"):
        await Toolset(gates.wait, fails).answer(
            RUN, calls("wait", "fails"), on_error="raise", limiter=limiter
        )
    assert gates.ended == 0
    gates.opened.set()
    await until(lambda: limiter.borrowed_tokens == 0)


async def test_with_raise_a_late_tool_is_a_failure_too() -> None:
    async def late() -> None:
        await asyncio.sleep(60)

    with pytest.raises(ToolError, match="did not answer within"):
        await Toolset(late).answer(RUN, calls("late"), timeout=0.01, on_error="raise")


# Cancellation that comes out of a tool


async def of_itself() -> None:
    raise asyncio.CancelledError


async def of_a_task() -> None:
    task = asyncio.create_task(asyncio.sleep(60))
    asyncio.get_running_loop().call_soon(task.cancel)
    await task


async def of_its_own_task() -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(60)


def of_a_thread() -> None:
    raise asyncio.CancelledError


@pytest.mark.parametrize("tool", [of_itself, of_a_task, of_its_own_task, of_a_thread])
async def test_a_cancellation_that_comes_out_of_a_tool_is_a_failure(tool: Any) -> None:
    async def other() -> str:
        await asyncio.sleep(0.01)
        return "unharmed"

    round_ = calls(tool.__name__, "other")
    toolset = Toolset(tool, other)
    outputs = await toolset.answer(RUN, round_, timeout=30)
    assert json.loads(outputs[0].output)["error"] == {
        "code": "tool_failed",
        "message": "the tool was cancelled from within",
    }
    assert outputs[1].output == "unharmed"
    with pytest.raises(ToolError, match="cancelled from within") as caught:
        await toolset.answer(RUN, round_, on_error="raise")
    assert isinstance(caught.value.__cause__, asyncio.CancelledError)


# What is no Exception


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("is_async", [False, True])
def test_an_interrupt_in_a_tool_ends_the_program(
    kind: type[BaseException], *, is_async: bool, anyio_backend: str
) -> None:
    del anyio_backend

    def sync_tool() -> None:
        raise kind

    async def async_tool() -> None:
        raise kind

    name = "async_tool" if is_async else "sync_tool"
    before = threading.enumerate()
    with pytest.raises(kind):
        asyncio.run(Toolset(sync_tool, async_tool).answer(RUN, calls(name)))
    for thread in set(threading.enumerate()) - set(before):
        thread.join(20)  # one that waits for ever would keep the program from its end
        assert not thread.is_alive()


class Outcome(BaseException):
    """Neither an Exception nor one of the language's own, such as pytest's outcomes."""


async def test_what_is_no_exception_reaches_the_caller_as_it_is() -> None:
    async def it() -> None:
        raise Outcome

    with pytest.raises(Outcome):
        await Toolset(it).answer(RUN, calls("it", "it"))


# Cancellation that comes from outside


async def test_cancelling_the_caller_cancels_the_tools(gates: Gates) -> None:
    cancelled = []

    async def waits() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    limiter = anyio.CapacityLimiter(1)
    task = asyncio.create_task(
        Toolset(waits, gates.wait).answer(RUN, calls("waits", "wait"), limiter=limiter)
    )
    await until(lambda: gates.begun)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert cancelled == [True]
    assert limiter.borrowed_tokens == 1
    gates.opened.set()
    await until(lambda: limiter.borrowed_tokens == 0)


async def cancelled_at_turn(turn: int, how: str, limiter: anyio.CapacityLimiter) -> bool:
    """Answer two calls in threads, cancelled after so many turns of the loop; True if in time."""
    task: asyncio.Task[Any] | None = None

    async def answer() -> Any:
        nonlocal task
        task = asyncio.current_task()
        toolset = Toolset()
        toolset.tool(name="quick")(lambda: "quick")
        return await toolset.answer(RUN, calls("quick", "quick"), limiter=limiter)

    async def cancel(stop: Callable[[], object]) -> None:
        for _ in range(turn):
            await asyncio.sleep(0)
        stop()
        if how == "native twice":
            await asyncio.sleep(0)
            stop()

    if how == "scope":
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as group:
                group.start_soon(cancel, scope.cancel)
                await answer()
        return scope.cancelled_caught
    answering = asyncio.create_task(answer())
    await cancel(answering.cancel)
    await asyncio.wait({answering})
    return answering.cancelled()


@pytest.mark.parametrize("places", [1, 2])
@pytest.mark.parametrize("how", ["native", "native twice", "scope"])
async def test_cancelled_at_any_point_a_call_gives_its_place_back_exactly_once(
    how: str, places: int
) -> None:
    limiter = anyio.CapacityLimiter(places)
    caught = [await cancelled_at_turn(turn, how, limiter) for turn in range(40)]
    assert caught[0]
    await until(lambda: limiter.borrowed_tokens == 0)
    assert limiter.available_tokens == places
    # A place given back twice would have raised in the loop, one never given back would lack here.
    for _ in range(places):
        limiter.acquire_on_behalf_of_nowait(object())
    with pytest.raises(anyio.WouldBlock):
        limiter.acquire_on_behalf_of_nowait(object())


async def test_under_a_storm_of_cancellations_no_place_is_lost() -> None:
    complaints: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    limiter = anyio.CapacityLimiter(3)
    rng = random.Random(7)
    toolset = Toolset()
    toolset.tool(name="spin")(lambda: sum(range(rng.randrange(2000))))

    async def answer() -> None:
        await toolset.answer(RUN, calls("spin", "spin", "spin"), limiter=limiter)

    tasks = [asyncio.create_task(answer()) for _ in range(80)]
    while pending := [task for task in tasks if not task.done()]:
        rng.choice(pending).cancel()
        for _ in range(rng.randrange(6)):
            await asyncio.sleep(0)
    await until(lambda: limiter.borrowed_tokens == 0)
    assert complaints == []
    assert {task.cancelled() for task in tasks} <= {True, False}
    await asyncio.wait_for(answer(), 20)


async def test_cancelled_while_its_thread_starts_a_function_does_not_run() -> None:
    starting, cancelled = threading.Event(), threading.Event()

    def hold(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code.co_filename == toolset_module.__file__:
            starting.set()
            assert cancelled.wait(20)

    limiter = anyio.CapacityLimiter(1)
    ran: list[bool] = []
    toolset = Toolset()
    toolset.tool(name="it")(lambda: ran.append(True))
    threading.setprofile(hold)
    try:
        task = asyncio.create_task(toolset.answer(RUN, calls("it"), limiter=limiter))
        await until(starting.is_set)
    finally:
        threading.setprofile(None)
    task.cancel()
    await asyncio.wait({task})
    assert limiter.borrowed_tokens == 0
    cancelled.set()
    limiter.acquire_on_behalf_of_nowait("another")
    toolset.tool(name="next")(lambda: "done")
    (output,) = await toolset.answer(RUN, calls("next"))
    assert output.output == "done"
    assert ran == []
    assert limiter.borrowed_tokens == 1  # the other's: the thread has given nothing back


async def test_a_thread_that_returns_after_its_loop_has_closed_does_no_harm(gates: Gates) -> None:
    failed: list[Any] = []
    threading.excepthook, before = failed.append, threading.excepthook

    async def leave() -> None:
        limiter = anyio.CapacityLimiter(1)
        await Toolset(gates.wait).answer(RUN, calls("wait"), timeout=0.01, limiter=limiter)

    try:
        await asyncio.to_thread(asyncio.run, leave())
        gates.opened.set()
        gates.threads[0].join(20)
    finally:
        threading.excepthook = before
    assert (failed, gates.ended) == ([], 1)
