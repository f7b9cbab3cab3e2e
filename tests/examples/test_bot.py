"""The bot over real HTTP: messages in, replies out, many conversations at once."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from asyncruns import Client, Toolset
from asyncruns.emulator import Action, Call, Context, Emulator, Fail, Incomplete, Say
from asyncruns.examples.bot import Posting, main, serve
from asyncruns.examples.conversations import MOST_WAITING, Conversations, Reply, WhileBusy

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from asyncruns.emulator import Script

pytestmark = pytest.mark.anyio

Json = dict[str, Any]


async def echo(context: Context) -> AsyncGenerator[Action, Any]:
    """Use a tool and repeat what was said, and all that was said before."""
    length = yield Call("measure", {"text": context.input})
    said = [one["content"][0]["text"]["value"] for one in context.messages if one["role"] == "user"]
    yield Say(f"{context.input} ({length}), after {said[:-1]}")


def measure(text: str) -> int:
    """Tell the length of a text."""
    return len(text)


@dataclass
class Platform:
    """The other side: sends messages to the bot's webhook, and has one for the replies."""

    url: str = ""
    session: aiohttp.ClientSession | None = None
    replies: list[Json] = field(default_factory=list[Json])
    failures: int = 0
    """How many of the next replies are answered by an error."""
    _sent: int = 0
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    async def take(self, request: web.Request) -> web.Response:
        if self.failures:
            self.failures -= 1
            return web.Response(status=503)
        self.replies.append(await request.json())
        self._news.set()
        return web.Response()

    async def send(self, conversation: str, text: str, **fields: Any) -> int:
        """Send a message; gives the answer's status."""
        self._sent += 1
        body = {"id": str(self._sent), "conversation": conversation, "text": text, **fields}
        assert self.session is not None
        async with self.session.post(self.url, json=body) as reply:
            return reply.status

    def of(self, conversation: str, *kinds: str) -> list[str]:
        """The texts of the replies of some kinds."""
        return [
            one["text"]
            for one in self.replies
            if one["conversation"] == conversation and one["kind"] in kinds
        ]

    async def wait_for(self, conversation: str, kind: str, count: int = 1) -> None:
        """Wait for so many replies of a kind."""
        async with asyncio.timeout(50):
            while len(self.of(conversation, kind)) < count:
                self._news.clear()
                await self._news.wait()


@dataclass
class World:
    platform: Platform
    emulator: Emulator
    client: Client

    def runs(self) -> int:
        return sum(one.path.endswith("/runs") for one in self.emulator.requests)

    def threads(self) -> int:
        return sum(one.path.endswith("/threads") for one in self.emulator.requests)

    def cancels(self) -> int:
        return sum(one.path.endswith("/cancel") for one in self.emulator.requests)


@asynccontextmanager
async def opened(
    script: Script = echo, *, while_busy: WhileBusy = "wait", secret: str = ""
) -> AsyncGenerator[World, None]:
    platform = Platform()
    app = web.Application()
    app.router.add_post("/", platform.take)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
    replies = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    tools = Toolset(measure)
    try:
        async with (
            Emulator(script, poll_after_ms=1) as emulator,
            Client(base_url=emulator.base_url, api_key="any") as client,
            aiohttp.ClientSession() as session,
        ):
            assistant = await client.assistants.create(model="gpt-4o", tools=tools.definitions)
            async with (
                Conversations(
                    client, assistant.id, Posting(session, replies), tools, while_busy=while_busy
                ) as conversations,
                serve(conversations, secret=secret) as platform.url,
            ):
                platform.session = session
                yield World(platform, emulator, client)
    finally:
        await runner.cleanup()


async def test_fifty_conversations_at_once_are_each_answered_in_order() -> None:
    names = [f"chat {number}" for number in range(50)]
    async with opened() as world:
        platform = world.platform

        async def talk(name: str) -> None:
            for text in ("one", "two", "three"):
                assert await platform.send(name, f"{name} {text}") == 202
            await platform.wait_for(name, "text", 3)

        await asyncio.gather(*map(talk, names))
        for name in names:
            first, second, third = (f"{name} {text}" for text in ("one", "two", "three"))
            size = len(first)
            assert platform.of(name, "text") == [
                f"{first} ({size}), after []",
                f"{second} ({size}), after {[first]}",
                f"{third} ({size + 2}), after {[first, second]}",
            ]
            assert platform.of(name, "tool") == ["measure"] * 3
            assert platform.of(name, "typing") == [""] * 3
            assert platform.of(name, "stopped", "failed") == []
        assert (world.threads(), world.runs(), world.cancels()) == (50, 150, 0)


