"""The web example with a model that waits where a test wants it to."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from asyncruns import Client, Toolset
from asyncruns.emulator import Action, Call, Context, Emulator, Parallel, RunCode, Say
from asyncruns.examples import web, web_fastapi
from asyncruns.examples.desk import Desk

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

SERVERS = {"aiohttp": web.serve, "fastapi": web_fastapi.serve}
HTML = "<img src=x onerror=document.title='bad'>"


@dataclass
class World:
    """A served desk, the emulator behind it, and the point at which its runs wait."""

    emulator: Emulator
    client: Client
    url: str = ""
    go_on: asyncio.Event = field(default_factory=asyncio.Event)

    async def script(self, context: Context) -> AsyncGenerator[Action, Any]:
        """Say something, use tools, wait, and answer."""
        yield Say("Let me see …")
        weather, size = yield Parallel(
            Call("get_weather", ['{"city": ', '"Oslo"}']),
            Call("get_size", {"html": HTML}),
            interleave=True,
        )
        yield Say(f"So far: {weather}")
        await self.go_on.wait()
        yield RunCode("print(6 * 7)", logs=["4", "2\n"])
        yield Say(f"You asked: {context.input}\nI found: {weather}, {size}. " + "And so on. " * 20)

    async def run(self) -> dict[str, Any]:
        """The newest run, as the server has it."""
        runs = await self._get(f"/threads/{self._thread()}/runs", limit=1)
        found: dict[str, Any] = runs["data"][0]
        return found

    async def truth(self) -> list[dict[str, Any]]:
        """What the page must show of the newest run, from the server's JSON."""
        thread, run = self._thread(), (await self.run())["id"]
        steps = await self._get(f"/threads/{thread}/runs/{run}/steps", order="asc")
        messages = await self._get(f"/threads/{thread}/messages")
        texts = {
            one["id"]: "\n".join(part["text"]["value"] for part in one["content"])
            for one in messages["data"]
        }
        return [_shown(step, texts) for step in steps["data"]]

    def cancels(self) -> int:
        """How often the server was asked to cancel a run."""
        return sum(request.path.endswith("/cancel") for request in self.emulator.requests)

    def _thread(self) -> str:
        paths = [one.path for one in self.emulator.requests if one.path.endswith("/runs")]
        return paths[-1].split("/")[-2]

    async def _get(self, path: str, **query: Any) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(
            await self.client.request("GET", path, extra_query=query)
        )
        return found


def _shown(step: dict[str, Any], texts: dict[str, str]) -> dict[str, Any]:
    details = step["step_details"]
    calls: list[list[str]] = []
    text = None
    if details["type"] == "message_creation":
        text = texts[details["message_creation"]["message_id"]]
    for call in details.get("tool_calls", ()):
        if call["type"] == "function":
            function = call["function"]
            calls.append([function["name"], function["arguments"], function["output"] or ""])
        else:
            code = call["code_interpreter"]
            logs = "".join(one["logs"] for one in code["outputs"])
            calls.append(["code interpreter", code["input"], logs])
    return {"id": step["id"], "status": step["status"], "text": text, "calls": calls}


async def get_weather(city: str) -> str:
    """Tell the weather in a city."""
    return f"rain in {city} & {HTML}"


def get_size(html: str) -> int:
    """Tell the length of a text."""
    return len(html)


@asynccontextmanager
async def opened(server: str = "aiohttp", *, patience: float = 30) -> AsyncGenerator[World, None]:
    """A world; `server` names the framework of its web app."""
    tools = Toolset(get_weather, get_size)
    async with (
        Emulator() as emulator,
        Client(base_url=emulator.base_url, api_key="any") as client,
    ):
        world = World(emulator, client)
        emulator.script = world.script
        assistant = await client.assistants.create(
            model="gpt-4o", tools=[*tools.definitions, {"type": "code_interpreter"}]
        )
        async with (
            Desk(client, assistant.id, tools, patience=patience) as desk,
            SERVERS[server](desk) as world.url,
        ):
            yield world
