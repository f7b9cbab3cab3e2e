"""`asyncruns runs batch`: the jobs of a file to a file of results, once each, whatever happens."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from msgspec.structs import replace

from asyncruns import RunPool
from asyncruns.cli.joblines import STANDARD, JobLines
from asyncruns.cli.ledger import Ledger
from asyncruns.cli.progress import ProgressView
from asyncruns.cli.references import ToolsetReference
from asyncruns.cli.request import RequestCommand
from asyncruns.cli.text import one_line

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator, Sequence

    from asyncruns import RunJob, Toolset
    from asyncruns.cli.connection import Connection

__all__ = ["batch"]

MOST: Final = 1000
"""How many runs may go at a time: as many as a client has connections for streams."""

TICK: Final = 0.5
"""Seconds between two looks at how far the batch has come."""


class NamedToolset(ToolsetReference):
    """`name=module:toolset`, or without a name: gives both."""

    name = "[name=]module:toolset"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Part the name, and import the rest."""
        if isinstance(value, tuple):
            return value
        name, equals, place = str(value).rpartition("=")
        if equals and not name:
            self.fail(f"{value!r} has no name before its =", param, ctx)
        return name, super().convert(place, param, ctx)


class Batch:
    """One go at the jobs that are left."""

    def __init__(
        self,
        connection: Connection,
        jobs: JobLines,
        ledger: Ledger,
        toolsets: dict[str, Toolset],
        **settings: Any,
    ) -> None:
        self._connection = connection
        self._jobs = jobs
        self._ledger = ledger
        self._settings: dict[str, Any] = {
            **settings,
            "toolset": toolsets.get(""),
            "toolsets": {name: toolset for name, toolset in toolsets.items() if name},
        }
        self._keys = [key for _, _, key in jobs]
        self._lines: dict[str, int] = {}
        self._trouble = ""

    def carry_out(self) -> int:
        """Carry out the jobs that are not over; give the exit code."""
        earlier = sum(key in self._ledger.outcomes for key in self._keys)
        view = ProgressView(len(self._keys), earlier)
        if earlier:
            view.say(f"{earlier} of {len(self._keys)} jobs were done before")
        try:
            if earlier < len(self._keys):
                asyncio.run(self._carry_out(view))
        finally:
            outcomes = [self._ledger.outcomes.get(key) for key in self._keys]
            for line in self._summary(outcomes):
                view.say(line)
        if None not in outcomes:
            self._ledger.finish()
        return 0 if {*outcomes} <= {"completed"} else 1

    def _summary(self, outcomes: Sequence[str | None]) -> Iterator[str]:
        completed, left = outcomes.count("completed"), outcomes.count(None)
        others = len(outcomes) - completed - left
        if self._trouble:
            yield self._trouble
        yield (
            f"{len(outcomes)} jobs: {completed} completed, {others} ended otherwise, {left} left"
            + "; the same command goes on with them" * (left > 0 and self._ledger.lasts)
        )

    async def _carry_out(self, view: ProgressView) -> None:
        async with (
            self._connection.open() as client,
            RunPool(client, on_thread=self._begin, **self._settings) as pool,
            _ticking(view, pool),
        ):
            async for result in pool.map(self._left()):
                number = self._lines.pop(result.job.dedupe_key or "")
                self._ledger.add(number, result, self._connection.conceal)
                if result.exception is not None and not self._trouble:
                    said = one_line(self._connection.conceal(str(result.exception)))
                    self._trouble = f"the first error, of line {number}: {said}"

    def _left(self) -> Iterator[RunJob]:
        """The jobs that are not over, on the threads where they were begun."""
        for number, job, key in self._jobs:
            if key in self._ledger.outcomes:
                continue
            self._lines[key] = number
            begun = self._ledger.threads.get(key)
            is_begun = job.thread_id is None and begun is not None
            yield replace(job, thread_id=begun, thread=None) if is_begun else job

    def _begin(self, job: RunJob, thread_id: str) -> None:
        self._ledger.begin(job.dedupe_key or "", thread_id)


