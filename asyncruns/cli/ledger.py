"""Results to a file that is never wrong: what has been done, and what has been begun.

Results are lines, each written whole as soon as it is there. Beside them, while there are jobs
left, lies a file of what has been begun: the threads that were created for jobs without one. With
both, and with the keys in the runs' metadata, whoever begins again after a crash finds every run. A
last line that was torn is cut off: its run is found again.
"""

from __future__ import annotations

import os
import re
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, TypeVar
from uuid import uuid4

import click
import msgspec

from asyncruns import ENDED_RUN, TextContentBlock, to_json
from asyncruns.cli.joblines import STANDARD
from asyncruns.cli.request import Failure

if sys.platform != "win32":
    import fcntl

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from asyncruns import RunResult

__all__ = ["Ledger"]

BEGUN: Final = ".begun"
"""What the name of the file beside the results ends with."""

_BATCH: Final = re.compile(r"batch-[0-9a-f]{12}(?=-)")
"""How the keys of jobs begin that have none of their own."""


class _Result(msgspec.Struct):
    """What a line of results is read for."""

    dedupe_key: str
    outcome: str | None
    thread_id: str | None


class _Begun(msgspec.Struct, omit_defaults=True):
    """A line of what has been begun."""

    dedupe_key: str = ""
    thread_id: str = ""
    batch: str = ""


LineT = TypeVar("LineT", _Result, _Begun)


class Ledger:
    """Writes results down, and knows those of an earlier time."""

    def __init__(self, results: IO[bytes]) -> None:
        self._results = results
        self._begun: IO[bytes] | None = None
        self.batch = ""
        """How the keys of this batch begin."""
        self.outcomes: dict[str, str] = {}
        """How the runs of the jobs have ended that are over, by the jobs' keys."""
        self.threads: dict[str, str] = {}
        """The threads of jobs that have been begun, by the jobs' keys."""

    @classmethod
    @contextmanager
    def opened(cls, target: str) -> Generator[Ledger]:
        """Open a file by its name, after what is there; or standard output, for a new beginning.

        Raises click.UsageError for a file that holds something else, or for what is no file, and
        Failure for one that cannot be written, or that another batch writes.
        """
        if target == STANDARD:
            ledger = cls(sys.stdout.buffer)
            ledger.batch = _new_batch()
            yield ledger
            return
        path = Path(target)
        if path.exists() and not path.is_file():  # a device may never end, a pipe keeps nothing
            raise click.UsageError(f"{path} is no file; '-' writes to standard output")
        beside = path.with_name(path.name + BEGUN)
        with _appended(path) as results:
            ledger = cls(results)
            ledger._take_over(path)
            with _appended(beside) as begun:
                ledger._begun = begun
                ledger._take_over_begun(beside)
                yield ledger

    def begin(self, key: str, thread_id: str) -> None:
        """Note that a job's thread has been created."""
        self._note(_Begun(dedupe_key=key, thread_id=thread_id))

    def add(self, number: int, result: RunResult, conceal: Callable[[str], str]) -> None:
        """Write a result down; `number` is the line of its job."""
        self._results.write(to_json(_facts(number, result, conceal)) + b"\n")
        self._results.flush()
        if result.outcome in ENDED_RUN:
            self.outcomes[result.job.dedupe_key or ""] = result.outcome or ""

    def finish(self) -> None:
        """Forget what was begun: all is done."""
        if self._begun is not None:
            Path(self._begun.name).unlink(missing_ok=True)

    @property
    def lasts(self) -> bool:
        """Whether the same command would find what has been written."""
        return self._begun is not None

    def _take_over(self, path: Path) -> None:
        """Read the results of an earlier time."""
        for result in _lines(path, _Result):
            if result.outcome in ENDED_RUN:
                self.outcomes[result.dedupe_key] = result.outcome or ""
            if result.thread_id:
                self.threads[result.dedupe_key] = result.thread_id
            begins = _BATCH.match(result.dedupe_key)
            self.batch = begins[0] if begins else self.batch

    def _take_over_begun(self, path: Path) -> None:
        """Read what was begun at an earlier time, and begin this one."""
        for begun in _lines(path, _Begun):
            self.batch = begun.batch or self.batch
            if begun.thread_id:
                self.threads[begun.dedupe_key] = begun.thread_id
        if not self.batch:
            self.batch = _new_batch()
            self._note(_Begun(batch=self.batch))

    def _note(self, begun: _Begun) -> None:
        if self._begun is not None:
            self._begun.write(msgspec.json.encode(begun) + b"\n")
            self._begun.flush()


def _new_batch() -> str:
    return f"batch-{uuid4().hex[:12]}"


def _appended(path: Path) -> IO[bytes]:
    """Open a file to append to it; nobody else may meanwhile."""
    try:
        file = path.open("ab")
    except OSError as exc:
        reason = (exc.strerror or str(exc)).lower()
        raise Failure(f"cannot write the results to {path}: {reason}") from exc
    if sys.platform != "win32":
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            file.close()
            raise Failure(f"another batch is writing its results to {path}") from exc
    return file


def _lines(path: Path, kind: type[LineT]) -> Iterator[LineT]:
    """Read the lines of a file, and cut a torn one off."""
    size = 0
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.endswith(b"\n") and _is_torn(line):
                break
            size += len(line)
            try:
                yield msgspec.json.decode(line, type=kind)
            except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
                raise click.UsageError(
                    f"{path}, line {number}: it is no result of a batch ({exc}); "
                    "give --out another file"
                ) from exc
    os.truncate(path, size)


def _is_torn(line: bytes) -> bool:
    """Whether a line is the beginning of one of ours."""
    begins = b'{"dedupe_key":"'
    return line.startswith((begins, b'{"batch":"')) or begins.startswith(line)


def _facts(number: int, result: RunResult, conceal: Callable[[str], str]) -> dict[str, Any]:
    """What a line of results says; readers rely on its beginning with the key."""
    exc = result.exception
    return {
        "dedupe_key": result.job.dedupe_key,
        "line": number,
        "outcome": result.outcome,
        "thread_id": result.thread_id,
        "run_id": result.run and result.run.id,
        "text": _text(result),
        "error": exc and {"type": type(exc).__name__, "message": conceal(str(exc))},
        "retries": result.retries,
        "run": result.run,
        "steps": result.steps,
        "messages": result.messages,
    }


def _text(result: RunResult) -> str:
    """All that the run has said."""
    parts = [part for message in result.messages for part in message.content]
    return "".join(part.text.value for part in parts if isinstance(part, TextContentBlock))
