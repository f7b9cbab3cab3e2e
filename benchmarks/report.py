"""Numbers to a table and to JSON, with the machine and the versions that gave them."""

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

__all__ = ["as_json", "as_table", "surroundings"]

_PEER: Final = "openai"
_NUMBERS: Final = range(3, 7)  # the columns that are numbers
_PACKAGES: Final = ("asyncruns", "msgspec", "aiohttp", "openai", "pydantic")


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
    header = ("row", "case", "unit", "median", "min to max", f"{_PEER} / it", "it / base", "base")
    lines = [header, *(line for one in measured for line in _lines(one))]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    lines.insert(1, tuple("-" * width for width in widths))
    return "\n".join(_aligned(line, widths) for line in lines)


def as_json(measured: Iterable[Measured], rounds: int) -> dict[str, Any]:
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
    return {**surroundings(), "rounds": rounds, "rows": rows}


def _lines(one: Measured) -> Iterable[tuple[str, ...]]:
    for case, samples in one.samples.items():
        against = one.ratio(_PEER, case) if _PEER in one.samples else None
        yield (
            one.row.name,
            case,
            one.row.unit,
            _number(one.median(case)),
            f"{_number(min(samples))} to {_number(max(samples))}",
            "" if against is None or case == _PEER else f"{against:.1f}x",
            f"{one.ratio(case, one.row.base):.2f}x",
            one.row.base,
        )


def _aligned(line: Sequence[str], widths: Sequence[int]) -> str:
    """Words to the left, numbers to the right."""
    cells = [
        f"{cell:>{width}}" if at in _NUMBERS else f"{cell:<{width}}"
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
