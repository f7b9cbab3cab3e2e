"""A stream of a run to its picture and an exit code: what `runs stream` and `runs watch` share."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Final, TextIO

import click
from rich.text import Text

from asyncruns import ENDED_RUN, AsyncRunsError, Run, RunStream
from asyncruns.cli import INTERRUPTED
from asyncruns.cli.console import Ragged, is_live, open_console
from asyncruns.cli.eventlines import line_of
from asyncruns.cli.references import ToolsetReference
from asyncruns.cli.required import command, explain
from asyncruns.cli.text import one_line
from asyncruns.cli.times import Stopwatch
from asyncruns.cli.tree import draw
from asyncruns.cli.views import show

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncruns import Client
    from asyncruns.cli.connection import Connection

__all__ = ["EVENTS", "EXIT_CODES", "ON_INTERRUPT", "TOOLS", "Viewing"]

EVENTS: Final = click.Option(
    ["--events"],
    is_flag=True,
    help="Print one line of JSON for each event, as the server sent it, instead of the picture.",
)
TOOLS: Final = click.Option(
    ["--tools", "toolset"],
    type=ToolsetReference(),
    help="Answer tool calls with functions of yours: a Toolset, or a list of functions, such as "
    "tools:toolset, looked for in the current directory first. What the model may call is still "
    "said by the assistant or by --tool.",
)
ON_INTERRUPT: Final = click.Option(
    ["--cancel-on-interrupt/--leave-running", "cancels"],
    default=None,
    help="What becomes of the run at Ctrl-C. On a terminal you are asked unless this is given; "
    "elsewhere it is left running.",
)
EXIT_CODES: Final = """\b
exit codes:
  0    the run is completed
  1    it failed, expired, was cancelled, is incomplete, or waits for outputs; or an error
  2    bad input
  130  Ctrl-C"""


class Viewing:
    """One look at a run, from the opening of its stream to its end.

    `open_stream` makes the stream; `cancels` says what becomes of the run at Ctrl-C, None that a
    person is to be asked.
    """

    def __init__(
        self,
        connection: Connection,
        thread_id: str,
        open_stream: Callable[[Client], RunStream],
        *,
        events: bool,
        cancels: bool | None,
    ) -> None:
        self._connection = connection
        self._thread_id = thread_id
        self._open_stream = open_stream
        self._events = events
        self._cancels = cancels
        self._run: Run | None = None

    def to_end(self) -> int:
        """Show the run to its end, and give the exit code: 0 if it is completed.

        At Ctrl-C, cancels the run if that is wanted, and raises KeyboardInterrupt again.
        """
        try:
            outcome = asyncio.run(self._show())
        except KeyboardInterrupt:
            try:
                self._leave()
            finally:
                _exit_if_a_tool_still_runs()
            raise
        return 0 if outcome == "completed" else 1

    async def _show(self) -> str | None:
        times, console = Stopwatch(), open_console()
        async with self._connection.open() as client, self._open_stream(client) as stream:
            try:
                if self._events:
                    await _print_events(stream)
                else:
                    await show(stream, console, times)
            finally:
                self._run = stream.run
        run = stream.run
        if run is None:
            return stream.outcome
        if is_live(console) and not self._events:
            picture = draw(run, stream.steps, stream.messages, times, still=True)
            console.print(Ragged(picture))
        if stream.outcome == "requires_action":
            told = open_console(stderr=True) if self._events else console
            for line in ("", *explain(run, self._thread_id, self._connection)):
                told.print(Text(line), soft_wrap=True)
        return stream.outcome

    def _leave(self) -> None:
        """Leave a run whose stream was interrupted: cancelled, or running with a word about it."""
        run = self._run
        if run is None:
            line = self._line("list", {"thread_id": self._thread_id, "limit": "1"})
            _say("no run has been seen yet; if there is one, this shows it:", line)
        elif run.status not in ENDED_RUN:
            if self._wants_to_cancel(run):
                self._cancel(run.id)
            else:
                flags = {"thread_id": self._thread_id, "run_id": run.id}
                _say(f"{run.id} goes on; this cancels it:", self._line("cancel", flags))

    def _wants_to_cancel(self, run: Run) -> bool:
        if self._cancels is None and all(map(_is_terminal, (sys.stdin, sys.stderr))):
            question = one_line(f"{run.id} is {run.status}. Cancel it at the server?")
            try:
                return click.confirm(f"\n{question}", default=False, err=True)
            except click.Abort:  # Ctrl-C once more
                click.echo(err=True)
        return bool(self._cancels)

    def _cancel(self, run_id: str) -> None:
        async def cancel() -> Run:
            async with self._connection.open() as client:
                return await client.runs.cancel(run_id, thread_id=self._thread_id)

        try:
            run = asyncio.run(cancel())
        except AsyncRunsError as exc:
            _say(f"{run_id} is not cancelled: {self._connection.conceal(str(exc))}")
        else:
            _say(f"{run.id} is {run.status}")

    def _line(self, name: str, flags: dict[str, str]) -> str:
        return command(self._connection, name, flags)


async def _print_events(stream: RunStream) -> None:
    """Print a line of JSON for each event; what tools print goes to stderr meanwhile."""
    output = sys.stdout
    for_terminal = output.isatty()
    with redirect_stdout(sys.stderr):
        async for event in stream:
            line = line_of(event, for_terminal=for_terminal)
            output.buffer.write(f"{line}\n".encode())
            output.buffer.flush()


def _is_terminal(stream: TextIO | None) -> bool:
    return stream is not None and stream.isatty()  # a stream that was closed at the start is None


def _say(sentence: str, *lines: str) -> None:
    click.echo(f"asyncruns: {one_line(sentence)}", err=True)
    for line in lines:
        click.echo(line, err=True)


def _exit_if_a_tool_still_runs() -> None:
    """End the process where a tool's thread would keep it: nobody waits for its result any more."""
    others = [thread for thread in threading.enumerate() if thread is not threading.main_thread()]
    if any(not thread.daemon for thread in others):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(INTERRUPTED)
