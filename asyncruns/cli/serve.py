"""`asyncruns serve`: the emulator for other programs, until it is told to stop."""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import click
from rich.text import Text

from asyncruns.cli.console import open_console, printable
from asyncruns.cli.references import ScriptReference
from asyncruns.emulator import Emulator, use_every_tool

if TYPE_CHECKING:
    from rich.console import Console

    from asyncruns.emulator import Request, Script

__all__ = ["serve"]

LARGEST_PORT: Final = 65_535

LOG_SECONDS: Final = 0.1
"""How often answered requests are taken from the emulator's list."""


@click.command(
    epilog="""\b
a script yields what the model does, and receives what its tool calls bring:
  from asyncruns.emulator import Call, Say
  async def script(context):
      output = yield Call("get_weather", {"city": "Oslo"})
      yield Say(f"In Oslo it is {output}.")"""
)
@click.option(
    "--port",
    type=click.IntRange(0, LARGEST_PORT),
    default=0,
    metavar="N",
    help="The port on 127.0.0.1; 0, the default, takes a free one.",
)
@click.option(
    "--script",
    type=ScriptReference(),
    help="What the model does: an async generator function of yours, such as model:script, looked "
    "for in the current directory first. The default uses every tool of a run once and answers.",
)
@click.option(
    "--token-rate",
    type=click.FloatRange(min=0),
    default=0,
    metavar="N",
    help="Deltas per second of each run; 0, the default, is as fast as possible.",
)
@click.option(
    "--api-key",
    metavar="KEY",
    help="The key that every request must bring; without it, any key will do.",
)
@click.option("--log", is_flag=True, help="Print a line to stderr for each request.")
def serve(
    port: int, script: Script | None, token_rate: float, api_key: str | None, log: bool
) -> int:
    """Serve the Runs protocol on 127.0.0.1, with a scripted model, for programs of any kind.

    Prints the base URL, and the environment that leads clients there; then serves until Ctrl-C
    (exit code 130) or SIGTERM (exit code 0). What it is given lives in memory and ends with it.
    """
    emulator = Emulator(
        script or use_every_tool, port=port, api_key=api_key, token_rate=token_rate or None
    )
    try:
        asyncio.run(_serve(emulator, api_key, open_console(stderr=True) if log else None))
    except OSError as exc:
        reason = os.strerror(exc.errno or 0)
        raise click.ClickException(f"cannot listen on port {port}: {reason}") from exc
    return 0


async def _serve(emulator: Emulator, api_key: str | None, log: Console | None) -> None:
    stopped = asyncio.Event()
    with suppress(NotImplementedError):  # an event loop of Windows takes no signals
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    async with emulator:
        _introduce(emulator, api_key)
        while not stopped.is_set():
            _clear(emulator, log)
            with suppress(TimeoutError):
                await asyncio.wait_for(stopped.wait(), LOG_SECONDS)
        _clear(emulator, log)


def _introduce(emulator: Emulator, api_key: str | None) -> None:
    environment = {"OPENAI_BASE_URL": emulator.base_url, "OPENAI_API_KEY": api_key or "any"}
    lines = [f"export {name}={shlex.quote(value)}" for name, value in environment.items()]
    console = open_console()
    console.print(
        Text.assemble(("asyncruns serve", "bold"), f" · {emulator.base_url} · Ctrl-C to stop\n"),
        soft_wrap=True,
    )
    console.print(Text("\n".join(lines)), soft_wrap=True)
    sys.stdout.flush()  # whoever reads a pipe waits for it


def _clear(emulator: Emulator, log: Console | None) -> None:
    """Take the answered requests from the emulator's list, which grows for ever otherwise."""
    if log is not None:
        for request in emulator.requests:
            if request.status is not None:
                log.print(_line(request), soft_wrap=True)
    emulator.requests[:] = [one for one in emulator.requests if one.status is None]


def _line(request: Request) -> Text:
    query = "&".join(f"{name}={value}" for name, value in request.query.items())
    path = f"{request.path}?{query}" if query else request.path
    failed = (request.status or 0) >= 400  # noqa: PLR2004 -- where the error statuses begin
    return Text.assemble(
        (f"{request.status} ", "red" if failed else "green"),
        printable(f"{request.method} {path}"),
        (f" · {request.request_id}", "dim"),
    )
