"""What the tests of pools share: jobs, scripts, refusals, and what the server has in the end."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from asyncruns import RunJob
from asyncruns.emulator import Action, Call, Context, Fail, Say
from tests.stream.proxy import Exchange, relay

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from asyncruns import RunResult
    from tests.stream.house import House, Json
    from tests.stream.proxy import Fault

KEY = "asyncruns_dedupe_key"


async def echo(context: Context) -> AsyncGenerator[Action, Any]:
    yield Say(f"You said: {context.input}")


async def ask_the_weather(context: Context) -> AsyncGenerator[Action, Any]:
    output = yield Call("weather", {"city": context.input})
    yield Say(f"You said: {context.input}; {output}")


class Gate:
    """A script that waits until it is opened, and knows how many runs wait and have waited."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.waiting = 0
        self.most = 0

    async def script(self, context: Context) -> AsyncGenerator[Action, Any]:
        self.waiting += 1
        self.most = max(self.most, self.waiting)
        try:
            await self.open.wait()
        finally:
            self.waiting -= 1
        yield Say(f"You said: {context.input}")


class Limited:
    """A script that fails with a rate limit so many times, and then goes on as another."""

    def __init__(self, times: float, message: str = "Please try again in 20ms.") -> None:
        self.left = times
        self.message = message

    async def script(self, context: Context) -> AsyncGenerator[Action, Any]:
        self.left -= 1
        if self.left >= 0:
            yield Fail("rate_limit_exceeded", f"Rate limit reached. {self.message}")
        else:
            async for action in echo(context):
                yield action


def refuse(status: str, *headers: str, code: str | None = None, begins: bool = False) -> Fault:
    """Answer a request with an error; where it `begins`, the server has carried it out."""
    body = json.dumps({"error": {"message": "No.", "type": "t", "param": None, "code": code}})
    head = (
        f"HTTP/1.1 {status}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        *headers,
    )

    async def act(exchange: Exchange) -> None:
        if begins:
            await exchange.forward()
            async for _ in exchange.pieces():
                break
        await exchange.send("\r\n".join([*head, "", body]).encode())

    return act


def limited(milliseconds: int) -> Fault:
    """Refuse a request with a rate limit that names its time."""
    return refuse("429 Too Many Requests", f"retry-after-ms: {milliseconds}")


def job(house: House, message: str = "Hello!", **fields: Any) -> RunJob:
    return RunJob(assistant_id=house.assistant, message=message, **fields)


def text_of(result: RunResult) -> str:
    """What a run has said, as the result has it."""
    parts: list[Any] = [part for message in result.messages for part in message.content]
    return "".join(part.text.value for part in parts)


async def said_to(house: House, thread_id: str) -> list[str]:
    """The user's messages on a thread, oldest first."""
    page = await house.get(f"/threads/{thread_id}/messages", order="asc", limit="100")
    messages: list[Json] = page["data"]
    return [one["content"][0]["text"]["value"] for one in messages if one["role"] == "user"]


__all__ = [
    "KEY",
    "Gate",
    "Limited",
    "ask_the_weather",
    "echo",
    "job",
    "limited",
    "refuse",
    "relay",
    "said_to",
    "text_of",
]
