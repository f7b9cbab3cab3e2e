"""Rows to numbers: samples in interleaved rounds, and their medians.

A row measures one thing for several cases (peers, or sizes). In each round every case gives one
sample, each round starts with another case, so that a slow minute of the machine hits all of them.
"""

from __future__ import annotations

import gc
import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.setting import Setting

__all__ = ["Measured", "Row", "Sampler", "measure"]

Sampler: TypeAlias = Callable[[], float]
"""Gives one sample, in the row's unit."""


@dataclass(frozen=True)
class Row:
    """One thing to measure."""

    name: str
    """What `--only` calls it."""
    title: str
    """What is measured, in a line."""
    unit: str
    """The unit of its samples, short."""
    prepare: Callable[[Setting], dict[str, Sampler]]
    """Makes the cases ready, warm and checked; called once, right before the first round."""
    base: str | None = None
    """The case whose cost the others are multiples of; None where that says nothing."""
    rounds: int | None = None
    """How many rounds are enough, where that is less than the others need."""
    is_rate: bool = False
    """Whether more is better; otherwise the samples are costs."""


@dataclass(frozen=True)
class Measured:
    """A row's samples."""

    row: Row
    samples: dict[str, list[float]]
    """The samples of each case."""

    def median(self, case: str) -> float:
        """Give the median of a case."""
        return statistics.median(self.samples[case])

    def ratio(self, case: str, other: str | None) -> float | None:
        """Tell how many times the number of another case this one has; None if there is none."""
        if other is None or other not in self.samples:
            return None
        return self.median(case) / self.median(other)


def measure(row: Row, rounds: int, setting: Setting) -> Measured:
    """Measure a row in so many rounds, with a line about the progress on stderr."""
    _say(f"{row.name}: warming up")
    samplers = row.prepare(setting)
    rounds = min(rounds, row.rounds or rounds)
    samples: dict[str, list[float]] = {case: [] for case in samplers}
    for round_ in range(rounds):
        _say(f"{row.name}: round {round_ + 1} of {rounds}")
        for case in _rotated(list(samplers), round_):
            if not setting.quick:
                gc.collect()
            samples[case].append(samplers[case]())
    _say("")
    return Measured(row, samples)


def _rotated(cases: Sequence[str], by: int) -> list[str]:
    by %= len(cases)
    return [*cases[by:], *cases[:by]]


def _say(line: str) -> None:
    """Write over the last progress line; nothing where nobody watches."""
    if sys.stderr.isatty():
        print(f"\r\033[K{line}", end="", file=sys.stderr, flush=True)
