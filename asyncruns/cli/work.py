"""The command that works on jobs, until a signal ends it."""

from __future__ import annotations

import asyncio
import logging
import signal
from typing import TYPE_CHECKING, Any, Final

import click

from asyncruns.cli.queue import DATABASE, package, with_queue
from asyncruns.cli.references import ToolsetReference
from asyncruns.cli.request import RequestCommand
from asyncruns.cli.text import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from asyncruns import Toolset
    from asyncruns.cli.connection import Connection
    from asyncruns.workers import RunQueue, RunWorker

__all__ = ["run"]

_SILENCE: Final = click.Option(
    ["--silence"],
    type=click.FloatRange(min=0, min_open=True),
    default=30.0,
    metavar="SECONDS",
    help="How long a worker may be silent before its jobs go on elsewhere; 30 unless given. The "
    "same for all workers of a database.",
)


class NamedToolset(click.ParamType[Any]):
    """`NAME=module:toolset`: what jobs call a toolset, and where it is."""

    name = "name=module:toolset"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, Toolset]:
        """Import the toolset."""
        name, equals, place = str(value).partition("=")
        if not (name and equals and place):
            self.fail(f"{value!r} is not of the form {self.name}", param, ctx)
        return name, ToolsetReference().convert(place, param, ctx)


def _work(
    connection: Connection,
    params: dict[str, Any],  # noqa: ARG001 -- of an endpoint, which this is not
    toolsets: Sequence[tuple[str, Toolset]],
    address: str | None,
    silence: float,
    **settings: Any,
) -> None:
    _log_to_stderr(connection.conceal)

    async def work(queue: RunQueue) -> bool:
        async with connection.open() as client:
            worker = package().RunWorker(queue, client, toolsets=dict(toolsets), **settings)
            return await _until_signal(worker)

    if with_queue(address, work, silence=silence):
        raise KeyboardInterrupt


async def _until_signal(worker: RunWorker) -> bool:
    """Work until a signal says to stop; gives whether that was Ctrl-C, which breaks off twice."""
    loop = asyncio.get_running_loop()
    interrupted = False

    def stop(number: signal.Signals) -> None:
        nonlocal interrupted
        interrupted = number is signal.SIGINT
        loop.remove_signal_handler(signal.SIGINT)
        worker.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop, number)
    click.echo(f"worker {worker.name} is ready", err=True)
    await worker.run()
    click.echo(f"worker {worker.name} has stopped", err=True)
    return interrupted


def _log_to_stderr(conceal: Callable[[str], str]) -> None:
    """Show what becomes of jobs, a line each; of the engine and the driver only what is wrong."""

    class Lines(logging.Formatter):
        def format(self, record: logging.LogRecord) -> str:
            return conceal(one_line(super().format(record)))

    handler = logging.StreamHandler()
    handler.setFormatter(Lines("%(asctime)s %(levelname)s %(message)s"))
    logging.getLogger("asyncruns.workers").setLevel(logging.INFO)
    logging.getLogger("psycopg").setLevel(logging.ERROR)
    logging.getLogger().addHandler(handler)


run: Final = RequestCommand(
    "run",
    flags=(),
    params=[
        DATABASE,
        click.Option(
            ["--toolset", "toolsets"],
            type=NamedToolset(),
            multiple=True,
            metavar="NAME=MODULE:ATTRIBUTE",
            help="A Toolset, a function or a list of functions that answers the tool calls of "
            "jobs with this toolset; repeatable.",
        ),
        click.Option(
            ["--concurrency"],
            type=click.IntRange(min=1),
            default=10,
            metavar="N",
            help="How many jobs to work on at once; 10 unless given. One more is for the jobs "
            "of workers that died.",
        ),
        _SILENCE,
        click.Option(
            ["--grace"],
            type=click.FloatRange(min=0),
            default=10.0,
            metavar="SECONDS",
            help="How long tool calls may go on after SIGTERM; 10 unless given.",
        ),
    ],
    callback=_work,
    short_help="Work on jobs until SIGTERM or Ctrl-C.",
    help="Work on the jobs of the queue until SIGTERM or Ctrl-C; then hand them over, and "
    "leave their runs alive.",
)
