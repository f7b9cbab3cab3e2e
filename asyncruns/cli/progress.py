"""Counts to what a person sees of a batch: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from asyncruns.cli.console import is_live, open_console

if TYPE_CHECKING:
    from types import TracebackType

    from asyncruns import PoolCounts

__all__ = ["ProgressView"]

LINE_SECONDS: Final = 10.0
"""Seconds between two lines where there is no bar."""


class ProgressView:
    """Shows on stderr how far a batch of `total` jobs has come, `earlier` of them before."""

    def __init__(self, total: int, earlier: int) -> None:
        self._total = total
        self._earlier = earlier
        self._began = self._said_at = time.monotonic()
        self._console = open_console(stderr=True)
        self._bar: Progress | None = None
        if is_live(self._console):
            self._bar = Progress(
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.description}"),
                TimeRemainingColumn(compact=True),
                console=self._console,
                auto_refresh=False,
            )
            self._task = self._bar.add_task("", total=total, completed=earlier)

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def show(self, counts: PoolCounts, paused_for: float) -> None:
        """Show what is so now."""
        facts = self._facts(counts, paused_for)
        if self._bar is not None:
            done = self._earlier + counts.done
            self._bar.update(self._task, completed=done, description=", ".join(facts))
            self._bar.refresh()
        elif time.monotonic() - self._said_at >= LINE_SECONDS:
            self._said_at = time.monotonic()
            self.say(", ".join((f"{self._earlier + counts.done} of {self._total} done", *facts)))

    def say(self, line: str) -> None:
        """Print a line."""
        self._console.print(Text(line), soft_wrap=True)

    def _facts(self, counts: PoolCounts, paused_for: float) -> list[str]:
        rate = counts.done / max(time.monotonic() - self._began, 0.001)
        facts = [f"{counts.failed} failed", f"{counts.running} running", f"{rate:.1f}/s"]
        return [*facts, f"paused for {paused_for:.0f} s"] if paused_for else facts
