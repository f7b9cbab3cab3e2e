"""`asyncruns replay`: a recorded stream to what it built, and to what was odd in it."""

from __future__ import annotations

from functools import partial
from typing import IO, TYPE_CHECKING, Final

import click
from rich.text import Text

from asyncruns import Accumulator, EventDecoder, LimitExceededError, Run, StreamError, to_json
from asyncruns.cli.console import Ragged, open_console, printable
from asyncruns.cli.oddities import Oddities, Oddity
from asyncruns.cli.output import print_json
from asyncruns.cli.times import Stopwatch
from asyncruns.cli.tree import draw

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rich.console import Console

    from asyncruns import Event

__all__ = ["replay"]

CHUNK: Final = 64 * 1024
"""How many bytes are read at a time."""


@click.command
@click.argument("file", type=click.File("rb"))
@click.option(
    "--json", "as_json", is_flag=True, help="Print the objects as JSON, and the rest to stderr."
)
def replay(file: IO[bytes], as_json: bool) -> int:
    """Show what a recorded stream has built, and what was odd in it.

    FILE is the body of a text/event-stream as it came, such as `curl --no-buffer` writes it; `-`
    reads it from standard input. A run's bodies may follow one another. The run, its steps and its
    messages are drawn as a tree, or, with --json, printed as the server sent them (as deltas have
    built them, where no end came).

    Then it says what an ordinary stream would not have: events that the protocol does not know,
    deltas without or after their object, ends that are missing or differ from what their deltas
    gave, no `done`, bytes left over.

    Exits 0 if nothing was lost, however odd it is; 1 if something was: an event that cannot be
    read, bytes left over, or a run that neither ends nor pauses.
    """
    accumulator = Accumulator()
    found = _read(file, accumulator, oddities := Oddities(accumulator))
    console = open_console(stderr=as_json)
    if as_json:
        names = ("thread", "run", "steps", "messages")
        print_json(to_json({name: getattr(accumulator, name) for name in names}))
    elif oddities.events:
        run = accumulator.run or Run(id="", status="unknown")
        steps, messages = accumulator.steps, accumulator.messages
        console.print(Ragged(draw(run, steps, messages, Stopwatch(), still=True)))
        console.print()
    _pronounce(console, oddities.events, found)
    return 1 if any(oddity.damaged for oddity in found) else 0


def _read(file: IO[bytes], accumulator: Accumulator, oddities: Oddities) -> list[Oddity]:
    """Fold all events of a file, and give what was odd in them."""
    decoder = EventDecoder()
    try:
        for chunk in iter(partial(file.read, CHUNK), b""):
            _fold(decoder.feed(chunk), accumulator, oddities)
    except LimitExceededError as exc:  # where the next event begins is not known any more
        oddities.lose(exc)
        return oddities.close(b"", unclosed=False)
    before = oddities.events
    _fold(decoder.close(), accumulator, oddities)
    return oddities.close(decoder.leftover, unclosed=oddities.events > before)


def _fold(events: Iterator[Event], accumulator: Accumulator, oddities: Oddities) -> None:
    """Fold events, whatever is wrong with one of them."""
    while True:
        try:
            event = next(events, None)
        except StreamError as exc:
            oddities.lose(exc)
            continue
        if event is None:
            return
        oddities.take(event)
        try:
            accumulator.apply(event)
        except StreamError as exc:
            oddities.lose(exc, event)


def _pronounce(console: Console, events: int, found: Iterable[Oddity]) -> None:
    """Print one line for each oddity, or that there is none."""
    for oddity in found:
        label, style = ("damaged", "bold red") if oddity.damaged else ("odd", "bold yellow")
        sentence = printable(oddity.sentence.replace("\n", " "))
        console.print(Text.assemble((f"{label}: ", style), sentence), soft_wrap=True)
    if not found:
        said = f"nothing odd in {events:,} event{'s' * (events != 1)}"
        console.print(Text(said, "bold green"), soft_wrap=True)
