"""The web example's server, asked by anybody: what it answers, refuses, keeps and lets go."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from asyncruns import Client
from asyncruns.emulator import Action, Context, Emulator, Say
from asyncruns.examples.desk import PAGE, Desk, Refusal
from asyncruns.examples.web import main
from tests.examples.worlds import SERVERS, opened

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

pytestmark = pytest.mark.anyio

every_server = pytest.mark.parametrize("server", SERVERS)


async def read(reply: aiohttp.ClientResponse) -> list[tuple[str, str]]:
    """The ids and names of an answer's frames, up to its end."""
    body = (await reply.read()).decode()
    return re.findall(r"id: (\S+)\nevent: (\S+)\n", body)


async def ask(session: aiohttp.ClientSession, url: str) -> str:
    async with session.post(f"{url}runs", json={"question": "Well?"}) as reply:
        assert reply.status == 201
        return f"{url}runs/{(await reply.json())['id']}"


@every_server
async def test_a_question_is_answered_to_whoever_has_its_key(server: str) -> None:
    async with opened(server) as world, aiohttp.ClientSession() as session:
        world.go_on.set()
        answer = await ask(session, world.url)
        async with session.get(f"{answer}/events") as reply:
            assert reply.content_type == "text/event-stream"
            frames = await read(reply)
        assert frames[-1][1] == "done"
        async with session.get(answer) as reply:
            assert await reply.json() == {"question": "Well?"}
        last_event_id = {"Last-Event-ID": frames[20][0]}
        async with session.get(f"{answer}/events", headers=last_event_id) as reply:
            assert await read(reply) == frames[21:]


@every_server
async def test_the_page_runs_no_script_but_its_own(server: str) -> None:
    async with (
        opened(server) as world,
        aiohttp.ClientSession() as session,
        session.get(world.url) as reply,
    ):
        assert await reply.read() == PAGE
        policy = reply.headers["Content-Security-Policy"]
        assert "unsafe" not in policy
        assert policy.count("sha256-") == PAGE.count(b"<script>") + PAGE.count(b"<style>") == 2
        assert b"innerHTML" not in PAGE


@every_server
@pytest.mark.parametrize(
    ("path", "body", "status", "told"),
    [
        ("runs", {"json": {"question": ""}}, 400, "1 to 4000 characters"),
        ("runs", {"json": {"question": "x" * 4001}}, 400, "1 to 4000 characters"),
        ("runs", {"json": {"question": 7}}, 400, "1 to 4000 characters"),
        ("runs", {"json": {}}, 400, "1 to 4000 characters"),
        ("runs", {"data": b"{", "headers": {"Content-Type": "application/json"}}, 400, "JSON"),
        ("runs", {"data": b'{"question": "?"}', "headers": {"Content-Type": "text/plain"}}, 4, ""),
        ("runs/none/stop", {"json": {}}, 404, "no such answer"),
    ],
)
async def test_what_is_no_question_is_refused(
    server: str, path: str, body: Any, status: int, told: str
) -> None:
    async with (
        opened(server) as world,
        aiohttp.ClientSession() as session,
        session.post(world.url + path, **body) as reply,
    ):
        assert str(reply.status).startswith(str(status))
        assert told in (await reply.json())["error"]


@every_server
async def test_a_key_that_is_not_there_is_not_found(server: str) -> None:
    async with opened(server) as world, aiohttp.ClientSession() as session:
        for path in ("runs/none", "runs/none/events"):
            async with session.get(world.url + path) as reply:
                assert reply.status == 404
                assert "no such answer" in (await reply.json())["error"]


@every_server
async def test_a_run_that_is_over_cannot_be_stopped(server: str) -> None:
    async with opened(server) as world, aiohttp.ClientSession() as session:
        world.go_on.set()
        answer = await ask(session, world.url)
        async with session.get(f"{answer}/events") as reply:
            await read(reply)
        async with session.post(f"{answer}/stop", json={}) as reply:
            assert reply.status == 409
            assert "ended already" in (await reply.json())["error"]


