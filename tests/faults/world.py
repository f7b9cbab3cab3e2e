"""One row of the matrix: a server with a fault, a client of it, one call, and what comes of it."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from asyncruns import (
    Accumulator,
    AsyncRunsError,
    Client,
    RetryPolicy,
    StreamInterrupted,
    TextContentBlock,
    Timeout,
    Toolset,
)
from asyncruns.emulator import Action, Call, Context, Emulator, Fault, Say
from asyncruns.emulator.faults import OF_STREAMS, OPTIONS
from asyncruns.texts import Texts
from tests.stream.house import assert_same as assert_equal
from tests.transport.wires import until

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence

    from asyncruns import Message, RunStream

PLACE = 8
"""How many events come before a fault in a stream: the last of them is the first piece of text."""

BYTES = 20
"""How many bytes of another answer's body come before a fault in it."""

SILENCE = 0.5
"""Seconds without a byte that are too long, where a row is about silence."""

OUTAGE = 0.05
"""Seconds that the port is closed."""

BOUND = 30.0
"""Seconds that no row may take."""

SAID = "OneTwoThreeFour"
"""All that the run says: a message before its tool call, and one after it."""


async def ask_once(_: Context) -> AsyncGenerator[Action, Any]:
    yield Say(["One", "Two"])
    yield Call("weather", {"city": "Oslo"})
    yield Say(["Three", "Four"])


@dataclass(frozen=True)
class Row:
    """A fault's kind and options, beside which requests it takes."""

    kind: Any
    options: dict[str, Any] = field(default_factory=dict[str, Any])
    at_once: bool = False
    """Whether it comes before the answer, and not in the middle of it."""

    def fault(self, call: CallOf) -> Fault:
        """The fault for the endpoint of a call, if that can have it; else for every endpoint."""
        of_stream = self.kind in OF_STREAMS
        endpoint = call.streaming if of_stream else call.endpoint
        if self.kind == "refuse" and self.at_once:
            endpoint = None
        return Fault(
            self.kind, endpoint, **self._place(streams=endpoint == call.streaming), **self.options
        )

    def _place(self, *, streams: bool) -> dict[str, Any]:
        place = "after_events" if streams else "after_bytes"
        if self.at_once or place not in OPTIONS[self.kind]:
            return {}
        return {place: PLACE if streams else BYTES}


ROWS = {
    "nobody listens": Row("refuse", {"seconds": OUTAGE}, at_once=True),
    "the server restarts": Row("refuse", {"seconds": OUTAGE}),
    "reset": Row("reset"),
    "reset before headers": Row("reset", at_once=True),
    "close": Row("close"),
    "close before headers": Row("close", at_once=True),
    "stall": Row("stall"),
    "stall before headers": Row("stall", at_once=True),
    "drip": Row("drip"),
    "truncate": Row("truncate"),
    "garbage": Row("garbage"),
    "html": Row("html"),
    "html 502": Row("html", {"status": 502}),
    "json": Row("json"),
    "429": Row("status", {"status": 429}),
    "429 with Retry-After": Row("status", {"status": 429, "retry_after": 1}),
    "500": Row("status"),
    "503 with Retry-After": Row("status", {"status": 503, "retry_after": 1}),
    "redirect": Row("redirect"),
    "content type": Row("content_type"),
    "gzip": Row("gzip"),
    "deflate": Row("deflate"),
    "bomb": Row("bomb"),
    "giant line": Row("giant_line"),
    "invalid json": Row("invalid_json"),
    "invalid utf-8": Row("invalid_utf8"),
    "nul": Row("nul"),
    "duplicate": Row("duplicate", {"events": None}),
    "drop": Row("drop"),
    "reorder": Row("reorder", {"events": None}),
    "negative index": Row("negative_index"),
    "huge index": Row("huge_index"),
    "error": Row("error"),
    "wrapped error": Row("wrapped_error"),
    "early done": Row("early_done"),
    "no done": Row("no_done", at_once=True),
    "end without done": Row("no_done"),
    "linger": Row("linger"),
}


