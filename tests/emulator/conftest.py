"""A plain HTTP client of the emulator: raw JSON in and out, nothing of asyncruns."""

from __future__ import annotations

import json
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any, Protocol, Self

import aiohttp
import pytest

from asyncruns.emulator import Emulator, use_every_tool

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Mapping
    from types import TracebackType

    from asyncruns.emulator import Script

Json = dict[str, Any]


class Event:
    """An event of a stream: its name, its data as bytes and as JSON."""

    def __init__(self, frame: bytes) -> None:
        name, self.raw = frame.removeprefix(b"event: ").split(b"\ndata: ")
        self.name = name.decode()
        self.data: Any = None if self.raw == b"[DONE]" else json.loads(self.raw)


class Api:
    """One session with one emulator."""

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator
        self.session = aiohttp.ClientSession(headers={"OpenAI-Beta": "assistants=v2"})

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.session.close()

    async def ask(
        self, method: str, path: str, body: object = None, query: Mapping[str, str] | None = None
    ) -> tuple[int, Json]:
        async with self.session.request(
            method, self.emulator.base_url + path, json=body, params=query
        ) as answer:
            return answer.status, await answer.json()

    async def get(self, path: str, **query: str) -> Json:
        status, body = await self.ask("GET", path, query=query)
        assert status == 200, body
        return body

    async def post(self, path: str, **body: Any) -> Json:
        status, answer = await self.ask("POST", path, body)
        assert status == 200, answer
        return answer

    async def delete(self, path: str) -> Json:
        status, body = await self.ask("DELETE", path)
        assert status == 200, body
        return body

    async def refused(self, method: str, path: str, body: object = None, **query: str) -> Json:
        """Return the error of a request that must fail, with its status."""
        status, answer = await self.ask(method, path, body, query)
        error: Json = answer["error"]
        assert set(error) == {"message", "type", "param", "code"}
        assert error["type"] == "invalid_request_error"
        return {"status": status, **error}

    @asynccontextmanager
    async def open(
        self, path: str, query: Mapping[str, str] | None = None, **body: Any
    ) -> AsyncGenerator[AsyncIterator[Event]]:
        """Open a stream; its chunks must be one event each."""
        async with self.session.post(
            self.emulator.base_url + path, json={"stream": True, **body}, params=query
        ) as answer:
            assert answer.status == 200, await answer.text()
            assert answer.headers["Content-Type"] == "text/event-stream; charset=utf-8"
            yield self._events(answer.content)

    async def stream(
        self, path: str, query: Mapping[str, str] | None = None, **body: Any
    ) -> list[Event]:
        """Return all events of a stream."""
        async with self.open(path, query, **body) as events:
            return [event async for event in events]

    async def thread(self, text: str = "What now?", **assistant: Any) -> tuple[str, str]:
        """Return the ids of a new thread with a message of the user, and of a new assistant."""
        thread = await self.post("/threads", messages=[{"role": "user", "content": text}])
        return thread["id"], (await self.post("/assistants", model="gpt-4o", **assistant))["id"]

    async def run(self, **assistant: Any) -> tuple[str, list[Event]]:
        """Run a new assistant on a new thread; return the path of the run and its events."""
        thread_id, assistant_id = await self.thread(**assistant)
        events = await self.stream(f"/threads/{thread_id}/runs", assistant_id=assistant_id)
        return f"/threads/{thread_id}/runs/{events[0].data['id']}", events

    @staticmethod
    async def _events(content: aiohttp.StreamReader) -> AsyncIterator[Event]:
        frame = b""
        async for data, end_of_chunk in content.iter_chunks():
            frame += data
            if end_of_chunk and frame:
                assert frame.count(b"\n\n") == 1
                assert frame.endswith(b"\n\n")
                yield Event(frame.removesuffix(b"\n\n"))
                frame = b""


class Serve(Protocol):
    """Start an emulator that ends with the test."""

    async def __call__(self, script: Script = use_every_tool, **options: Any) -> Api: ...


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    async with AsyncExitStack() as stack:

        async def start(script: Script = use_every_tool, **options: Any) -> Api:
            emulator = await stack.enter_async_context(Emulator(script, **options))
            return await stack.enter_async_context(Api(emulator))

        yield start
