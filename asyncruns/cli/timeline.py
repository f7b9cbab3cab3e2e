"""`asyncruns runs timeline`: when what of a run happened, for the terminal and as an SVG."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Final

import click

from asyncruns.cli.ask import FULL_PAGE
from asyncruns.cli.bars import chart
from asyncruns.cli.chart import draw_chart
from asyncruns.cli.console import Ragged, open_console
from asyncruns.cli.parameters import RUN_ID, THREAD_ID
from asyncruns.cli.request import Failure, RequestCommand
from asyncruns.cli.svg import svg_of

if TYPE_CHECKING:
    from asyncruns import Run, RunStep
    from asyncruns.cli.connection import Connection

__all__ = ["timeline"]

STANDARD_OUTPUT: Final = "-"


def _timeline(connection: Connection, params: dict[str, Any], *, svg: str | None) -> None:
    run, steps = asyncio.run(_look(connection, **params))
    laid_out = chart(run, steps, time.time())
    if svg is not None:
        _write(svg, svg_of(laid_out, f"{run.id} · {run.status}"))
        if svg == STANDARD_OUTPUT:
            return
    console = open_console()
    for line in draw_chart(laid_out, console.width):
        console.print(Ragged(line), soft_wrap=True)
    if svg is not None:
        click.echo(f"asyncruns: the same is in {svg}", err=True)


def _write(path: str, text: str) -> None:
    try:
        with click.open_file(path, "wb") as file:
            file.write(text.encode())
    except OSError as exc:
        raise Failure(f"cannot write '{path}': {(exc.strerror or str(exc)).lower()}") from exc


async def _look(connection: Connection, thread_id: str, run_id: str) -> tuple[Run, list[RunStep]]:
    async with connection.open() as client:
        run = await client.runs.retrieve(run_id, thread_id=thread_id)
        pages = client.runs.steps.list(run_id, thread_id=thread_id, order="asc", limit=FULL_PAGE)
        return run, [step async for step in pages]


timeline: Final = RequestCommand(
    "timeline",
    flags=(THREAD_ID, RUN_ID),
    params=[
        click.Option(
            ["--svg"],
            type=click.Path(dir_okay=False, allow_dash=True),
            metavar="FILE",
            help="Write it as an SVG, too; '-' writes the SVG to standard output, and only that.",
        )
    ],
    callback=_timeline,
    help="""Show the steps and tool calls of a run as bars over time.

    The times are the server's, which count whole seconds as a rule: what took less than one has
    the shortest bar that there is. A tool call has no times of its own, and gets its step's; what
    has not ended goes on until now.
    """,
)
