"""Command names to commands: each is imported when it is called for."""

from __future__ import annotations

import os
import sys
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from asyncruns import AsyncRunsError, __version__
from asyncruns.cli.connection import CONNECTION
from asyncruns.cli.flags import FlagOption
from asyncruns.cli.lazy import LazyCommand
from asyncruns.cli.text import one_line

if TYPE_CHECKING:
    from typing import TextIO

__all__ = ["app", "run"]

RESOURCES: Final = {
    "runs": ("beta:threads:runs", "Create runs, look at them, answer and cancel them."),
    "threads": ("beta:threads", "Create threads, look at them, change and delete them."),
    "messages": ("beta:threads:messages", "Add messages to threads, look at them, delete them."),
    "assistants": ("beta:assistants", "Create assistants, look at them, change and delete them."),
}
"""The groups of commands, with the reference's names for them."""


@click.group(
    params=[FlagOption(flag) for flag in CONNECTION],
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="""\b
examples:
  asyncruns demo                            see a run live; needs no server and no key
  asyncruns runs list --thread-id thread_1  the runs of a thread, as JSON
  asyncruns runs stream --help              how to see a run of yours as it goes on
  asyncruns serve                           a server to try things on
  asyncruns COMMAND --help                  what a command does, and its options

\b
The reference's own names stand for the same commands: 'beta:threads:runs' for 'runs',
'beta:threads:runs:steps' for 'runs steps', 'beta:threads' for 'threads',
'beta:threads:messages' for 'messages', 'beta:assistants' for 'assistants'.

\b
Completion in bash, in zsh, in fish:
  eval "$(_ASYNCRUNS_COMPLETE=bash_source asyncruns)"
  eval "$(_ASYNCRUNS_COMPLETE=zsh_source asyncruns)"
  _ASYNCRUNS_COMPLETE=fish_source asyncruns | source""",
)
@click.version_option(__version__, prog_name="asyncruns", message="%(prog)s %(version)s")
def app(**_connection: Any) -> None:
    """Watch and steer runs of the Runs protocol: their text, their tool calls, their steps.

    A run is one execution of an assistant on a thread. While it goes on, its server streams what
    it writes; asyncruns assembles the pieces into complete objects and answers the run's tool
    calls with Python functions.

    Options that say where the server is may stand here or after any command that asks it; the
    names in brackets are the environment variables that stand in for them.
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
for _short, (_long, _summary) in RESOURCES.items():
    _target = f"asyncruns.cli.commands:{_short}"
    app.add_command(LazyCommand(_short, _target, _summary))
    app.add_command(LazyCommand(_long, _target, _summary, hidden=True))
app.add_command(
    LazyCommand("workers", "asyncruns.cli.workers:workers", "Share jobs among many hosts.")
)
app.add_command(
    LazyCommand(
        "beta:threads:runs:steps",
        "asyncruns.cli.commands:steps",
        "Look at the steps of a run.",
        hidden=True,
    )
)


def run() -> int:
    """Run what sys.argv asks for, and give the exit code; KeyboardInterrupt passes through."""
    if _is_closed(sys.stdout):
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 -- until the end
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a sign that cannot be encoded becomes a `?`
    try:
        return app.main(prog_name="asyncruns", standalone_mode=False) or 0
    except click.exceptions.NoArgsIsHelpError as exc:
        exc.show()
        return exc.exit_code
    except click.ClickException as exc:
        click.echo(f"asyncruns: {_complaint(exc)}", err=True)
        return exc.exit_code
    except click.Abort:
        raise KeyboardInterrupt from None
    except AsyncRunsError as exc:
        click.echo(f"asyncruns: {one_line(str(exc))}", err=True)
        return 1
    except BrokenPipeError:  # whoever read the output has gone away
        _drop_output()
        return 1
    except OSError as exc:  # as a rule, the output has no room
        _drop_output()
        click.echo(f"asyncruns: {one_line(exc.strerror or str(exc)).lower()}", err=True)
        return 1


def _is_closed(stream: TextIO | None) -> bool:
    """Whether a standard stream was closed before the start: Python has None for it."""
    return stream is None


def _drop_output() -> None:
    """Drop what cannot be written: at its end the interpreter flushes stdout, and must not fail."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _complaint(exc: click.ClickException) -> str:
    """What is wrong, in one line, and where help is to be had."""
    text = one_line(exc.format_message())
    if isinstance(exc, click.UsageError) and exc.ctx is not None:
        return f"{text} (see '{exc.ctx.command_path} --help')"
    return text
