"""What all rows share: how thorough the run is, and the server that it talks to."""

from __future__ import annotations

import subprocess
import sys
from functools import cached_property
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["ROOT", "Setting", "ask"]

ROOT: Final = Path(__file__).resolve().parent.parent
"""Where the children run, so that they find this package."""

_QUICK_PART: Final = 10
_PATIENCE: Final = 120.0


class Setting:
    """One run of the benchmarks; a context manager, which ends the server that it has started."""

    def __init__(self, *, quick: bool = False) -> None:
        self.quick = quick
        """Whether it only matters that everything works and agrees."""
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._process is not None:
            self._process.communicate(timeout=10)  # the end of its input ends it

    @property
    def part(self) -> int:
        """What the long streams are cut down by."""
        return _QUICK_PART if self.quick else 1

    @cached_property
    def url(self) -> str:
        """The base URL of the server, which is started when it is first asked for."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.server", str(self.part)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None  # noqa: S101 -- it was asked for
        return f"http://127.0.0.1:{int(self._process.stdout.readline())}/v1"


def ask(url: str, method: str, path: str) -> str:
    """Ask the server something about its streams, or tell it something."""
    connection = HTTPConnection(urlsplit(url).netloc, timeout=_PATIENCE)
    try:
        connection.request(method, path)
        return connection.getresponse().read().decode()
    finally:
        connection.close()
