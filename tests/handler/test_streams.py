"""Handlers in streams: cut, attached, many at once; what a hook raises, and what it may do."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from asyncruns import Client, RunHandler, RunStream, StreamInterrupted, Toolset
from asyncruns.emulator import Call, Emulator, Parallel, Say
from asyncruns.models import FunctionToolCallDelta
from tests.core.shapes import (
    ANSWERED_RUN,
    ARGUMENTS,
    CALLING_RUN,
    CODE_RUN,
    RUNS,
    TEXT,
    TEXT_RUN,
    fold,
    frame,
    run,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from asyncruns.emulator import Action, Context
    from asyncruns.models import (
        FunctionToolCall,
        Message,
        Run,
        RunStep,
        Text,
        TextDelta,
        ToolCall,
        ToolCallDelta,
    )

pytestmark = pytest.mark.anyio


class Body:
    """The body of an answer, that knows whether it was closed."""

    def __init__(self, *chunks: bytes) -> None:
        self.chunks = chunks
        self.closed = False

    async def __aiter__(self) -> AsyncGenerator[bytes, None]:
        for chunk in self.chunks:
            yield chunk

    async def aclose(self) -> None:
        self.closed = True


class Service:
    """A server whose streams are cut, and that has the whole run when it is asked for it."""

    def __init__(self, frames: list[bytes], *bodies: list[bytes]) -> None:
        self.whole = fold(*frames)
        self.bodies = [Body(*chunks) for chunks in bodies]
        self.submitted: list[Mapping[str, object]] = []

    async def open(self) -> Body:
        return self.bodies[0]

    async def submit(self, thread_id: str, run_id: str, answer: Mapping[str, object]) -> Body:
        del thread_id, run_id
        self.submitted.append(answer)
        return self.bodies[len(self.submitted)]

    async def retrieve(self, thread_id: str, run_id: str) -> tuple[Run, float | None]:
        del thread_id, run_id
        assert self.whole.run is not None
        return self.whole.run, 0.0

    async def list_steps(self, thread_id: str, run_id: str) -> list[RunStep]:
        del thread_id, run_id
        return self.whole.steps

    async def list_messages(self, thread_id: str, run_id: str) -> list[Message]:
        del thread_id, run_id
        return self.whole.messages

    async def find(self) -> Run | None:
        return None

    async def cancel(self, thread_id: str, run_id: str) -> Run:
        raise AssertionError((thread_id, run_id))


class Counting(RunHandler):
    """Counts what is created and done, and joins what comes between, by stream and by id."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.arguments: dict[str, str] = defaultdict(str)
        self.text = ""
        self.finished: list[str] = []

    def on_run_created(self, run: Run) -> None:
        self.counts[f"created {run.id}"] += 1

    def on_run_done(self, run: Run) -> None:
        self.counts[f"done {run.id}"] += 1

    def on_step_created(self, step: RunStep) -> None:
        self.counts[f"created {step.id}"] += 1

    def on_step_done(self, step: RunStep) -> None:
        self.counts[f"done {step.id}"] += 1

    async def on_tool_call_created(self, call: ToolCall) -> None:
        self.counts[f"created {call.id}"] += 1

    async def on_tool_call_delta(self, delta: ToolCallDelta, call: ToolCall) -> None:
        await asyncio.sleep(0)
        if isinstance(delta, FunctionToolCallDelta) and delta.function is not None:
            self.arguments[str(call.id)] += delta.function.arguments or ""

    def on_tool_call_done(self, call: ToolCall) -> None:
        self.counts[f"done {call.id}"] += 1

    def on_message_created(self, message: Message) -> None:
        self.counts[f"created {message.id}"] += 1

    def on_message_done(self, message: Message) -> None:
        self.counts[f"done {message.id}"] += 1

    def on_text_delta(self, delta: TextDelta, text: Text) -> None:
        del text
        self.text += delta.value or ""

    def on_text_done(self, text: Text) -> None:
        self.finished.append(text.value)

    def on_end(self) -> None:
        self.counts["end"] += 1


def once(*ids: str) -> dict[str, int]:
    """What is counted where each of the ids was created once and done once."""
    return {f"{what} {object_id}": 1 for object_id in ids for what in ("created", "done")}


# Cuts


@pytest.mark.parametrize("cut", range(len(TEXT_RUN)))
async def test_wherever_a_text_is_cut_everything_is_told_once(cut: int) -> None:
    handler = Counting()
    service = Service(TEXT_RUN, TEXT_RUN[:cut])
    async with RunStream(service, event_handler=handler) as stream:
        if cut == 0:
            with pytest.raises(StreamInterrupted):
                await stream.until_done()
            return
        events = [event async for event in stream]
    assert any(event.recovered for event in events) == (cut < len(TEXT_RUN) - 1)
    assert handler.counts == once("run_one", "step_text", "msg_1") | {"end": 1}
    assert (handler.text, handler.finished) == (TEXT, [TEXT])


