"""Numbers to tables and to JSON, with the machine and the versions that gave them."""

from __future__ import annotations

import os
import platform
import time
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from benchmarks.rounds import Measured
    from benchmarks.targets import Reached

__all__ = ["as_json", "as_table", "as_verdicts", "surroundings"]

_PEER: Final = "openai"
_PACKAGES: Final = ("asyncruns", "msgspec", "aiohttp", "openai", "azure-ai-agents", "uvloop")


def surroundings() -> dict[str, str]:
    """Tell what the numbers depend on."""
    return {
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "machine": f"{_processor()}, {os.cpu_count()} cores, {platform.system()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "packages": ", ".join(f"{package} {version(package)}" for package in _PACKAGES),
    }


def as_table(measured: Iterable[Measured]) -> str:
    """Lay out all rows as one table of plain text."""
    header = ("row", "case", "unit", "median", "min to max", f"vs {_PEER}", "vs base", "base")
    lines = [line for one in measured for line in _lines(one)]
    return _laid_out(header, lines, numbers=range(3, 7))


def as_verdicts(verdicts: Iterable[Reached]) -> str:
    """Lay out what was to be reached, and what was, as one table of plain text."""
    header = ("asyncruns", "must", "aim", "got", "min to max", "")
    lines = [
        (
            one.target.title,
            _bound(one.target.must, one),
            _bound(one.target.aim, one),
            f"{_number(one.got)}{one.target.unit}",
            f"{_number(min(one.rounds))} to {_number(max(one.rounds))}",
            one.verdict,
        )
        for one in verdicts
    ]
    return _laid_out(header, lines, numbers=range(1, 5))


def as_json(
    measured: Iterable[Measured], verdicts: Iterable[Reached], rounds: int
) -> dict[str, Any]:
    """Give everything measured, every sample included, as plain JSON types."""
    rows = [
        {
            "name": one.row.name,
            "title": one.row.title,
            "unit": one.row.unit,
            "base": one.row.base,
            "cases": {
                case: {"median": one.median(case), "samples": samples}
                for case, samples in one.samples.items()
            },
        }
        for one in measured
    ]
    judged = [
        {
            "title": one.target.title,
            "must": one.target.must,
            "aim": one.target.aim,
            "got": one.got,
            "rounds": one.rounds,
            "verdict": one.verdict,
        }
        for one in verdicts
    ]
    return {**surroundings(), "rounds": rounds, "rows": rows, "targets": judged}


def _lines(one: Measured) -> Iterable[tuple[str, ...]]:
    for case, samples in one.samples.items():
        against, base = one.ratio(case, _PEER), one.ratio(case, one.row.base)
        if against is not None and not one.row.is_rate:
            against = 1 / against
        yield (
            one.row.name,
            case,
            one.row.unit,
            _number(one.median(case)),
            f"{_number(min(samples))} to {_number(max(samples))}",
            "" if against is None or case == _PEER else f"{against:.1f}x",
            "" if base is None else f"{base:.2f}x",
            one.row.base or "",
        )


def _bound(bound: float, one: Reached) -> str:
    return f"{'≥' if one.target.wants_more else '≤'} {bound:g}{one.target.unit}"


def _laid_out(header: tuple[str, ...], lines: Sequence[tuple[str, ...]], numbers: range) -> str:
    """Lay out a table whose columns in `numbers` are numbers."""
    widths = [max(map(len, column)) for column in zip(header, *lines, strict=True)]
    rule = tuple("-" * width for width in widths)
    return "\n".join(_aligned(line, widths, numbers) for line in (header, rule, *lines))


def _aligned(line: Sequence[str], widths: Sequence[int], numbers: range) -> str:
    """Words to the left, numbers to the right."""
    cells = [
        f"{cell:>{width}}" if at in numbers else f"{cell:<{width}}"
        for at, (cell, width) in enumerate(zip(line, widths, strict=True))
    ]
    return "  ".join(cells).rstrip()


def _number(value: float) -> str:
    return f"{value:,.2f}"


def _processor() -> str:
    """The processor's name, where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