@dataclass
class World:
    """What a call has to do with."""

    emulator: Emulator
    client: Client
    recovers: bool
    is_patient: bool
    thread: str
    assistant: str
    deadline: float = BOUND
    """Seconds that a poll may take."""
    patience: float = 2.0
    """Seconds that a repair may take without progress."""
    has_key: bool = True
    """Whether creates that are to be repaired have a dedupe key."""
    asked: list[str] = field(default_factory=list[str])

    @property
    def toolset(self) -> Toolset:
        async def weather(city: str) -> str:
            self.asked.append(city)
            return f"sunny in {city}"

        return Toolset(weather)

    @property
    def streaming(self) -> dict[str, Any]:
        """How a stream is told to deal with faults."""
        return {
            "on_interrupt": "recover" if self.recovers else "raise",
            "idle_timeout": None if self.is_patient else SILENCE,
            "recovery_deadline": self.patience,
        }

    @property
    def creation(self) -> dict[str, Any]:
        """How a create is told to deal with faults."""
        key = {"dedupe_key": "row"} if self.recovers and self.has_key else {}
        return {"thread_id": self.thread, "assistant_id": self.assistant, **key}

    async def waiting(self) -> dict[str, Any]:
        """A run that waits for the output of its call."""
        return await self.emulator.add_run(self.thread, self.assistant)

    def runs(self) -> int:
        """How many runs the server has."""
        return len(self.emulator._store.thread(self.thread).runs)

    @property
    def held(self) -> int:
        """How many connections of the client are in use."""
        session = self.client._transport.connections._session
        connector: Any = session and session.connector
        return len(connector._acquired) if connector else 0


# The calls: each sets the fault at the right moment, and gives the text that came.


async def create(world: World, arm: Callable[[], None]) -> str:
    arm()
    run = await world.client.runs.create(**world.creation)
    assert run.assistant_id == world.assistant
    return ""


async def retrieve(world: World, arm: Callable[[], None]) -> str:
    run = await world.waiting()
    arm()
    seen = await world.client.runs.retrieve(run["id"], thread_id=world.thread)
    assert (seen.id, seen.status) == (run["id"], "requires_action")
    return ""


async def poll(world: World, arm: Callable[[], None]) -> str:
    run = await world.waiting()
    arm()
    seen = await world.client.runs.poll(
        run["id"], world.thread, poll_interval_ms=1, deadline=world.deadline
    )
    assert (seen.id, seen.status) == (run["id"], "requires_action")
    return ""


async def stream(world: World, arm: Callable[[], None]) -> str:
    arm()
    return await followed(
        world, world.client.runs.stream(**world.creation, **world.streaming, toolset=world.toolset)
    )


async def attach(world: World, arm: Callable[[], None]) -> str:
    run = await world.waiting()
    arm()
    return await followed(
        world,
        world.client.runs.attach(
            run["id"], thread_id=world.thread, **world.streaming, toolset=world.toolset
        ),
    )


async def submit(world: World, arm: Callable[[], None]) -> str:
    run = await world.waiting()
    (call,) = run["required_action"]["submit_tool_outputs"]["tool_calls"]
    arm()
    outputs: Any = [{"tool_call_id": call["id"], "output": "sunny"}]
    return await followed(
        world,
        world.client.runs.submit_tool_outputs_stream(
            run["id"], thread_id=world.thread, tool_outputs=outputs, **world.streaming
        ),
    )


@dataclass(frozen=True)
class CallOf:
    """A call, the endpoint that its fault is for, and the one of it that streams."""

    make: Callable[[World, Callable[[], None]], Awaitable[str]]
    endpoint: str
    streaming: str | None = None


SUBMIT = "runs.submit_tool_outputs_stream"

