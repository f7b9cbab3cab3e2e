"""A stream to the screen as it comes: a tree that grows on a terminal, lines anywhere else."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from rich.live import Live

from asyncruns.cli.console import Ragged, is_live
from asyncruns.cli.lines import Lines
from asyncruns.cli.tree import draw

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from rich.console import Console, RenderableType

    from asyncruns import Event, RunStream
    from asyncruns.cli.times import Stopwatch

__all__ = ["show"]

FRAME_SECONDS: Final = 0.08


async def show(
    stream: RunStream, console: Console, times: Stopwatch, *takers: Callable[[Event], object]
) -> None:
    """Read a stream to its end and show it as it comes; `takers`, too, get every event.

    On a terminal the picture is gone at the end, so that the caller prints what is to stay; where
    the stream raises, or Ctrl-C ends it, the last picture stays.
    """
    if is_live(console):
        async with _redrawing(stream, console, times):
            await _read(stream, times.take, *takers)
    else:
        with Lines(console, times) as lines:
            await _read(stream, times.take, *takers, lines.take)


async def _read(stream: RunStream, *takers: Callable[[Event], object]) -> None:
    async for event in stream:
        for take in takers:
            take(event)


@asynccontextmanager
async def _redrawing(stream: RunStream, console: Console, times: Stopwatch) -> AsyncGenerator[None]:
    """Draw a stream's run again and again, between its events, while the block runs."""

    def picture() -> RenderableType:
        if stream.run is None:
            return ""
        tree = draw(stream.run, stream.steps, stream.messages, times)
        return Ragged(tree, height=console.height - 1)  # of one that is too high, the end

    with Live(get_renderable=picture, console=console, auto_refresh=False) as live:

        async def redraw() -> None:
            while True:
                live.refresh()
                await asyncio.sleep(FRAME_SECONDS)

        redrawing = asyncio.create_task(redraw())
        try:
            yield
            live.transient = True
        finally:
            redrawing.cancel()
