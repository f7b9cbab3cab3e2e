"""Lines of a file to jobs: all of them are checked before the first one runs."""

from __future__ import annotations

import hashlib
import shutil
import sys
import tempfile
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final, NamedTuple

import click
import msgspec
from msgspec.structs import replace

from asyncruns import RunJob

if TYPE_CHECKING:
    from collections.abc import Collection, Generator, Iterator

__all__ = ["STANDARD", "JobLine", "JobLines"]

STANDARD: Final = "-"
"""What stands for standard input and standard output."""

DIGEST: Final = 32
"""How many characters of a hash tell jobs apart."""

_BOM: Final = b"\xef\xbb\xbf"
_decode: Final = msgspec.json.Decoder(RunJob).decode


class JobLine(NamedTuple):
    """A job, which has a key now if it had none, and where it stands."""

    number: int
    job: RunJob
    key: str


class JobLines:
    """The jobs of a file, or of standard input, which is read to its end first.

    `batch` begins the keys of jobs that have none; such a job has the same key for as long as its
    line says the same, wherever it stands.
    """

    def __init__(self, file: IO[bytes], name: str) -> None:
        self._file = file
        self._name = name
        self.batch = "batch"

    @classmethod
    @contextmanager
    def opened(cls, source: str) -> Generator[JobLines]:
        """Open a file by its name; raises click.UsageError where that cannot be done."""
        name = "standard input" if source == STANDARD else source
        try:
            file = _standard_input() if source == STANDARD else _file(source)
        except OSError as exc:
            reason = (exc.strerror or str(exc)).lower()
            raise click.UsageError(f"cannot read the jobs in {name}: {reason}") from exc
        with file:
            yield cls(file, name)

    def check(self, toolsets: Collection[str]) -> None:
        """Read all of them.

        Raises click.UsageError naming the first line that is no job, that names a toolset which is
        not there, or that has the key of another.
        """
        lines: dict[str, int] = {}
        for number, job, key in self:
            if key in lines:
                raise self._wrong(number, f"the dedupe_key is that of line {lines[key]}, too")
            if job.toolset is not None and job.toolset not in toolsets:
                raise self._wrong(
                    number, f"no --tools {job.toolset}=module:toolset is given, which it names"
                )
            lines[key] = number

    def __iter__(self) -> Iterator[JobLine]:
        """Read them from the first one on."""
        self._file.seek(0)
        same: Counter[str] = Counter()
        for number, line in enumerate(self._file, 1):
            text = line.removeprefix(_BOM) if number == 1 else line
            if text.strip():
                try:
                    job = _decode(text)
                    key = job.dedupe_key or self._key(job, same)
                    yield JobLine(number, replace(job, dedupe_key=key), key)
                except (ValueError, RecursionError) as exc:
                    raise self._wrong(number, f"it is no job: {exc}") from exc

    def _key(self, job: RunJob, same: Counter[str]) -> str:
        said = msgspec.json.encode(job, order="deterministic")
        digest = hashlib.sha256(said).hexdigest()[:DIGEST]
        same[digest] += 1
        return f"{self.batch}-{digest}-{same[digest]}"

    def _wrong(self, number: int, what: str) -> click.UsageError:
        return click.UsageError(f"{self._name}, line {number}: {what}")


def _standard_input() -> IO[bytes]:
    file = tempfile.TemporaryFile()  # noqa: SIM115 -- whoever asked for it closes it
    try:
        shutil.copyfileobj(sys.stdin.buffer, file)
    except BaseException:
        file.close()
        raise
    return file


def _file(name: str) -> IO[bytes]:
    return Path(name).open("rb")
