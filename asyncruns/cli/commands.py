"""The reference's commands: each endpoint's name, flags and method."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import click

from asyncruns.cli import parameters as flags
from asyncruns.cli.lazy import LazyCommand
from asyncruns.cli.output import MAX_ITEMS, OUTPUT
from asyncruns.cli.request import RequestCommand

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from asyncruns.cli.connection import Connection
    from asyncruns.cli.flags import Flag

__all__ = ["assistants", "messages", "runs", "steps", "threads"]

_IN_THREAD: Final = (flags.THREAD_ID,)
_RUN: Final = (flags.THREAD_ID, flags.RUN_ID)
_MESSAGE: Final = (flags.THREAD_ID, flags.MESSAGE_ID)
_ASSISTANT: Final = (flags.ASSISTANT_ID,)


class Endpoint(NamedTuple):
    """One command."""

    name: str
    help: str
    flags: Sequence[Flag]
    takes_body: bool = False


def _group(name: str, resource: str, summary: str, *endpoints: Endpoint) -> click.Group:
    """Make a command for each endpoint of a client's resource.

    Each has a `short_help`, without which click cuts its summary in the group's help.
    """
    group = click.Group(name, help=summary, short_help=summary, no_args_is_help=True)
    for endpoint in endpoints:
        is_list = endpoint.name == "list"
        group.add_command(
            RequestCommand(
                endpoint.name,
                flags=endpoint.flags,
                takes_body=endpoint.takes_body,
                params=(MAX_ITEMS, *OUTPUT) if is_list else OUTPUT,
                callback=_sender(f"{resource}.{endpoint.name.replace('-', '_')}", is_list=is_list),
                help=endpoint.help,
                short_help=endpoint.help,
            )
        )
    return group


def _sender(path: str, *, is_list: bool) -> Callable[..., None]:
    """What a command does: to ask by a client's method, and print what comes."""

    def send(connection: Connection, params: dict[str, Any], **settings: Any) -> None:
        # It brings aiohttp, which help does not need.
        from asyncruns.cli import ask  # noqa: PLC0415 -- only when used

        (ask.ask_for_list if is_list else ask.ask)(connection, path, params, **settings)

    return send


runs: Final = _group(
    "runs",
    "runs",
    "The runs of threads: each is one execution of an assistant on a thread.",
    Endpoint(
        "create",
        "Create a run on a thread, and print it as it is before its first step.",
        flags.RUN_CREATE,
        takes_body=True,
    ),
    Endpoint("retrieve", "Print a run as it is now.", _RUN),
    Endpoint(
        "update",
        "Change a run's metadata, and print the run.",
        (*_RUN, flags.METADATA),
        takes_body=True,
    ),
    Endpoint("list", "Print the runs of a thread, newest first.", (*_IN_THREAD, *flags.LISTING)),
    Endpoint("cancel", "Begin to cancel a run, and print it: it ends a little later.", _RUN),
    Endpoint(
        "submit-tool-outputs",
        "Answer the tool calls that a run waits for, all at once, and print the run.",
        (*_RUN, flags.TOOL_OUTPUT),
        takes_body=True,
    ),
)

steps: Final = _group(
    "steps",
    "runs.steps",
    "The steps of a run: the messages that it wrote, the tools that it called.",
    Endpoint(
        "list",
        "Print the steps of a run, newest first.",
        (*_RUN, *flags.LISTING, flags.STEP_INCLUDE),
    ),
    Endpoint("retrieve", "Print a step of a run.", (*_RUN, flags.STEP_ID, flags.STEP_INCLUDE)),
)
runs.add_command(steps)
for _name, _module, _summary in (
    ("stream", "streaming", "Create a run on a thread, and show it as it goes on."),
    ("watch", "streaming", "Show a run that is going already, or has ended."),
    ("timeline", "timeline", "Show the steps of a run as bars over time."),
):
    runs.add_command(LazyCommand(_name, f"asyncruns.cli.{_module}:{_name}", _summary))

threads: Final = _group(
    "threads",
    "threads",
    "Threads: the conversations that runs read and write.",
    Endpoint("create", "Create a thread, and print it.", flags.THREAD_CREATE, takes_body=True),
    Endpoint("retrieve", "Print a thread.", _IN_THREAD),
    Endpoint(
        "update",
        "Change a thread's metadata or resources, and print the thread.",
        (*_IN_THREAD, *flags.THREAD_UPDATE),
        takes_body=True,
    ),
    Endpoint("delete", "Delete a thread.", _IN_THREAD),
    Endpoint(
        "create-and-run",
        "Create a thread and a run on it, and print the run as it is before its first step.",
        flags.THREAD_AND_RUN,
        takes_body=True,
    ),
)

messages: Final = _group(
    "messages",
    "messages",
    "The messages of a thread.",
    Endpoint(
        "create", "Add a message to a thread, and print it.", flags.MESSAGE_CREATE, takes_body=True
    ),
    Endpoint("retrieve", "Print a message.", _MESSAGE),
    Endpoint(
        "update",
        "Change a message's metadata, and print the message.",
        (*_MESSAGE, flags.METADATA),
        takes_body=True,
    ),
    Endpoint(
        "list",
        "Print the messages of a thread, newest first.",
        (*_IN_THREAD, *flags.MESSAGE_LISTING),
    ),
    Endpoint("delete", "Delete a message.", _MESSAGE),
)

assistants: Final = _group(
    "assistants",
    "assistants",
    "Assistants: a model, what it is told to do, and its tools.",
    Endpoint(
        "create", "Create an assistant, and print it.", flags.ASSISTANT_CREATE, takes_body=True
    ),
    Endpoint("retrieve", "Print an assistant.", _ASSISTANT),
    Endpoint(
        "update", "Change an assistant, and print it.", flags.ASSISTANT_UPDATE, takes_body=True
    ),
    Endpoint("list", "Print the assistants, newest first.", flags.LISTING),
    Endpoint("delete", "Delete an assistant.", _ASSISTANT),
)

runs.add_command(
    LazyCommand("batch", "asyncruns.cli.batch:batch", "Carry out a file of jobs, many at a time.")
)