async def test_partial_texts_lead_to_the_text_that_takes_their_place() -> None:
    async with opened() as world:
        world.emulator.token_rate = 10
        await world.platform.send("a", "a question with a few words")
        await world.platform.wait_for("a", "text")
        *partial, whole = [one for one in world.platform.replies if one["id"]]
        assert len(partial) > 1
        assert {one["id"] for one in partial} == {whole["id"]}
        texts = [one["text"] for one in partial]
        assert all(whole["text"].startswith(text) for text in texts)
        assert sorted(texts, key=len) == texts


class Held:
    """A script that says something, and for its first run waits before it goes on."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()

    async def script(self, context: Context) -> AsyncGenerator[Action, Any]:
        asked = context.input
        yield Say(f"begun: {asked}")
        if asked == "first":
            await self.go_on.wait()
        yield Say(f"ended: {asked}")


async def test_a_message_that_comes_while_a_run_is_live_waits() -> None:
    held = Held()
    async with opened(held.script) as world:
        await world.platform.send("a", "first")
        await world.platform.wait_for("a", "text")
        await world.platform.send("a", "second")
        await world.platform.send("b", "other")
        await world.platform.wait_for("b", "text", 2)
        assert world.platform.of("a", "text") == ["begun: first"]
        held.go_on.set()
        await world.platform.wait_for("a", "text", 4)
        assert world.platform.of("a", "text") == [
            "begun: first",
            "ended: first",
            "begun: second",
            "ended: second",
        ]
        assert world.cancels() == 0


async def test_a_message_that_comes_while_a_run_is_live_cancels_it() -> None:
    held = Held()
    async with opened(held.script, while_busy="cancel") as world:
        await world.platform.send("a", "first")
        await world.platform.wait_for("a", "text")
        await world.platform.send("a", "second")
        await world.platform.wait_for("a", "text", 3)
        assert world.platform.of("a", "text", "stopped") == [
            "begun: first",
            "",
            "begun: second",
            "ended: second",
        ]
        assert (world.threads(), world.runs(), world.cancels()) == (1, 2, 1)


async def test_a_burst_of_messages_that_cancel_ends_with_the_last() -> None:
    async with opened(while_busy="cancel") as world:
        for number in range(20):
            await world.platform.send("a", f"question {number}")
        async with asyncio.timeout(50):
            while not any("question 19 (" in text for text in world.platform.of("a", "text")):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert world.platform.of("a", "failed") == []


async def test_leaving_cancels_the_live_runs() -> None:
    told = asyncio.Event()

    async def send(reply: Reply) -> None:
        if reply.kind == "text":
            told.set()

    async with (
        Emulator(Held().script) as emulator,
        Client(base_url=emulator.base_url, api_key="any") as client,
    ):
        assistant = await client.assistants.create(model="gpt-4o")
        async with Conversations(client, assistant.id, send) as conversations:
            conversations.take("a", "first")
            await told.wait()
        assert World(Platform(), emulator, client).cancels() == 1


async def test_a_run_that_fails_says_so_and_the_conversation_goes_on() -> None:
    async def fail(context: Context) -> AsyncGenerator[Action, Any]:
        if context.input == "bad":
            yield Fail("server_error", "Too bad.")
        yield Say("Good.")

    async with opened(fail) as world:
        await world.platform.send("a", "bad")
        await world.platform.send("a", "good")
        await world.platform.wait_for("a", "text")
        assert world.platform.of("a", "failed", "text") == ["Too bad.", "Good."]


async def test_an_answer_that_is_left_incomplete_says_so() -> None:
    async def stop_short(_: Context) -> AsyncGenerator[Action, Any]:
        yield Say("This is", ending=Incomplete("max_completion_tokens"))

    async with opened(stop_short) as world:
        await world.platform.send("a", "hello")
        await world.platform.wait_for("a", "failed")
        assert world.platform.of("a", "failed", "text") == ["This is", "The answer is incomplete."]


async def test_conversations_that_have_been_quiet_longest_are_forgotten() -> None:
    replies: list[Reply] = []

    async def send(reply: Reply) -> None:
        if reply.kind == "text":
            replies.append(reply)

    async with (
        Emulator() as emulator,
        Client(base_url=emulator.base_url, api_key="any") as client,
        Conversations(client, emulator.add_assistant()["id"], send, remember=2) as conversations,
    ):
        for count, name in enumerate(["a", "b", "a", "c", "a", "b"], 1):
            conversations.take(name, "hello")
            async with asyncio.timeout(20):
                while len(replies) < count or conversations._conversations[name].task:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
        # b was forgotten when c came, and c when b came back.
        assert World(Platform(), emulator, client).threads() == 4


async def test_a_reply_that_cannot_be_delivered_stops_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with opened() as world:
        world.platform.failures = 4
        await world.platform.send("a", "hello")
        await world.platform.wait_for("a", "text")
    assert "was not delivered" in caplog.text


async def test_a_server_that_is_gone_is_told_to_the_conversation() -> None:
    replies: list[Reply] = []

    async def send(reply: Reply) -> None:
        replies.append(reply)

    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
    async with (
        Client(base_url=url, api_key="any", max_retries=0) as client,
        Conversations(client, "asst_1", send) as conversations,
    ):
        conversations.take("a", "hello")
        async with asyncio.timeout(20):
            while not replies:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    assert [reply.kind for reply in replies] == ["failed"]


async def test_a_reply_that_is_not_taken_is_posted_again() -> None:
    async with opened() as world:
        world.platform.failures = 2
        await world.platform.send("a", "hello")
        await world.platform.wait_for("a", "text")
        assert world.platform.of("a", "tool") == ["measure"]
        assert world.platform.of("a", "text") == ["hello (5), after []"]


async def test_a_message_that_comes_twice_is_answered_once() -> None:
    async with opened() as world:
        for _ in range(3):
            assert await world.platform.send("a", "hello", id="same") == 202
        await world.platform.send("a", "and now")
        await world.platform.wait_for("a", "text", 2)
        assert world.runs() == 2


async def test_messages_of_two_conversations_may_have_the_same_id() -> None:
    async with opened() as world:
        for name in ("a", "b"):
            assert await world.platform.send(name, "hello", id="1") == 202
        for name in ("a", "b"):
            await world.platform.wait_for(name, "text")


async def test_a_conversation_takes_only_so_many_messages() -> None:
    held = Held()
    async with opened(held.script) as world:
        await world.platform.send("a", "first")
        await world.platform.wait_for("a", "text")
        for number in range(MOST_WAITING):
            assert await world.platform.send("a", f"more {number}") == 202
        assert await world.platform.send("a", "too much") == 429
        assert await world.platform.send("b", "other") == 202


@pytest.mark.parametrize("body", [b"{", b"{}", b'{"id": 1, "conversation": "a", "text": "b"}'])
async def test_what_is_no_message_is_refused(body: bytes) -> None:
    async with opened() as world:
        assert world.platform.session is not None
        async with world.platform.session.post(world.platform.url, data=body) as reply:
            assert reply.status == 400
            assert "id, conversation and text" in (await reply.json())["error"]


async def test_a_webhook_with_a_secret_takes_messages_from_nobody_else() -> None:
    async with opened(secret="sésame") as world:
        session, url = world.platform.session, world.platform.url
        assert session is not None
        body = {"id": "1", "conversation": "a", "text": "hello"}
        for given, status in (
            ("", 401),
            ("Bearer ", 401),
            ("Bearer other", 401),
            ("Bearer sésame", 202),
        ):
            async with session.post(url, json=body, headers={"Authorization": given}) as reply:
                assert reply.status == status
        await world.platform.wait_for("a", "text")


async def test_a_secret_that_is_no_text_is_a_wrong_one() -> None:
    async with opened(secret="sesame") as world:
        port = URL(world.platform.url).port
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(
            b"POST /messages HTTP/1.1\r\nHost: bot\r\nAuthorization: Bearer \xff\r\n"
            b"Content-Length: 0\r\n\r\n"
        )
        assert await reader.readline() == b"HTTP/1.1 401 Unauthorized\r\n"
        writer.close()


def test_a_setting_that_there_is_not_is_refused() -> None:
    with pytest.raises(ValueError, match="wait or cancel, not 'queue'"):
        Conversations(Client(api_key="any"), "asst_1", print, while_busy="queue")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


async def test_the_command_answers_until_it_is_interrupted() -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", "-m", "asyncruns.examples.bot", "--port", "0"),
        *("--token-rate", "0"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
    )
    try:
        assert process.stdout is not None
        url = (await process.stdout.readline()).decode().split()[3]
        body = {"id": "1", "conversation": "anna", "text": "Rome?"}
        async with aiohttp.ClientSession() as session, session.post(url, json=body) as reply:
            assert reply.status == 202
        printed = ""
        while "“Rome?”" not in printed or "← text" not in printed.splitlines()[-1]:
            line = (await process.stdout.readline()).decode()
            assert line
            printed += line
        assert "anna ← tool    get_weather" in printed
        process.send_signal(signal.SIGINT)
        _, errors = await process.communicate()
        assert (process.returncode, errors.decode()) == (0, "")
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def test_a_port_that_is_taken_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["--port", str(port)]) == 1
    assert f"port {port} cannot be used: " in capsys.readouterr().err