@asynccontextmanager
async def _ticking(view: ProgressView, pool: RunPool) -> AsyncGenerator[None]:
    """Show how far the pool has come, again and again, while the block runs."""

    async def tick() -> None:
        while True:
            view.show(pool.counts, pool.paused_for)
            await asyncio.sleep(TICK)

    with view:
        ticking = asyncio.create_task(tick())
        try:
            yield
        finally:
            ticking.cancel()
            view.show(pool.counts, pool.paused_for)


def _run(
    connection: Connection,
    params: dict[str, Any],  # noqa: ARG001 -- a batch has no parameters of one request
    jobs: str,
    out: str,
    tools: Sequence[tuple[str, Toolset]],
    **settings: Any,
) -> int:
    if STANDARD not in {jobs, out} and Path(jobs).resolve() == Path(out).resolve():
        raise click.UsageError("JOBS and --out are the same file")
    toolsets = dict(tools)
    with JobLines.opened(jobs) as lines:
        lines.check(toolsets)
        with Ledger.opened(out) as ledger:
            lines.batch = ledger.batch
            return Batch(connection, lines, ledger, toolsets, **settings).carry_out()


batch: Final = RequestCommand(
    "batch",
    flags=(),
    params=[
        click.Argument(
            ["jobs"],
            type=click.Path(dir_okay=False, allow_dash=True),
            help="The file of jobs.",
        ),
        click.Option(
            ["--out"],
            type=click.Path(dir_okay=False, allow_dash=True),
            default=STANDARD,
            metavar="RESULTS.jsonl",
            help="The file that results are added to; standard output unless given.",
        ),
        click.Option(
            ["--concurrency"],
            type=click.IntRange(1, MOST),
            default=50,
            show_default=True,
            metavar="N",
            help="How many runs may go at a time.",
        ),
        click.Option(
            ["--retries"],
            type=click.IntRange(min=0),
            default=5,
            show_default=True,
            metavar="N",
            help="How often a job is tried again that a rate limit or an outage stops.",
        ),
        click.Option(
            ["--deadline"],
            type=click.FloatRange(min=0, min_open=True),
            metavar="SECONDS",
            help="How long a run may take; without a limit unless given.",
        ),
        click.Option(
            ["--tools"],
            type=NamedToolset(),
            multiple=True,
            help="Answer tool calls with functions of yours: a Toolset, or a list of functions, "
            "looked for in the current directory first. With a name it is for the jobs whose "
            "'toolset' says so, without one for those that name none.  [repeatable]",
        ),
    ],
    callback=_run,
    short_help="Carry out a file of jobs, each once, many at a time.",
    help="""Carry out a file of jobs, each once, many at a time.

    JOBS has a job on each line, as JSON; '-' is standard input, which is read to its end first.

    \b
      {"assistant_id": "asst_1", "message": "What is the weather in Oslo?"}
      {"assistant_id": "asst_1", "thread_id": "thread_1", "dedupe_key": "order-7"}

    A job has an 'assistant_id' and, all optional, a 'thread_id' to run on or a new 'thread', a
    'message' that the user says first, the name of a 'toolset', a 'dedupe_key' of its own, and
    'params', the other parameters of a run by their names. The jobs of one thread are carried out
    in their order. Every line is checked before anything runs.

    A result is a line of JSON, too, written as soon as the run is over: 'dedupe_key', the 'line' of
    the job, 'outcome', 'thread_id', 'run_id', the 'text' that was said, 'error', and the whole
    'run', 'steps' and 'messages'. Where a key has several lines, the last one counts.

    With --out, the same command goes on after Ctrl-C or a crash: jobs whose runs have ended are
    left out, runs that are alive are followed, and the others are created. Runs are left alive at
    Ctrl-C. RESULTS.jsonl.begun is needed for that until all is done.

    Exits 0 if all runs are completed, 1 if not, 2 for bad input, 130 after Ctrl-C.
    """,
)
