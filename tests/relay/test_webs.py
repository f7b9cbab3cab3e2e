"""A relay as the body of a web backend's answer: all of it, or until the browser goes away."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from asyncruns.relay import HEADERS, Broadcast, Relay, relay
from tests.relay import browsers
from tests.relay.browsers import Page
from tests.relay.test_relay import PIECE, say_and_wait, say_much_and_wait
from tests.relay.webs import PASSING, aiohttp_web, fastapi_web, starlette_web
from tests.stream.house import House, Tools, opened, three_rounds
from tests.stream.proxy import CANCEL
from tests.transport.wires import until

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

pytestmark = pytest.mark.anyio

WEBS = {
    "starlette": starlette_web,
    "starlette httptools": partial(starlette_web, http="httptools"),
    "starlette middleware": partial(starlette_web, middleware=[PASSING]),
    "fastapi": fastapi_web,
    "aiohttp": aiohttp_web,
    "aiohttp cancelling": partial(aiohttp_web, cancels=True),
}
every_web = pytest.mark.parametrize("web", WEBS.values(), ids=WEBS.keys())


@asynccontextmanager
async def asked(url: str, **headers: str) -> AsyncGenerator[aiohttp.ClientResponse, None]:
    """The answer that a browser gets; it goes away at the block's end."""
    async with aiohttp.ClientSession() as session:
        reply = await session.get(url, headers=headers)
        try:
            yield reply
        finally:
            reply.close()


async def items(reply: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """The frames and comments of an answer."""
    held = b""
    async for piece in reply.content.iter_any():
        *blocks, held = (held + piece).split(b"\n\n")
        for block in blocks:
            yield block + b"\n\n"
    assert held == b""


class Maker:
    """Makes relays of new runs in a house, and knows the last one."""

    def __init__(self, house: House, **options: Any) -> None:
        self._house = house
        self._options = options
        self.thread_id = house.thread()
        self.last: Relay | None = None

    def __call__(self) -> Relay:
        stream = self._house.stream(self.thread_id, **self._options)
        self.last = relay(stream, heartbeat=0.2)
        return self.last

    async def blocked(self) -> None:
        """Wait until a browser that reads nothing has stopped the sending, and that the reading."""
        await until(lambda: self.last)
        assert self.last is not None
        looks, count = 0, 0
        async with asyncio.timeout(40):
            while looks < 30:
                await asyncio.sleep(0.01)
                stands = self.last._count == count and not self.last._feed.room.is_set()
                looks, count = looks + 1 if stands else 0, self.last._count

    async def gone(self, *, cancelled: bool) -> None:
        """Wait until nothing of the run is left here, and see whether the server's is cancelled."""
        if cancelled:
            await browsers.cancelled(self._house, self.thread_id)
        else:
            await until(lambda: self._house.held == 0)
            assert self._house.proxy.count(CANCEL) == 0
            assert await self._house.status(self.thread_id) == "in_progress"


@every_web
async def test_the_whole_run_arrives(web: Any) -> None:
    async with opened(three_rounds) as house:
        make = Maker(house, toolset=Tools().set)
        async with web(make) as url, asked(url) as reply:
            assert {name: reply.headers[name] for name in HEADERS} == HEADERS
            page = await Page().read(items(reply))
        assert page.names[-1] == "done"
        (await house.truth(make.thread_id)).assert_is(page.folded())


@pytest.mark.parametrize("web", [starlette_web, aiohttp_web])
async def test_a_run_that_cannot_be_created_has_a_status_of_its_own(web: Any) -> None:
    async with opened(say_and_wait) as house:
        make = Maker(house)
        make.thread_id = "thread_none"
        async with web(make) as url, asked(url) as reply:
            assert reply.status == 502
            assert "thread_none" in (await reply.json())["error"]


@every_web
@pytest.mark.parametrize("cancels", [True, False], ids=["cancel_on_exit", "no cancel"])
async def test_a_browser_that_goes_away_in_silence_is_noticed(web: Any, cancels: bool) -> None:
    async with opened(say_and_wait) as house:
        make = Maker(house, cancel_on_exit=cancels)
        async with web(make) as url:
            async with asked(url) as reply:
                await Page().read_until(items(reply), "thread.message.completed")
            await make.gone(cancelled=cancels)


@every_web
async def test_a_browser_that_goes_away_while_it_is_sent_to_is_noticed(web: Any) -> None:
    async with opened(say_much_and_wait) as house:
        make = Maker(house, cancel_on_exit=True)
        async with web(make) as url:
            async with asked(url):
                await make.blocked()
                assert house.held == 1
            await make.gone(cancelled=True)
        assert len(house.proxy.answers[0]) > 10 * PIECE


async def test_a_browser_that_is_gone_before_the_first_frame_is_noticed() -> None:
    async with opened(say_and_wait) as house:
        make = Maker(house, cancel_on_exit=True)
        async with starlette_web(make) as url:
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", int(url[:-1].split(":")[-1])
            )
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            await writer.drain()
            await until(lambda: make.last)
            writer.close()
            await until(lambda: make.last and make.last._feed._opened.is_set())
            await make.gone(cancelled=True)
            assert await reader.read() == b""


@every_web
async def test_a_server_that_stops_leaves_its_runs(web: Any) -> None:
    async with opened(say_and_wait) as house:
        make = Maker(house, cancel_on_exit=True)
        async with web(make) as url, asked(url) as reply:
            await Page().read_until(items(reply), "thread.message.completed")
        await make.gone(cancelled=True)


async def test_a_browser_comes_back_with_its_last_event_id() -> None:
    async with opened(three_rounds) as house:
        stream = house.stream(toolset=Tools().set)
        async with Broadcast(stream) as broadcast:
            whole = await Page().read(broadcast.subscribe())
            async with (
                starlette_web(lambda: broadcast.subscribe(whole.ids[30])) as url,
                asked(url) as reply,
            ):
                page = await Page().read(items(reply))
            assert page.raw == whole.raw[31:]
