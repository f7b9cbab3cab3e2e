"""A server with one thread to create runs on, and the commands that are started for it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from tests.cli.conftest import environment, on_terminal, run
from tests.cli.house import opened

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator
    from contextlib import AbstractContextManager

    from asyncruns.emulator import Script
    from tests.cli.conftest import Ended, Terminal
    from tests.cli.house import House

T = TypeVar("T")


class Backend:
    """A server at work, and the thread that commands use; see `renew`."""

    def __init__(self, house: House) -> None:
        self.emulator = house.emulator
        self._portal = house._portal
        self._url = house.emulator.base_url
        self.thread_id = ""
        self.renew()

    def renew(self) -> None:
        """Take a thread that no run holds."""
        self.thread_id = self.emulator.add_thread()["id"]
        self.emulator.add_message(self.thread_id, "What is the weather in Oslo?")

    @property
    def environment(self) -> dict[str, str]:
        """The environment that leads a command to the server."""
        return environment(OPENAI_BASE_URL=self._url, OPENAI_API_KEY="any")

    @property
    def creation(self) -> tuple[str, ...]:
        """The options that create a run."""
        return ("--thread-id", self.thread_id, "--assistant-id", "assistant_id")

    def run(self, *arguments: str) -> Ended:
        """Run a command for this server with its output piped."""
        return run(*arguments, OPENAI_BASE_URL=self._url, OPENAI_API_KEY="any")

    def on_terminal(self, *arguments: str, **environ: str) -> AbstractContextManager[Terminal]:
        """Start a command for this server on a pseudo-terminal."""
        return on_terminal(*arguments, OPENAI_BASE_URL=self._url, OPENAI_API_KEY="any", **environ)

    def do(self, work: Callable[[], Awaitable[T]]) -> T:
        """Do something in the server's event loop."""
        return self._portal.call(work)

    def add_run(self, script: Script) -> tuple[str, ...]:
        """Add a run that has got as far as it gets by itself; give the options that name it."""
        add = self.emulator.add_run
        added = self.do(lambda: add(self.thread_id, "assistant_id", script=script))
        return ("--thread-id", self.thread_id, "--run-id", added["id"])

    def newest_run(self) -> dict[str, Any]:
        """The run that was created last, as the server has it."""

        async def look() -> dict[str, Any]:
            *_, newest = self.emulator._store.thread(self.thread_id).runs.values()
            return dict(newest.record)

        return self.do(look)


@contextmanager
def serving(script: Script) -> Generator[Backend]:
    """Run a server while the block runs."""
    with opened() as house:
        house.emulator.script = script
        yield Backend(house)
