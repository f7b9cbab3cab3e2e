"""The command as people start it: in a process of its own, piped or on a pseudo-terminal."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple, Protocol

import pytest

from asyncruns import Client, Event, Message, RunStep
from asyncruns.cli.demo import read_back, start
from asyncruns.cli.scenario import Tools, script
from asyncruns.emulator import Emulator

if TYPE_CHECKING:
    from collections.abc import Generator
    from contextlib import AbstractContextManager

    from asyncruns.cli.compare import Sent

ASYNCRUNS = (sys.executable, "-W", "error", "-m", "asyncruns.cli")
ROWS, COLUMNS = 24, 80


class Ended(NamedTuple):
    """What a process has left."""

    code: int
    stdout: str
    stderr: str


def environment(**more: str) -> dict[str, str]:
    """The environment of a plain xterm, whatever the tests themselves are run in."""
    kept = {name: os.environ[name] for name in ("HOME", "PATH", "PYTHONPATH") if name in os.environ}
    return {**kept, "TERM": "xterm-256color", **more}


class Run(Protocol):
    """Run a command with its output piped."""

    def __call__(
        self,
        *arguments: str,
        start: tuple[str, ...] = ASYNCRUNS,
        typed: str | None = None,
        **environ: str,
    ) -> Ended: ...


class OnTerminal(Protocol):
    """Start `asyncruns` on a pseudo-terminal of 24 rows and 80 columns."""

    def __call__(self, *arguments: str, **environ: str) -> AbstractContextManager[Terminal]: ...


def run(
    *arguments: str,
    start: tuple[str, ...] = ASYNCRUNS,
    typed: str | None = None,
    **environ: str,
) -> Ended:
    """Run a command with its output piped, and `typed` as its standard input."""
    ended = subprocess.run(
        [*start, *arguments],
        check=False,
        encoding="utf-8",
        errors="surrogateescape",
        env=environment(**environ),
        input=typed,
        capture_output=True,
        stdin=subprocess.DEVNULL if typed is None else None,
        timeout=30,
    )
    return Ended(ended.returncode, ended.stdout, ended.stderr)


class Terminal:
    """A process on a pseudo-terminal, and all that it has written there."""

    def __init__(self, process: subprocess.Popen[bytes], screen: int) -> None:
        self.process = process
        self.written = b""
        self._screen = screen

    def read_until(self, wanted: bytes) -> None:
        """Read until it has written something; fails if it ends without."""
        while wanted not in self.written:
            assert self._read(), f"{wanted!r} is not in {self.written!r}"

    def write(self, keys: bytes) -> None:
        """Type."""
        os.write(self._screen, keys)

    def end(self) -> tuple[int, str]:
        """Read to the process's end; give its exit code and what it has written."""
        while self._read():
            pass
        return self.process.wait(timeout=30), self.written.decode().replace("\r\n", "\n")

    def _read(self) -> bool:
        try:
            chunk = os.read(self._screen, 65_536)
        except OSError:  # EIO: nobody is left who could write
            return False
        self.written += chunk
        return bool(chunk)


@contextmanager
def on_terminal(*arguments: str, **environ: str) -> Generator[Terminal]:
    """Start a command on a pseudo-terminal of 24 rows and 80 columns."""
    screen, side = pty.openpty()
    fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    with subprocess.Popen(
        [*ASYNCRUNS, *arguments],
        stdin=side,
        stdout=side,
        stderr=side,
        env=environment(**environ),
    ) as process:
        os.close(side)
        try:
            yield Terminal(process, screen)
        finally:
            process.kill()
            os.close(screen)


@pytest.fixture(name="run", scope="session")
def fixture_run() -> Run:
    return run


@pytest.fixture(name="on_terminal", scope="session")
def fixture_on_terminal() -> OnTerminal:
    return on_terminal


@pytest.fixture(scope="session")
def piped() -> Ended:
    """The demo with its output piped."""
    return run("demo")


@pytest.fixture(scope="session")
def seen() -> Generator[tuple[int, str]]:
    """The demo on a terminal: its exit code, and what it has written there."""
    with on_terminal("demo", "--token-rate", "400") as terminal:
        yield terminal.end()


@pytest.fixture(scope="session")
def recorded() -> Recorded:
    """The demo's run, in this process."""
    return asyncio.run(_record())


class Recorded(NamedTuple):
    """A run: its events, what they were assembled to, and what the server says."""

    events: list[Event]
    steps: list[RunStep]
    messages: list[Message]
    sent: Sent


async def _record() -> Recorded:
    tools = Tools()
    async with (
        Emulator(script) as emulator,
        Client(base_url=emulator.base_url, api_key="") as client,
        await start(client, tools.toolset) as stream,
    ):
        events = [event async for event in stream]
        sent = await read_back(client, await stream.get_final_run())
        return Recorded(events, stream.steps, stream.messages, sent)