@pytest.mark.parametrize("cut", range(1, len(CODE_RUN)))
async def test_wherever_a_step_is_cut_everything_is_told_once(cut: int) -> None:
    handler = Counting()
    async with RunStream(Service(CODE_RUN, CODE_RUN[:cut]), event_handler=handler) as stream:
        await stream.until_done()
    assert handler.counts == once("run_one", "step_1", "call_1") | {"end": 1}


@pytest.mark.parametrize("cut", range(2, len(CALLING_RUN)))
async def test_wherever_a_call_is_cut_it_is_told_once_and_its_deltas_are_whole(cut: int) -> None:
    handler = Counting()
    service = Service(CALLING_RUN, CALLING_RUN[:cut], ANSWERED_RUN)
    async with RunStream(service, event_handler=handler) as stream:
        async for event in stream:
            if event.event == "thread.run.requires_action":
                await stream.submit([{"tool_call_id": "call_1", "output": "wet"}])
    assert len(service.submitted) == 1
    assert handler.counts == (
        once("run_one", "step_1", "call_1", "step_text", "msg_1") | {"end": 1}
    )
    assert handler.arguments["call_1"] == ARGUMENTS
    assert handler.text == TEXT


# Over sockets


async def script(context: Context) -> AsyncGenerator[Action, Any]:
    name = context.input
    outputs = yield Parallel(
        Call("shout", {"text": name}), Call("shout", {"text": "and"}), interleave=True
    )
    outputs += yield Parallel(Call("shout", {"text": "again"}))
    yield Say(" ".join(outputs))


def shout(text: str) -> str:
    """Say it louder."""
    return text.upper()


@asynccontextmanager
async def serving() -> AsyncGenerator[tuple[Emulator, Client], None]:
    async with (
        Emulator(script, poll_after_ms=1) as emulator,
        Client(base_url=emulator.base_url, api_key="sk-1") as client,
    ):
        yield emulator, client


def new_ids(emulator: Emulator, said: str) -> tuple[str, str]:
    """The ids of a new thread and of a new assistant."""
    thread = emulator.add_thread(messages=[{"role": "user", "content": said}])
    return thread["id"], emulator.add_assistant()["id"]


async def test_one_handler_serves_many_streams_at_once() -> None:
    handler = Counting()

    async def follow(emulator: Emulator, client: Client, said: str) -> list[str]:
        thread_id, assistant_id = new_ids(emulator, said)
        async with client.runs.stream(
            thread_id=thread_id,
            assistant_id=assistant_id,
            toolset=Toolset(shout),
            event_handler=handler,
        ) as stream:
            await stream.until_done()
            assert stream.run is not None
            calls: list[FunctionToolCall] = [
                call
                for step in stream.steps
                for call in getattr(step.step_details, "tool_calls", [])
            ]
            for call in calls:
                assert handler.arguments[call.id] == call.function.arguments
            whole: list[Any] = [stream.run, *stream.steps, *stream.messages, *calls]
            return [each.id for each in whole]

    async with serving() as (emulator, client):
        follows = [follow(emulator, client, f"word{n}") for n in range(20)]
        ids = [object_id for each in await asyncio.gather(*follows) for object_id in each]
    assert handler.counts == once(*ids) | {"end": 20}
    assert sorted(handler.finished) == sorted(f"WORD{n} AND AGAIN" for n in range(20))


async def test_a_run_that_is_followed_by_polling_is_told_as_a_stream_is() -> None:
    handler = Counting()
    async with serving() as (emulator, client):
        thread_id, assistant_id = new_ids(emulator, "hello")
        created = await client.runs.create(thread_id, assistant_id=assistant_id)
        async with client.runs.attach(
            created.id,
            thread_id=thread_id,
            toolset=Toolset(shout),
            event_handler=handler,
        ) as stream:
            await stream.until_done()
            calls = [
                call
                for step in stream.steps
                for call in getattr(step.step_details, "tool_calls", [])
            ]
            whole: list[Any] = [stream.run, *stream.steps, *stream.messages, *calls]
    assert handler.counts == once(*(each.id for each in whole)) | {"end": 1}
    for call in calls:
        assert handler.arguments[call.id] == call.function.arguments
    assert handler.text == "HELLO AND AGAIN"


# What a hook raises


class Trouble(Exception):  # noqa: N818 -- any name may come
    pass


