"""Measure asyncruns beside its peers, side by side in one run.

Each row is measured in rounds: in every round each case consumes the same bytes once more, and
must end with the same texts and arguments as all others, or the run fails. Costs are CPU time of
the client, which is kept on one core, while the server, a process of its own, has another. The
first table shows the median of the rounds and their spread; differences under 15 % are noise on
a shared machine.

columns of the first table:
  vs openai   how many times better than openai's event handler
  vs base     how many times the number of the row's base this is
              (the floor is a plain loop of split, typed decode and append)

The second table shows what asyncruns has to reach, what it aims at, and what it got: taken round
by round, and then the median.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

try:
    from benchmarks import capacity, idle, in_process, loopback, stalls, starts
except ModuleNotFoundError as exc:
    sys.exit(f"benchmarks: {exc}; install the peers with: pip install -e '.[bench]'")
from benchmarks.checking import MismatchError
from benchmarks.pinning import pinned
from benchmarks.plots import plot
from benchmarks.report import as_json, as_table, as_verdicts, surroundings
from benchmarks.rounds import measure
from benchmarks.setting import Setting
from benchmarks.targets import reached

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.rounds import Measured, Row

__all__ = ["ROWS", "main"]

ROWS: Final[Sequence[Row]] = (
    *in_process.ROWS,
    *loopback.ROWS,
    *idle.ROWS,
    *stalls.ROWS,
    *starts.ROWS,
    *capacity.ROWS,
)
"""All rows, in the order of the table."""

_ROUNDS: Final = 9
_QUICK_ROUNDS: Final = 1


def main(argv: list[str] | None = None) -> int:
    """Run what the command line asks for; 0 if all peers agreed, 1 if not."""
    options = _parser().parse_args(argv)
    rounds = _QUICK_ROUNDS if options.quick else _ROUNDS
    rows = [row for row in ROWS if not options.only or row.name in options.only]
    began = time.monotonic()
    try:
        with pinned(), Setting(quick=options.quick) as setting:
            measured = [measure(row, rounds, setting) for row in rows]
    except MismatchError as exc:
        print(f"benchmarks: {exc}", file=sys.stderr)
        return 1
    _print(measured, rounds, time.monotonic() - began, quick=options.quick)
    try:
        if options.json:
            numbers = as_json(measured, reached(measured), rounds)
            text = json.dumps(numbers, indent=2, ensure_ascii=False)
            options.json.write_text(text + "\n", encoding="utf-8")
        if options.plot:
            for file in plot(measured, options.plot):
                print(f"plot      {file}")
    except OSError as exc:
        print(f"benchmarks: the numbers are not written: {exc}", file=sys.stderr)
        return 1
    return 0


def _print(measured: Sequence[Measured], rounds: int, seconds: float, *, quick: bool) -> None:
    print(as_table(measured))
    print()
    verdicts = reached(measured)
    if quick:
        print("quick: everything works, and all agree; so few numbers are no measurement")
    elif verdicts:
        print(as_verdicts(verdicts))
        unmet = sum(one.verdict == "NOT MET" for one in verdicts)
        aims = sum(one.verdict == "aim met" for one in verdicts)
        print(f"\n{len(verdicts) - unmet} of {len(verdicts)} met, {aims} of them as aimed at")
    print()
    took = {"rounds": str(rounds), "took": f"{seconds:.0f} s"}
    for name, value in {**surroundings(), **took}.items():
        print(f"{name:<9} {value}")


def _parser() -> argparse.ArgumentParser:
    rows = "\n".join(f"  {row.name:<13} {row.title}, {row.unit}" for row in ROWS)
    examples = (
        "  python -m benchmarks                            everything, in a quarter of an hour\n"
        "  python -m benchmarks --quick                    does it work? in under a minute\n"
        "  python -m benchmarks --only text --only mixed   two rows\n"
        "  python -m benchmarks --json numbers.json        every sample as well\n"
        "  python -m benchmarks --plot plots               the pictures as well"
    )
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        epilog=f"rows:\n{rows}\n\nexamples:\n{examples}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--only",
        action="append",
        metavar="NAME",
        choices=[row.name for row in ROWS],
        help="measure this row only; may be given more than once",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help=f"small streams, in {_QUICK_ROUNDS} round instead of {_ROUNDS}: a smoke run",
    )
    parser.add_argument(
        "--json", metavar="FILE", type=Path, help="write all samples to a file as well"
    )
    parser.add_argument(
        "--plot", metavar="DIR", type=Path, help="draw SVG pictures into a directory as well"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
