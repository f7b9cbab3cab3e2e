"""Runs that expire while their tools are at work, by whatever clock the server has."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from asyncruns import Client, RunTimeoutError, Toolset
from asyncruns.emulator import Call, Emulator, ManualClock, Say

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from asyncruns.emulator import Action, Context

pytestmark = pytest.mark.anyio


async def script(_: Context) -> AsyncGenerator[Action, Any]:
    output = yield Call("weather", {})
    yield Say(output)


def tools(seconds: float) -> Toolset:
    toolset = Toolset()

    @toolset.tool
    async def weather() -> str:
        """Tell the weather."""
        await asyncio.sleep(seconds)
        return "rain"

    return toolset


def submissions(server: Emulator) -> list[str]:
    return [request.path for request in server.requests if "submit" in request.path]


async def by_streaming(client: Client, call: dict[str, Any]) -> None:
    async with client.runs.stream(**call) as stream:
        await stream.until_done()


async def by_polling(client: Client, call: dict[str, Any]) -> None:
    await client.runs.create_and_poll(poll_interval_ms=1, **call)


WAYS = {"stream": by_streaming, "poll": by_polling}


@pytest.mark.parametrize("way", WAYS)
async def test_outputs_that_come_too_late_are_not_submitted(way: str) -> None:
    # The server's clock stands still, so that only the time that went by here can tell.
    async with (
        Emulator(script, clock=ManualClock(), run_lifetime=0.05) as server,
        Client(base_url=server.base_url, api_key="any") as client,
    ):
        assistant_id, thread_id = server.add_assistant()["id"], server.add_thread()["id"]
        call: Any = {"thread_id": thread_id, "assistant_id": assistant_id, "toolset": tools(0.1)}
        with pytest.raises(RunTimeoutError, match="expired before its required action") as caught:
            await WAYS[way](client, call)
        assert caught.value.run is not None
        assert caught.value.run.status == "requires_action"
        assert submissions(server) == []


@pytest.mark.parametrize("now", [1.0, 4_000_000_000.0], ids=["behind", "ahead"])
async def test_a_server_whose_clock_is_wrong_gets_its_outputs(now: float) -> None:
    async with (
        Emulator(script, clock=ManualClock(start=now)) as server,
        Client(base_url=server.base_url, api_key="any") as client,
    ):
        assistant_id, thread_id = server.add_assistant()["id"], server.add_thread()["id"]
        async with client.runs.stream(
            thread_id=thread_id, assistant_id=assistant_id, toolset=tools(0)
        ) as stream:
            await stream.until_done()
        assert stream.outcome == "completed"


async def test_a_run_that_the_server_has_expired_meanwhile_is_told_as_expired() -> None:
    clock = ManualClock()
    toolset = Toolset()

    @toolset.tool
    def weather() -> str:
        """Tell the weather, and take ten minutes for it."""
        clock.advance(601)
        return "rain"

    async with (
        Emulator(script, clock=clock, poll_after_ms=1) as server,
        Client(base_url=server.base_url, api_key="any") as client,
    ):
        assistant_id, thread_id = server.add_assistant()["id"], server.add_thread()["id"]
        async with client.runs.stream(
            thread_id=thread_id, assistant_id=assistant_id, toolset=toolset
        ) as stream:
            await stream.until_done()
        assert stream.outcome == "expired"
        assert [step.status for step in stream.steps] == ["expired"]
