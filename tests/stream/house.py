"""What the tests of streams share: a server behind a proxy, scripts, tools, and the truth."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import aiohttp
import msgspec

from asyncruns import Accumulator, Client
from asyncruns.emulator import Action, Call, Context, Emulator, Parallel, RunCode, Say
from asyncruns.events import ThreadMessageDelta
from asyncruns.models import TextDeltaBlock, to_dict
from asyncruns.toolset import Toolset
from tests.stream.proxy import Proxy, proxied

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from asyncruns import RunStream
    from asyncruns.emulator import Script
    from asyncruns.events import Event

Json = dict[str, Any]


async def three_rounds(_: Context) -> AsyncGenerator[Action, Any]:
    """Three rounds of two interleaved calls, then what they gave, in so many words."""
    heard: list[str] = []
    for number in range(3):
        heard += yield Parallel(
            Call("weather", {"city": f"Oslo {number}"}),
            Call("weather", {"city": f"Rome {number}"}),
            interleave=True,
        )
    yield Say("I heard: " + "; ".join(heard))


async def two_messages(_: Context) -> AsyncGenerator[Action, Any]:
    yield Say("One moment.")
    yield RunCode("print(6 * 7)", logs="42\n")
    yield Say(["It is ", "42", "."])


async def one_call(_: Context) -> AsyncGenerator[Action, Any]:
    output = yield Call("weather", {"city": "Oslo"})
    yield Say(f"In Oslo it is {output}.")


async def say_hello(_: Context) -> AsyncGenerator[Action, Any]:
    yield Say(["Hel", "lo", "."])


class Tools:
    """A toolset with one tool, and the cities that it was asked about."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.set = Toolset(self.weather)

    async def weather(self, city: str) -> str:
        """Tell the weather in a city."""
        self.asked.append(city)
        return f"sunny in {city}"


@dataclass
class Truth:
    """What the server has of a run: raw JSON, read by the standard library."""

    run: Json
    steps: list[Json]
    messages: list[Json]

    @property
    def text(self) -> str:
        """All that the run has said."""
        return "".join(
            part["text"]["value"] for message in self.messages for part in message["content"]
        )

    def assert_is(self, snapshots: RunStream | Accumulator) -> None:
        """Fail unless the snapshots say the same."""
        pairs = (
            (snapshots.run, self.run),
            (snapshots.steps, self.steps),
            (snapshots.messages, self.messages),
        )
        for ours, theirs in pairs:
            assert_same(ours, theirs)
            assert to_dict(ours) == theirs


def assert_same(ours: object, theirs: Any, path: str = "") -> None:
    """Fail unless an object of ours has every value of the JSON, and none beside."""
    plain = msgspec.to_builtins(ours)
    if isinstance(theirs, dict) and isinstance(plain, dict):
        for name in plain.keys() | theirs.keys() - BEYOND:
            assert_same(plain.get(name), theirs.get(name), f"{path}.{name}")
    elif isinstance(theirs, list) and isinstance(plain, list):
        assert len(plain) == len(theirs), path
        for place, (one, other) in enumerate(zip(plain, theirs, strict=True)):
            assert_same(one, other, f"{path}[{place}]")
    else:
        assert plain == theirs, path


BEYOND = {
    "attributes",
    "completion_tokens_details",
    "expires_at",
    "hybrid_search",
    "prompt_token_details",
    "reasoning_effort",
    "tool_resources",
}
"""Fields that servers send beside those of the reference; they are in an object's raw JSON."""


@dataclass
class Follower:
    """Somebody who gets the events of a stream and nothing else."""

    stream: RunStream
    accumulator: Accumulator = field(default_factory=Accumulator)
    events: list[Event] = field(default_factory=list["Event"])
    texts: list[str] = field(default_factory=list[str])

    def take(self, event: Event) -> None:
        """Fold an event, and fail unless that gives what the stream shows."""
        self.accumulator.apply(event)
        self.events.append(event)
        self.texts += texts_of(event)
        self.assert_same()

    def assert_same(self) -> None:
        assert self.accumulator.run == self.stream.run
        assert self.accumulator.steps == self.stream.steps
        assert self.accumulator.messages == self.stream.messages

    async def follow(self) -> Follower:
        """Take all events."""
        async for event in self.stream:
            self.take(event)
        return self

    async def first(self) -> Follower:
        """Take one event."""
        self.take(await anext(aiter(self.stream)))
        return self

    @property
    def names(self) -> list[str]:
        return [event.event for event in self.events]