async def say_hello(_: Context) -> AsyncGenerator[Action, Any]:
    yield Say("Hello.")


@asynccontextmanager
async def opened_desk(keep: int) -> AsyncGenerator[tuple[Desk, Emulator], None]:
    async with (
        Emulator(say_hello) as emulator,
        Client(base_url=emulator.base_url, api_key="any") as client,
        Desk(client, emulator.add_assistant()["id"], keep=keep) as desk,
    ):
        yield desk, emulator


async def test_a_desk_keeps_so_many_answers_and_no_more() -> None:
    never = asyncio.Event()

    async def wait(_: Context) -> AsyncGenerator[Action, Any]:
        await never.wait()
        yield Say("Never.")

    async with opened_desk(keep=3) as (desk, emulator):
        keys: list[str] = []
        for _ in range(4):
            keys.append(await desk.ask({"question": "?"}))
            await desk.answer(keys[-1]).broadcast.until_done()
        assert desk.answer(keys[1]).broadcast.error is None
        with pytest.raises(Refusal, match="no longer"):
            desk.answer(keys[0])
        emulator.script = wait
        for _ in range(3):
            await desk.ask({"question": "?"})
        with pytest.raises(Refusal, match="try again later") as refused:
            await desk.ask({"question": "?"})
        assert refused.value.status == 503


async def test_a_question_that_comes_while_the_desk_closes_leaves_no_run_alive() -> None:
    never = asyncio.Event()

    async def wait(_: Context) -> AsyncGenerator[Action, Any]:
        await never.wait()
        yield Say("Never.")

    async with opened_desk(keep=3) as (desk, emulator):
        emulator.script = wait
        asking = asyncio.create_task(desk.ask({"question": "?"}))
        await asyncio.sleep(0)
        await desk.aclose()
        with pytest.raises(Refusal, match="about to stop") as refused:
            await asking
        assert refused.value.status == 503
        assert emulator.requests[-1].path.endswith("/cancel")


async def test_a_run_that_cannot_be_created_is_a_bad_gateway() -> None:
    async with Emulator() as emulator, Client(base_url=emulator.base_url, api_key="") as client:
        async with Desk(client, "asst_none") as desk:
            with pytest.raises(Refusal, match="asst_none") as refused:
                await desk.ask({"question": "?"})
        assert refused.value.status == 502


# The command


@pytest.mark.parametrize("options", [[], ["--fastapi"]])
async def test_the_command_serves_until_it_is_interrupted(options: list[str]) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", "-m", "asyncruns.examples.web", "--port", "0"),
        *("--token-rate", "100", *options),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    try:
        assert process.stdout is not None
        line = (await process.stdout.readline()).decode()
        found = re.fullmatch(r"Open (http://127\.0\.0\.1:\d+/) \(Ctrl-C ends\)\n", line)
        assert found, line
        async with aiohttp.ClientSession() as session:
            answer = await ask(session, found[1])
            async with session.get(f"{answer}/events") as reply:
                names = [name for _, name in await read(reply)]
            assert names.count("thread.run.step.created") == 4
            assert names[-2:] == ["thread.run.completed", "done"]
            answer = await ask(session, found[1])
            async with session.get(f"{answer}/events") as reply:
                await reply.content.readuntil(b"\n\n")
                process.send_signal(signal.SIGINT)
                # Whoever is watching is told.
                assert (await read(reply))[-1][1] == "error"
        _, errors = await process.communicate()
        assert (process.returncode, errors.decode()) == (0, "")
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@pytest.mark.parametrize("options", [[], ["--fastapi"]])
def test_a_port_that_is_taken_is_an_error(
    options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["--port", str(port), *options]) == 1
    assert f"port {port} cannot be used: " in capsys.readouterr().err
