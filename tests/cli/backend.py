"""A server for the commands that the tests start: the emulator, in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from asyncruns.emulator import Emulator, use_every_tool
from tests.cli.conftest import environment, on_terminal, run

if TYPE_CHECKING:
    from collections.abc import Coroutine, Generator
    from contextlib import AbstractContextManager

    from asyncruns.emulator import Script
    from tests.cli.conftest import Ended, Terminal

T = TypeVar("T")


class Backend:
    """A server at work, with one assistant and one thread."""

    def __init__(self, emulator: Emulator, loop: asyncio.AbstractEventLoop) -> None:
        self.emulator = emulator
        self._loop = loop
        self._tasks: list[asyncio.Task[Any]] = []
        self._url = emulator.base_url
        self.assistant_id: str = emulator.add_assistant()["id"]
        self.thread_id: str = emulator.add_thread()["id"]
        emulator.add_message(self.thread_id, "What is the weather in Oslo?")

    @property
    def environment(self) -> dict[str, str]:
        """The environment that leads a command to the server."""
        return environment(OPENAI_BASE_URL=self._url, OPENAI_API_KEY="any")

    def run(self, *arguments: str) -> Ended:
        """Run a command for this server with its output piped."""
        return run(*arguments, OPENAI_BASE_URL=self._url, OPENAI_API_KEY="any")

    def on_terminal(self, *arguments: str, **environ: str) -> AbstractContextManager[Terminal]:
        """Start a command for this server on a pseudo-terminal."""
        return on_terminal(*arguments, OPENAI_BASE_URL=self._url, OPENAI_API_KEY="any", **environ)

    @property
    def creation(self) -> tuple[str, ...]:
        """The options that create a run."""
        return ("--thread-id", self.thread_id, "--assistant-id", self.assistant_id)

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Do something in the server's event loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=30)

    def add_run(self, script: Script | None = None) -> tuple[str, ...]:
        """Add a run that has got as far as it gets by itself; give the options that name it."""
        run = self.do(self.emulator.add_run(self.thread_id, self.assistant_id, script=script))
        return ("--thread-id", self.thread_id, "--run-id", run["id"])

    def newest_run(self) -> dict[str, Any]:
        """The run that was created last, as the server has it."""
        return dict(self.do(self._newest_run()))

    def keep(self, task: asyncio.Task[Any]) -> None:
        """Keep a task that goes on."""
        self._tasks.append(task)

    async def _newest_run(self) -> dict[str, Any]:
        *_, run = self.emulator._store.thread(self.thread_id).runs.values()
        return run.record


@contextmanager
def serving(
    script: Script = use_every_tool, *, token_rate: float | None = None
) -> Generator[Backend]:
    """Run a server while the block runs."""
    ready: list[Backend] = []
    started, stop = threading.Event(), asyncio.Event()

    async def serve() -> None:
        async with Emulator(script, token_rate=token_rate) as emulator:
            ready.append(Backend(emulator, asyncio.get_running_loop()))
            started.set()
            await stop.wait()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    try:
        assert started.wait(timeout=30)
        yield ready[0]
    finally:
        ready[0].do(_set(stop))
        thread.join(timeout=30)


async def _set(event: asyncio.Event) -> None:
    event.set()
