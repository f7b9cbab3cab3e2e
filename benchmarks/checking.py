"""Outcomes and clocks to samples that can be trusted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.bodies import Outcome
    from benchmarks.rounds import Sampler

__all__ = ["MismatchError", "check", "steady"]

_SAMPLE_NS: Final = 20_000_000  # shorter than that, a sample is repeated: clocks and caches settle


class MismatchError(Exception):
    """A peer did not do what the others did."""


def check(case: str, outcome: Outcome | None, expected: Outcome) -> None:
    """Raise MismatchError where the outcome is not the one expected, naming what differs.

    None is the outcome of those who only read bytes.
    """
    if outcome is None:
        return
    got, wanted = outcome.texts | outcome.inputs, expected.texts | expected.inputs
    for id_ in wanted.keys() | got.keys():
        if got.get(id_) != wanted.get(id_):
            one, other = (repr(values.get(id_))[:80] for values in (got, wanted))
            raise MismatchError(f"{case} ended with another {id_}: {one} instead of {other}")


def steady(run: Callable[[int], float], ns_per_unit: float, *, quick: bool = False) -> Sampler:
    """Make a sampler of what gives the nanoseconds of one run in so many.

    It is warm, and long enough; if `quick`, neither.
    """
    if quick:
        return lambda: run(1) / ns_per_unit
    run(1)
    repeats = 1 + int(_SAMPLE_NS / run(1))
    return lambda: run(repeats) / ns_per_unit
