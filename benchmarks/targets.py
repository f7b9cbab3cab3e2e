"""Measurements to verdicts: what asyncruns has to reach, and what it aims at.

Each number is taken round by round, of samples that were taken within the same round, and then
the median of the rounds: what slows the machine for a while slows both sides.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from benchmarks.rounds import Measured

__all__ = ["TARGETS", "Reached", "Target", "reached"]


@dataclass(frozen=True)
class Target:
    """One number to reach."""

    title: str
    """What is compared."""
    row: str
    """The row that measures it."""
    must: float
    """What has to be reached."""
    aim: float
    """What is aimed at."""
    against: str | None = None
    """The case that asyncruns is compared with; None where its own number counts."""
    way: Literal["faster", "share", "over", "value"] = "faster"
    """How: times as fast (more is better), or as a share of the other's cost, the cost over it, or
    the number alone (less is better)."""
    case: str = "asyncruns"
    """The case that is asyncruns'."""
    unit: str = "x"
    """What the number is in."""

    @property
    def wants_more(self) -> bool:
        """Whether more is better."""
        return self.way == "faster"


@dataclass(frozen=True)
class Reached:
    """What was reached of a target."""

    target: Target
    rounds: list[float]
    """The number of each round."""

    @property
    def got(self) -> float:
        """The number."""
        return statistics.median(self.rounds)

    @property
    def verdict(self) -> str:
        """Whether it is what must be, and what was aimed at."""
        if self._meets(self.target.aim):
            return "aim met"
        return "must met" if self._meets(self.target.must) else "NOT MET"

    def _meets(self, bound: float) -> bool:
        return self.got >= bound if self.target.wants_more else self.got <= bound


def reached(measured: Iterable[Measured], targets: Iterable[Target] | None = None) -> list[Reached]:
    """Judge every target whose cases were measured."""
    rows = {one.row.name: one for one in measured}
    found: list[Reached] = []
    for target in TARGETS if targets is None else targets:
        one = rows.get(target.row)
        wanted = {target.case} if target.against is None else {target.case, target.against}
        if one is not None and wanted <= one.samples.keys():
            found.append(Reached(target, _by_round(target, one.samples, is_rate=one.row.is_rate)))
    return found


def _by_round(target: Target, samples: Mapping[str, list[float]], *, is_rate: bool) -> list[float]:
    ours = samples[target.case]
    others = ours if target.against is None else samples[target.against]
    pairs = [*zip(ours, others, strict=True)]
    match target.way:
        case "faster":
            return [our / other if is_rate else other / our for our, other in pairs]
        case "share":
            return [our / other for our, other in pairs]
        case "over":
            return [our - other for our, other in pairs]
        case _:
            return ours


TARGETS: Final = (
    Target("text, in process, against openai", "text", 40, 65, "openai"),
    Target("tools, in process, against openai", "tools", 55, 100, "openai"),
    Target("mixed, in process, against openai", "mixed", 50, 80, "openai"),
    Target("text, in process, cost of the floor", "text", 2.2, 1.7, "floor", "share"),
    Target("tools, in process, cost of the floor", "tools", 2.2, 1.7, "floor", "share"),
    Target("mixed, in process, cost of the floor", "mixed", 2.2, 1.7, "floor", "share"),
    Target("until_done, in process, against openai", "until done", 80, 150, "openai"),
    Target("text, loopback, against openai", "loop text", 35, 50, "openai"),
    Target("tools, loopback, against openai", "loop tools", 35, 50, "openai"),
    Target("mixed, loopback, against openai", "loop mixed", 25, 35, "openai"),
    Target(
        "text, loopback, cost of a bare Protocol", "loop text", 2, 1.4, "bare protocol", "share"
    ),
    Target(
        "tools, loopback, cost of a bare Protocol", "loop tools", 2, 1.4, "bare protocol", "share"
    ),
    Target(
        "mixed, loopback, cost of a bare Protocol", "loop mixed", 2, 1.4, "bare protocol", "share"
    ),
    Target("trickle, against openai", "trickle", 5, 9, "openai"),
    Target("trickle, cost of aiohttp's bytes only", "trickle", 1.25, 1.1, "bytes only", "share"),
    Target("1,000 streams at once, against openai", "at once 1000", 18, 26, "openai"),
    Target("an idle open stream", "idle", 35, 29, way="value", unit=" KB"),
    Target(
        "cost of a delta, 200,000 against 10,000",
        "linear",
        1.3,
        1.1,
        "asyncruns 10,000",
        "share",
        "asyncruns 200,000",
    ),
    Target("worst stall of the loop, one stream", "stall 1", 5, 2.5, way="value", unit=" ms"),
    Target("worst stall of the loop, ten streams", "stall 10", 25, 16, way="value", unit=" ms"),
    Target(
        "import, beyond asyncio and msgspec",
        "import",
        30,
        15,
        "asyncio and msgspec",
        "over",
        unit=" ms",
    ),
    Target("cold start, share of openai's", "cold start", 0.2, 0.16, "openai", "share"),
)
"""All of them, in the order of the rows."""
