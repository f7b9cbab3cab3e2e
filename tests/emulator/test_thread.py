"""The emulator in a thread of its own, and pytest's fixture that gives it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from asyncruns import Client
from asyncruns.emulator import (
    Action,
    Call,
    Context,
    EmulatorThread,
    Fault,
    ManualClock,
    Say,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path


async def greet(_: Context) -> AsyncGenerator[Action, Any]:
    yield Say("Hello.")


async def ask(_: Context) -> AsyncGenerator[Action, Any]:
    yield Call("weather")


async def answer(base_url: str) -> str:
    """What a run says that a client makes there."""
    async with Client(base_url=base_url, api_key="any", max_retries=0) as client:
        assistant = await client.assistants.create(model="m")
        async with client.threads.create_and_run_stream(assistant_id=assistant.id) as stream:
            return "".join([piece async for piece in stream.text_deltas])


def test_it_serves_a_loop_that_is_not_its_own_and_leaves_no_thread() -> None:
    threads = threading.active_count()
    with EmulatorThread(greet) as emulator:
        assert asyncio.run(answer(emulator.base_url)) == "Hello."
        assert [request.method for request in emulator.requests] == ["POST", "POST"]
    assert threading.active_count() == threads


@pytest.mark.anyio
async def test_it_serves_a_loop_that_waits_for_it() -> None:
    with EmulatorThread(greet) as emulator:
        assert await answer(emulator.base_url) == "Hello."


def test_what_it_has_is_added_and_changed_from_outside() -> None:
    with EmulatorThread(clock=ManualClock(), run_lifetime=10) as emulator:
        assistant = emulator.add_assistant(id="asst_1")
        thread = emulator.add_thread(id="thread_1")
        message = emulator.add_message("thread_1", "Well?", role="user")
        assert (assistant["id"], thread["id"], message["role"]) == ("asst_1", "thread_1", "user")
        assert emulator.add_run("thread_1", "asst_1")["status"] == "completed"
        emulator.script = ask
        assert emulator.script is ask
        assert emulator.add_run("thread_1", "asst_1", id="run_1")["status"] == "requires_action"
        emulator.advance(11)
        assert emulator.origin in emulator.base_url
        emulator.faults = [Fault("status", status=418)]
        assert [fault.status for fault in emulator.faults] == [418]
        run = f"{emulator.base_url}/threads/thread_1/runs/run_1"
        assert asyncio.run(asked(run, run)) == [418, "expired"]
        ends = time.monotonic() + 10
        while emulator.connections and time.monotonic() < ends:
            time.sleep(0.005)  # its thread notices a moment later that they are closed
        assert emulator.connections == 0


async def asked(*urls: str) -> list[object]:
    """What each GET gives: an error's status, or the object's."""
    found: list[object] = []
    async with aiohttp.ClientSession(headers={"OpenAI-Beta": "assistants=v2"}) as session:
        for url in urls:
            async with session.get(url) as reply:
                found.append((await reply.json())["status"] if reply.ok else reply.status)
    return found


def test_a_port_that_is_taken_is_an_error_where_it_is_started() -> None:
    with EmulatorThread() as emulator:
        port = int(emulator.origin.rsplit(":", 1)[1])
        with pytest.raises(OSError, match=str(port)):
            EmulatorThread(port=port).__enter__()


def test_nobody_waits_for_an_emulator_that_is_not_running() -> None:
    emulator = EmulatorThread(greet)
    with pytest.raises(RuntimeError, match="is not running: use it within"):
        emulator.faults = [Fault("reset")]
    with emulator:
        assert emulator.connections == 0
    with pytest.raises(RuntimeError, match="is not running: use it within"):
        emulator.add_run("thread_1", "asst_1")


def test_a_script_may_change_its_own_emulator() -> None:
    refusals: list[str] = []

    async def change(context: Context) -> AsyncGenerator[Action, Any]:
        emulator.faults = [Fault("status", "threads.retrieve")]
        try:
            emulator.add_run(context.run["thread_id"], "asst_1")
        except RuntimeError as exc:
            refusals.append(str(exc))
        yield Say("Hello.")

    with EmulatorThread(change) as emulator:
        assert asyncio.run(answer(emulator.base_url)) == "Hello."
        assert [fault.kind for fault in emulator.faults] == ["status"]
    assert refusals == ["a script cannot wait for a run of its own emulator"]


def test_a_mistake_in_a_call_is_raised_where_it_is_made() -> None:
    with EmulatorThread() as emulator, pytest.raises(TypeError, match="faults must be of Fault"):
        emulator.faults = [ask]  # type: ignore[list-item]  # pyright: ignore[reportAttributeAccessIssue] -- the mistake


SUITE = """
import asyncio
import sys

import pytest

assert not any(name.partition(".")[0] in {"asyncruns", "aiohttp", "msgspec"} for name in sys.modules)


def ask(base_url):
    from asyncruns import Client

    async def run():
        async with Client(base_url=base_url, api_key="any", max_retries=0) as client:
            assistant = await client.assistants.create(model="m")
            async with client.threads.create_and_run_stream(assistant_id=assistant.id) as stream:
                return await stream.get_final_run()

    return run()


async def say(context):
    from asyncruns.emulator import Say

    yield Say("Hello.")


def test_nothing_is_imported_before_it_is_used():
    assert "asyncruns" not in sys.modules


def test_sync(runs_emulator):
    assert asyncio.run(ask(runs_emulator.base_url)).status == "completed"


@pytest.mark.asyncio
async def test_pytest_asyncio(runs_emulator):
    assert (await ask(runs_emulator.base_url)).status == "completed"


@pytest.mark.anyio
async def test_anyio(runs_emulator):
    assert (await ask(runs_emulator.base_url)).status == "completed"
    assert len(runs_emulator.requests) == 2


@pytest.mark.runs_emulator(say, seed=7)
def test_options(runs_emulator):
    from asyncruns import InternalServerError
    from asyncruns.emulator import Fault

    runs_emulator.faults = [Fault("status", "assistants.create", status=503)]
    with pytest.raises(InternalServerError):
        asyncio.run(ask(runs_emulator.base_url))
    assert runs_emulator.script is say


@pytest.fixture
def anyio_backend():
    return "asyncio"
"""


def test_the_fixture_is_there_in_any_suite_without_configuration(tmp_path: Path) -> None:
    (tmp_path / "test_suite.py").write_text(SUITE)
    options = ["-p", "no:cacheprovider", "-W", "error", "--strict-markers", "-c", "/dev/null"]
    # pytest-asyncio's own, without which it warns.
    scope = ["-o", "asyncio_default_fixture_loop_scope=function"]
    made = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *scope, "--rootdir", tmp_path, tmp_path],
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    assert "5 passed" in made.stdout, made.stdout + made.stderr
    assert made.returncode == 0


def test_it_says_what_it_is_for() -> None:
    made = subprocess.run(
        [sys.executable, "-m", "pytest", "--markers", "-c", "/dev/null"],
        capture_output=True,
        text=True,
        check=True,
        timeout=50,
    )
    assert "@pytest.mark.runs_emulator(script, **options): " in made.stdout
