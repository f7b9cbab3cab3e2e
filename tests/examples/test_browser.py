"""The page in a real browser: headless Chromium, driven over its own protocol."""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from tests.examples.worlds import HTML, SERVERS, World, opened
from tests.stream.proxy import Cut, proxied

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from playwright.async_api import BrowserContext, Page

pytestmark = [pytest.mark.anyio, pytest.mark.browser, pytest.mark.timeout(180)]

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENT = 60_000
"""Milliseconds that the page may take for anything."""
QUESTION = "Do I need an umbrella?"
LARGEST_SCREENSHOT = 150_000

every_server = pytest.mark.parametrize("server", SERVERS)


@asynccontextmanager
async def browser() -> AsyncGenerator[BrowserContext, None]:
    """A browser without a history."""
    from playwright.async_api import async_playwright  # noqa: PLC0415 -- not for other tests

    async with async_playwright() as playwright:
        running = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            context = await running.new_context(
                viewport={"width": 820, "height": 900}, color_scheme="light"
            )
            context.set_default_timeout(PATIENT)
            yield context
        finally:
            await running.close()


async def ask(context: BrowserContext, url: str, question: str = QUESTION) -> Page:
    """Open the page and ask; returns when the run waits in its middle."""
    page = await context.new_page()
    await page.goto(url)
    await page.fill("#question", question)
    await page.click("button[type=submit]")
    await middle(page)
    return page


async def middle(page: Page) -> None:
    await page.locator(".step.completed").nth(2).wait_for()


async def ended(page: Page) -> None:
    await page.wait_for_selector("#steps[data-ended]", state="attached")


async def shown(page: Page) -> list[dict[str, Any]]:
    """What the page shows of each step."""
    found: list[dict[str, Any]] = await page.evaluate(
        """() => [...document.querySelectorAll('.step')].map((step) => ({
            id: step.dataset.id,
            status: step.querySelector('.status').textContent,
            text: step.querySelector('.text')?.textContent ?? null,
            calls: [...step.querySelectorAll('.call')].map(
                (call) => [...call.children].map((part) => part.textContent)),
        }))"""
    )
    return found


async def until(condition: Callable[[], Awaitable[object]]) -> None:
    async with asyncio.timeout(PATIENT / 1000):
        while not await condition():  # noqa: ASYNC110 -- the server sets no event of ours
            await asyncio.sleep(0.05)


async def is_cancelled(world: World) -> bool:
    return (await world.run())["status"] in {"cancelling", "cancelled"}


@every_server
async def test_the_page_shows_the_whole_run(server: str) -> None:
    async with opened(server) as world, browser() as context:
        page = await ask(context, world.url)
        assert [step["status"] for step in await shown(page)] == ["completed"] * 3
        world.go_on.set()
        await ended(page)
        truth = await world.truth()
        assert await shown(page) == truth
        assert [len(step["calls"]) for step in truth] == [0, 2, 0, 1, 0]
        assert all(step["status"] == "completed" for step in truth)
        assert await page.text_content("#asked") == QUESTION
        assert await page.text_content("#state") == "The run is completed"
        assert world.cancels() == 0


@every_server
async def test_a_reload_in_the_middle_loses_nothing(server: str) -> None:
    async with opened(server) as world, browser() as context:
        page = await ask(context, world.url)
        before = await shown(page)
        await page.reload()
        await middle(page)
        assert await shown(page) == before
        world.go_on.set()
        await ended(page)
        assert await shown(page) == await world.truth()
        assert await page.text_content("#asked") == QUESTION
        assert world.cancels() == 0
        await page.reload()
        await ended(page)
        assert await shown(page) == await world.truth()


@every_server
async def test_closing_the_tab_cancels_the_run(server: str) -> None:
    async with opened(server, patience=0.5) as world, browser() as context:
        page = await ask(context, world.url)
        await asyncio.sleep(1)
        assert (await world.run())["status"] == "in_progress"
        await page.close()
        await until(lambda: is_cancelled(world))


@every_server
async def test_two_tabs_see_the_same(server: str) -> None:
    async with opened(server, patience=0.5) as world, browser() as context:
        first = await ask(context, world.url)
        second, third = await context.new_page(), await context.new_page()
        for page in (second, third):
            await page.goto(first.url)
            await middle(page)
        await third.close()
        await asyncio.sleep(1)
        world.go_on.set()
        for page in (first, second):
            await ended(page)
        assert await shown(first) == await shown(second) == await world.truth()
        assert await first.inner_text("body") == await second.inner_text("body")
        assert world.cancels() == 0


@every_server
async def test_stop_stops_the_run_for_all_tabs(server: str) -> None:
    async with opened(server) as world, browser() as context:
        page = await ask(context, world.url)
        other = await context.new_page()
        await other.goto(page.url)
        await middle(other)
        await page.click("#stop")
        for tab in (page, other):
            await ended(tab)
            assert await tab.text_content("#state") == "The run is cancelled"
            assert await tab.is_disabled("#stop")
        assert (await world.run())["status"] == "cancelled"


@pytest.mark.parametrize("events", [3, 40])
async def test_a_connection_that_breaks_loses_nothing(events: int) -> None:
    async with opened() as world, proxied(world.url) as proxy, browser() as context:
        proxy.plan(r"^GET \S+/events ", Cut(events=events, reset=True))
        page = await ask(context, proxy.url)
        world.go_on.set()
        await ended(page)
        assert await shown(page) == await world.truth()
        assert proxy.count(r"^GET \S+/events ") == 2


async def test_texts_are_never_html() -> None:
    async with opened() as world, browser() as context:
        page = await ask(context, world.url, HTML)
        world.go_on.set()
        await ended(page)
        assert HTML in str(await shown(page))
        assert await page.text_content("#asked") == HTML
        assert await page.locator("img").count() == 0
        assert await page.title() == "asyncruns"


async def test_an_answer_that_is_gone_says_so() -> None:
    async with opened() as world, browser() as context:
        page = await context.new_page()
        await page.goto(f"{world.url}#nothing")
        await ended(page)
        assert await page.text_content("#state") == "This answer is no longer here."


async def test_a_screenshot(tmp_path: Path) -> None:
    """Of the example's own run; kept where ASYNCRUNS_SCREENSHOTS names."""
    from asyncruns.examples import web  # noqa: PLC0415

    folder = Path(os.environ.get("ASYNCRUNS_SCREENSHOTS") or tmp_path)
    async with (
        web.open_desk(None, token_rate=100, patience=30) as desk,
        web.serve(desk) as url,
        browser() as context,
    ):
        page = await context.new_page()
        await page.set_viewport_size({"width": 820, "height": 1060})
        await page.goto(url)
        await page.click("button[type=submit]")
        await ended(page)
        assert urlsplit(page.url).fragment
        await page.screenshot(path=folder / "page.png")
    made = (folder / "page.png").read_bytes()
    assert made.startswith(b"\x89PNG")
    assert 10_000 < len(made) < LARGEST_SCREENSHOT