CALLS = {
    "create": CallOf(create, "runs.create"),
    "retrieve": CallOf(retrieve, "runs.retrieve"),
    "stream": CallOf(stream, "runs.stream", "runs.stream"),
    "submit": CallOf(submit, SUBMIT, SUBMIT),
    "poll": CallOf(poll, "runs.retrieve"),
    "attach": CallOf(attach, "runs.retrieve", SUBMIT),
}


async def followed(world: World, opening: RunStream) -> str:
    """Follow a stream to its end; what its events make is what it shows, even interrupted."""
    accumulator, texts, pieces, replaced = Accumulator(), Texts(), list[str](), False
    try:
        async with opening as stream:
            async for event in stream:
                accumulator.apply(event)
                replaced |= event.replaced
                pieces += texts.take(event)
    except StreamInterrupted as exc:
        assert_same(accumulator, exc)
        raise
    finally:
        assert_same(accumulator, opening)
    assert opening.outcome == "completed"
    said = text_of(opening.messages)
    assert replaced == ("".join(pieces) != said)
    if accumulator.is_open:
        return f"open {said}"
    assert_is(opening, world.emulator)
    return f"replaced {said}" if replaced else said


def assert_same(one: Any, other: Any) -> None:
    assert (one.run, one.steps, list(one.messages)) == (
        other.run,
        list(other.steps),
        list(other.messages),
    )


def assert_is(stream: RunStream, emulator: Emulator) -> None:
    """Fail unless the snapshots are what the server has: all of it, but for a stream that came late."""
    assert stream.run is not None
    run = emulator._store.run(stream.run.thread_id, stream.run.id)
    steps = list(run.steps.values())
    said = [one for one in run.thread.messages.values() if one["role"] == "assistant"]
    assert_equal(stream.run, run.record)
    assert_equal(stream.steps, steps[-len(stream.steps) :])
    assert_equal(stream.messages, said[-len(stream.messages) :])


def text_of(messages: Sequence[Message]) -> str:
    """All that messages say."""
    return "".join(
        part.text.value
        for message in messages
        for part in message.content
        if isinstance(part, TextContentBlock)
    )


@asynccontextmanager
async def opened(
    *, recovers: bool, is_patient: bool = True, pause: float = 0.0
) -> AsyncGenerator[World, None]:
    """A world; once it is left, nothing of its client may be open."""

    async def sleep(_: float) -> None:
        await asyncio.sleep(pause)

    retries = RetryPolicy(max_retries=2 if recovers else 0, sleep=sleep)
    timeout = Timeout(total=60 if is_patient else SILENCE)
    async with Emulator(ask_once, poll_after_ms=1) as emulator:
        thread = emulator.add_thread(messages=[{"role": "user", "content": "Well?"}])["id"]
        assistant = emulator.add_assistant()["id"]
        async with Client(
            base_url=emulator.base_url, api_key="k", retries=retries, timeout=timeout
        ) as client:
            world = World(emulator, client, recovers, is_patient, thread, assistant)
            yield world
            assert world.held == 0
        await until(lambda: emulator.connections == 0)


async def outcome(row: str, call: str, *, recovers: bool) -> str:
    """Make a call in a row; tell what came of it, after how many requests, and what was read."""
    kind, made = ROWS[row], CALLS[call]
    fault = kind.fault(made)
    async with (
        asyncio.timeout(BOUND),
        opened(
            recovers=recovers,
            is_patient=kind.kind != "stall",
            pause=3 * OUTAGE if kind.kind == "refuse" else 0.0,
        ) as world,
    ):
        requests = world.emulator.requests

        def arm() -> None:
            world.emulator.faults = [fault]

        try:
            text = await made.make(world, arm)
            told = "done"
            assert world.runs() == 1
        except AsyncRunsError as exc:
            told = type(exc).__name__
            text = text_of(exc.messages) if isinstance(exc, StreamInterrupted) else ""
        assert len(world.asked) <= 1
        if not fault.comes_at_once and not any(request.fault for request in requests):
            told = f"untouched, {told}"
        return f"{told} {len(requests)} {text}".strip()
