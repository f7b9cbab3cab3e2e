"""The rows of fresh processes: imports, and everything up to the end of a first run."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Final

from benchmarks import first
from benchmarks.checking import MismatchError
from benchmarks.rounds import Row
from benchmarks.server import WHOLE
from benchmarks.setting import ROOT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.rounds import Sampler
    from benchmarks.setting import Setting

__all__ = ["FIRST_RUN", "IMPORTS", "ROWS", "cold_start", "imports", "output_of"]

IMPORTS: Final = {
    "asyncio and msgspec": "import asyncio, msgspec",
    "asyncruns": "import asyncruns, sys; assert 'aiohttp' not in sys.modules, 'not light'",
    "asyncruns Client": "from asyncruns import Client",
    "aiohttp": "import aiohttp",
    "openai": "import openai; openai.resources.beta.threads",
}
"""What is imported, by the name in the table."""


FIRST_RUN: Final = ("-P", first.__file__)
"""What Python is told for a first run: a program of one file, beside no other modules."""


def imports() -> Row:
    """Make the row of imports, in milliseconds of a process that does nothing else."""

    def prepare(setting: Setting) -> dict[str, Sampler]:
        def sample(code: str) -> float:
            return output_of(["-c", code])[1]

        for code in IMPORTS.values() if not setting.quick else ():
            sample(code)  # compiles, if need be
        return {case: partial(sample, code) for case, code in IMPORTS.items()}

    return Row(
        "import", "a process that imports, and ends", "ms", prepare, base="asyncio and msgspec"
    )


def cold_start() -> Row:
    """Make the row of first runs, in milliseconds from the process' start to its end."""

    def prepare(setting: Setting) -> dict[str, Sampler]:
        (expected,) = WHOLE["short"](1).expected.texts.values()

        def sample(peer: str) -> float:
            printed, milliseconds = output_of([*FIRST_RUN, peer, setting.url])
            if printed != f"{expected}\n":
                raise MismatchError(f"{peer} ended with {printed!r} instead of {expected!r}")
            return milliseconds

        for peer in first.PEERS if not setting.quick else ():
            sample(peer)
        return {peer: partial(sample, peer) for peer in first.PEERS}

    title = "a fresh process up to the end of a run of 12 events"
    return Row("cold start", title, "ms", prepare, base="openai")


def output_of(arguments: Sequence[str]) -> tuple[str, float]:
    """What a Python process prints, and the milliseconds of CPU that it took.

    Raises MismatchError where it fails, with what it says about that.
    """
    # A file takes all that a failing process says, however much, while its output is read.
    with TemporaryFile("w+", encoding="utf-8") as stderr:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=stderr,
            encoding="utf-8",
            env=_ENVIRONMENT,
        )
        assert process.stdout is not None  # noqa: S101 -- it was asked for
        with process.stdout:
            printed = process.stdout.read()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        stderr.seek(0)
        said = stderr.read()
    if process.returncode:
        raise MismatchError(f"python {' '.join(arguments)} failed: {said.strip()}")
    return printed, 1_000 * (used.ru_utime + used.ru_stime)


_ENVIRONMENT: Final = {
    # Installed packages are compiled: the first round of everything here leaves the bytecode.
    name: value
    for name, value in {
        **os.environ,
        "PYTHONIOENCODING": "utf-8",
        "PYTHONPATH": str(ROOT),
    }.items()
    if name != "PYTHONDONTWRITEBYTECODE"
}

ROWS: Final = (imports(), cold_start())
"""The rows, in the order of the table."""
