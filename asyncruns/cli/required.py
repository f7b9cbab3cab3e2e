"""What a run waits for to the command lines that answer it, ready to be pasted into a shell."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Final

from asyncruns import RequiredActionSubmitToolOutputs
from asyncruns.cli.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from asyncruns import Run
    from asyncruns.cli.connection import Connection

__all__ = ["command", "explain"]

REPEATED: Final = ("base_url", "organization", "project", "azure_endpoint", "api_version")
"""The options of a connection that another command needs, too."""

PLACE: Final = "OUTPUT"
"""What stands in a command line where an output belongs."""


def explain(run: Run, thread_id: str, connection: Connection) -> Iterator[str]:
    """Give the lines that show what a run waits for, and how to go on: plain, and printable."""
    action = run.required_action
    if not isinstance(action, RequiredActionSubmitToolOutputs):
        kind = "nothing that it names" if action is None else f"an action of the type {action.type}"
        yield printable(f"The run waits for {kind}, which no command of asyncruns answers.")
        return
    calls = action.submit_tool_outputs.tool_calls
    yield f"The run waits for the output{'s' * (len(calls) != 1)} of {_count(len(calls))}:"
    for call in calls:
        yield f"  {_one_line(call.id)}  {_one_line(call.function.name)} " + _one_line(
            call.function.arguments
        )
    ids = {"thread_id": thread_id, "run_id": run.id}
    outputs = [json.dumps({"tool_call_id": call.id, "output": PLACE}) for call in calls]
    lines = [command(connection, "submit-tool-outputs", ids)]
    lines += [f"  --tool-output {shlex.quote(output)}" for output in outputs]
    yield f"\nThis submits them, each in the place of its {PLACE}:\n"
    yield " \\\n".join(lines)
    yield "\nThis shows how the run goes on, and with --tools module:toolset answers for you:\n"
    yield command(connection, "watch", ids)


def command(connection: Connection, name: str, flags: Mapping[str, str]) -> str:
    """Give the command line of another command on runs, for the same server.

    A key that was given as an option is not repeated: it is for the environment.
    """
    given = {name: str(connection.options[name]) for name in REPEATED if name in connection.options}
    words = ["asyncruns", "runs", name]
    for option, value in {**given, **flags}.items():
        words += [f"--{option.replace('_', '-')}", printable(value)]
    line = shlex.join(words)
    return f'{line} --api-key "$OPENAI_API_KEY"' if "api_key" in connection.options else line


def _one_line(text: str) -> str:
    return printable(text.replace("\n", " "))


def _count(number: int) -> str:
    return f"{number} tool call{'s' * (number != 1)}"