HOOK_OF = {
    "on_event": TEXT_RUN,
    "on_run_created": TEXT_RUN,
    "on_run_updated": TEXT_RUN,
    "on_run_done": TEXT_RUN,
    "on_end": TEXT_RUN,
    "on_message_done": TEXT_RUN,
    "on_text_delta": TEXT_RUN,
    "on_step_created": TEXT_RUN,
    "on_tool_call_delta": CALLING_RUN,
    "on_requires_action": CALLING_RUN,
    "on_error": [frame("thread.run.created", run()), frame("error", {"message": "m"})],
}


@pytest.mark.parametrize("is_async", [False, True], ids=["plain", "async"])
@pytest.mark.parametrize("name", HOOK_OF)
async def test_what_a_hook_raises_reaches_the_caller_and_the_connection_is_released(
    name: str, *, is_async: bool
) -> None:
    trouble = Trouble()

    def hook(*_: Any) -> None:
        raise trouble

    async def async_hook(*_: Any) -> None:
        await asyncio.sleep(0)
        raise trouble

    handler: Any = type("Handler", (RunHandler,), {name: async_hook if is_async else hook})()
    service = Service(HOOK_OF[name], HOOK_OF[name])
    stream = RunStream(service, event_handler=handler)
    async with stream:
        with pytest.raises(Trouble) as caught:
            await stream.until_done()
        assert caught.value is trouble
        assert service.bodies[0].closed
        assert stream.run is not None


async def test_a_hook_that_waits_can_be_cancelled() -> None:
    class Handler(RunHandler):
        async def on_run_created(self, run: Run) -> None:
            del run
            await asyncio.sleep(60)

    service = Service(TEXT_RUN, TEXT_RUN)
    with anyio.move_on_after(0.01) as scope:
        async with RunStream(service, event_handler=Handler()) as stream:
            await stream.until_done()
    assert scope.cancelled_caught
    assert service.bodies[0].closed


# How hooks may be given


async def test_a_hook_may_be_set_on_one_handler_alone() -> None:
    told: list[str] = []
    handler, other = RunHandler(), RunHandler()
    handler.on_text_done = lambda text: told.append(text.value)  # type: ignore[method-assign]
    for each in (handler, other):
        async with RunStream(Body(*TEXT_RUN), event_handler=each) as stream:
            await stream.until_done()
    assert told == [TEXT]


async def test_a_hook_may_be_inherited_and_be_a_static_or_a_class_method() -> None:
    told: list[Any] = []

    class Base(RunHandler):
        @staticmethod
        def on_text_done(text: Text) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
            told.append(text.value)

        @classmethod
        def on_end(cls) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
            told.append(cls.__name__)

    class Derived(Base):
        pass

    async with RunStream(Body(*TEXT_RUN), event_handler=Derived()) as stream:
        await stream.until_done()
    assert told == [TEXT, "Derived"]


# Together with iterating


@pytest.mark.parametrize("shape", RUNS)
async def test_a_hook_is_called_before_its_event_is_yielded(shape: str) -> None:
    order: list[Any] = []

    class Handler(RunHandler):
        async def on_event(self, event: Any) -> None:
            await asyncio.sleep(0)
            order.append(event)

    service = Service(RUNS[shape], RUNS[shape])
    async with RunStream(service, event_handler=Handler()) as stream:
        async for event in stream:
            assert order[-1] is event
            assert len(order) == len({id(each) for each in order})
    assert len(order) == len(RUNS[shape])


async def test_the_end_is_told_at_the_end_of_each_iteration() -> None:
    handler = Counting()
    service = Service(CALLING_RUN, CALLING_RUN, ANSWERED_RUN)
    async with RunStream(service, event_handler=handler) as stream:
        await stream.until_done()
        assert handler.counts["end"] == 1
        await stream.submit([{"tool_call_id": "call_1", "output": "wet"}])
        await stream.until_done()
        assert handler.counts["end"] == 2
        await stream.until_done()
    assert handler.counts["end"] == 2


async def test_a_hook_may_answer_the_calls_itself() -> None:
    service = Service(CALLING_RUN, CALLING_RUN, ANSWERED_RUN)

    class Handler(Counting):
        async def on_requires_action(self, run: Run) -> None:
            self.counts[f"asked {run.id}"] += 1
            await stream.submit([{"tool_call_id": "call_1", "output": "wet"}])

    handler = Handler()
    async with RunStream(service, event_handler=handler) as stream:
        await stream.until_done()
        assert stream.outcome == "completed"
    assert handler.counts["asked run_one"] == 1
    assert handler.counts["end"] == 1
    assert handler.text == TEXT
