"""Command names to commands: each is imported when it is called for."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from io import TextIOWrapper
from typing import Any

import click

from asyncruns import AsyncRunsError, __version__

__all__ = ["app", "run"]


class LazyCommand(click.Command):
    """A command that is known by its name and summary until it is called.

    `target` is its place as `module:attribute`; it may be a group, too.
    """

    def __init__(self, name: str, target: str, summary: str) -> None:
        super().__init__(name, short_help=summary)
        self._target = target

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        """Import the command, and go on with it."""
        module, _, attribute = self._target.partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command.make_context(info_name, args, parent, **extra)


@click.group(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="""\b
examples:
  asyncruns demo                 see a run live; needs no server and no key
  asyncruns demo --json          the steps that it assembled, as JSON
  asyncruns COMMAND --help       what a command does, and its options""",
)
@click.version_option(__version__, prog_name="asyncruns", message="%(prog)s %(version)s")
def app() -> None:
    """Watch runs of the Runs protocol: their text, their tool calls, their steps.

    A run is one execution of an assistant on a thread. While it goes on, its server streams what
    it writes; asyncruns assembles the pieces into complete objects and answers the run's tool
    calls with Python functions.
    """


app.add_command(
    LazyCommand("demo", "asyncruns.cli.demo:demo", "Stream a run against a server of its own.")
)
app.add_command(
    LazyCommand("replay", "asyncruns.cli.replay:replay", "Show what a recorded stream has built.")
)
app.add_command(
    LazyCommand("serve", "asyncruns.cli.serve:serve", "Serve runs of a scripted model, to try out.")
)


def run() -> int:
    """Run what sys.argv asks for, and give the exit code; KeyboardInterrupt passes through."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a sign that cannot be encoded becomes a `?`
    try:
        return app.main(prog_name="asyncruns", standalone_mode=False) or 0
    except click.ClickException as exc:
        exc.show()
        return exc.exit_code
    except click.Abort:
        raise KeyboardInterrupt from None
    except AsyncRunsError as exc:
        click.echo(f"asyncruns: {exc}", err=True)
        return 1
    except BrokenPipeError:  # whoever read the output has gone away
        # At its end the interpreter flushes stdout, and must not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
