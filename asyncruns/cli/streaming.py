"""`asyncruns runs stream` and `runs watch`: runs as they go on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from asyncruns import AsyncRunsError, StreamInterrupted
from asyncruns.cli.parameters import RUN_CREATE, RUN_ID, STEP_INCLUDE, THREAD_ID
from asyncruns.cli.request import RequestCommand
from asyncruns.cli.viewing import EVENTS, EXIT_CODES, ON_INTERRUPT, TOOLS, Viewing

if TYPE_CHECKING:
    from asyncruns import Client, RunStream, Toolset
    from asyncruns.cli.connection import Connection

__all__ = ["stream", "watch"]


def _stream(
    connection: Connection,
    params: dict[str, Any],
    *,
    events: bool,
    toolset: Toolset | None,
    cancels: bool | None,
) -> int:
    def open_stream(client: Client) -> RunStream:
        return client.runs.stream(**params, toolset=toolset)

    thread_id = params["thread_id"]
    return Viewing(connection, thread_id, open_stream, events=events, cancels=cancels).to_end()


def _watch(
    connection: Connection,
    params: dict[str, Any],
    *,
    events: bool,
    toolset: Toolset | None,
    cancels: bool | None,
) -> int:
    def open_stream(client: Client) -> RunStream:
        return client.runs.attach(**params, toolset=toolset)

    # Whoever only watches a run is not asked whether to cancel it.
    thread_id, cancels = params["thread_id"], bool(cancels)
    try:
        return Viewing(connection, thread_id, open_stream, events=events, cancels=cancels).to_end()
    except StreamInterrupted as exc:
        if exc.run is None and isinstance(exc.__cause__, AsyncRunsError):
            raise exc.__cause__ from exc  # the first look failed: no stream was there to stop
        raise


stream: Final = RequestCommand(
    "stream",
    flags=RUN_CREATE,
    takes_body=True,
    streams=True,
    params=[EVENTS, TOOLS, ON_INTERRUPT],
    callback=_stream,
    help="""Create a run on a thread, and show it as it goes on.

    On a terminal its steps grow as a tree: status, time and tokens of each, messages as they are
    written, tool calls with their arguments. Elsewhere the same comes as lines of text. A stream
    that is cut is repaired. Where the run waits for outputs of tools and there are no --tools, the
    calls are shown, and the command that submits their outputs.
    """,
    epilog=EXIT_CODES,
)

watch: Final = RequestCommand(
    "watch",
    flags=(THREAD_ID, RUN_ID, STEP_INCLUDE),
    params=[EVENTS, TOOLS, ON_INTERRUPT],
    callback=_watch,
    help="""Show a run that is going already, or has ended, as 'runs stream' does.

    No server streams a run again: it is looked at every few seconds, and what is new in it is
    shown. With --events these are events that the library has put together, marked as recovered.
    At Ctrl-C the run goes on, unless --cancel-on-interrupt is given.
    """,
    epilog=EXIT_CODES,
)
