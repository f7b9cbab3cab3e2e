"""A server beside the tests, which start commands that ask it."""

from __future__ import annotations

import json
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from anyio.from_thread import start_blocking_portal

from asyncruns.emulator import Call, Context, Emulator, Say

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator

    from anyio.from_thread import BlockingPortal

    from asyncruns.emulator import Action, Script


async def speak_and_call(_context: Context) -> AsyncGenerator[Action, Any]:
    """Leave the run requiring action, with one step that is complete."""
    yield Say("Let me see.", step_id="step_id")
    output = yield Call("get_weather", {"city": "Oslo"}, id="call_1")
    yield Say(f"It is {output}.")


async def say_hello(_context: Context) -> AsyncGenerator[Action, Any]:
    """End the run with a message."""
    yield Say("Hello, 世界 \x9b!")


class House:
    """A server that runs beside the tests, in a thread of its own."""

    def __init__(self, emulator: Emulator, portal: BlockingPortal) -> None:
        self.emulator = emulator
        self._portal = portal

    def add_run(self, thread_id: str, *, run_id: str, script: Script = say_hello) -> None:
        """Add a run, and wait until it has ended or waits."""
        add = self.emulator.add_run
        self._portal.call(lambda: add(thread_id, "assistant_id", id=run_id, script=script))

    def get(self, path: str) -> Any:
        """Ask without any code of ours."""
        address = urlsplit(self.emulator.origin)
        with closing(HTTPConnection(address.hostname or "", address.port, timeout=30)) as server:
            server.request("GET", f"/v1{path}", headers={"OpenAI-Beta": "assistants=v2"})
            return json.load(server.getresponse())


@contextmanager
def opened() -> Generator[House]:
    """Start a server with an assistant and a thread, in a thread of its own."""
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(Emulator(say_hello)) as emulator,
    ):
        emulator.add_assistant(id="assistant_id")
        emulator.add_thread(id="thread_id", messages=[{"role": "user", "content": "Hi"}])
        yield House(emulator, portal)