def texts_of(event: Event) -> list[str]:
    """The pieces of text in an event."""
    if not isinstance(event, ThreadMessageDelta):
        return []
    return [
        part.text.value
        for part in event.data.delta.content or ()
        if isinstance(part, TextDeltaBlock) and part.text and part.text.value
    ]


@dataclass
class House:
    """An emulator, a proxy in front of it, a client of the proxy, and a line of its own."""

    emulator: Emulator
    proxy: Proxy
    client: Client
    direct: aiohttp.ClientSession
    assistant: str

    async def get(self, path: str, **query: str) -> Json:
        """What the server answers to a GET, without the proxy."""
        return await self._ask("GET", path, query)

    async def post(self, path: str, **body: Any) -> Json:
        """What the server answers to a POST, without the proxy."""
        return await self._ask("POST", path, {}, json=body)

    async def _ask(self, method: str, path: str, query: Json, **options: Any) -> Json:
        url = self.emulator.base_url + path
        async with self.direct.request(method, url, params=query, **options) as reply:
            raw = await reply.read()
            assert reply.status == 200, raw
            body: Json = json.loads(raw)
            return body

    def thread(self) -> str:
        """The id of a new thread."""
        thread = self.emulator.add_thread(messages=[{"role": "user", "content": "Well?"}])
        return str(thread["id"])

    def stream(self, thread_id: str | None = None, **options: Any) -> RunStream:
        """The stream of a new run, on a new thread unless one is given."""
        thread_id = thread_id or self.thread()
        return self.client.runs.stream(thread_id=thread_id, assistant_id=self.assistant, **options)

    async def runs(self, thread_id: str) -> list[Json]:
        """The runs of a thread, newest first."""
        page = await self.get(f"/threads/{thread_id}/runs", limit="100")
        return list(page["data"])

    async def truth(self, thread_id: str, run_id: str | None = None, **query: str) -> Truth:
        """What the server has of a run: of the thread's newest, unless one is given.

        `query` goes with the steps.
        """
        if run_id is None:
            run_id = str((await self.runs(thread_id))[0]["id"])
        path = f"/threads/{thread_id}/runs/{run_id}"
        steps = await self.get(f"{path}/steps", order="asc", limit="100", **query)
        messages = await self.get(
            f"/threads/{thread_id}/messages", run_id=run_id, order="asc", limit="100"
        )
        return Truth(await self.get(path), steps["data"], messages["data"])

    async def truth_of(self, stream: RunStream, **query: str) -> Truth:
        """What the server has of a stream's run."""
        assert stream.run is not None
        return await self.truth(stream.run.thread_id, stream.run.id, **query)

    async def status(self, thread_id: str) -> str:
        """The status of the thread's newest run."""
        return str((await self.runs(thread_id))[0]["status"])

    @property
    def held(self) -> int:
        """How many connections of the client are in use."""
        session = self.client._transport.connections._session
        connector: Any = session and session.connector
        return len(connector._acquired) if connector else 0


@asynccontextmanager
async def opened(
    script: Script = three_rounds,
    *,
    max_connections: int = 100,
    poll_after_ms: int | None = 1,
    **options: Any,
) -> AsyncGenerator[House, None]:
    """A house; when it is left, no connection of its client may be in use."""
    async with (
        Emulator(script, poll_after_ms=poll_after_ms, **options) as emulator,
        proxied(emulator.base_url) as proxy,
        Client(base_url=proxy.url, api_key="sk-1", max_connections=max_connections) as client,
        aiohttp.ClientSession(headers={"OpenAI-Beta": "assistants=v2"}) as direct,
    ):
        assistant = emulator.add_assistant()["id"]
        house = House(emulator, proxy, client, direct, assistant)
        yield house
        assert house.held == 0
