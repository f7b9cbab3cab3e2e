"""Measure asyncruns beside its peers, side by side in one run, and print one table.

Each row is measured in rounds: in every round each case consumes the same bytes once more, and
must end with the same texts and arguments as all others, or the run fails. The table shows the
median of the rounds and their spread; differences under 15 % are noise on a shared machine.

columns:
  openai / it   how many times more openai's event handler costs: higher is better
  it / base     how many times the cost of the row's base this is: lower is better
                (the floor is a plain loop of split, typed decode and append)
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Final

try:
    from benchmarks.in_process import ROWS, MismatchError
except ModuleNotFoundError as exc:
    sys.exit(f"benchmarks: {exc}; install the peers with: pip install -e '.[bench]'")
from benchmarks.report import as_json, as_table, surroundings
from benchmarks.rounds import measure

_ROUNDS: Final = 9
_QUICK_ROUNDS: Final = 3


def main(argv: list[str] | None = None) -> int:
    """Run what the command line asks for; 0 if all peers agreed, 1 if not."""
    options = _parser().parse_args(argv)
    rounds = _QUICK_ROUNDS if options.quick else _ROUNDS
    rows = [row for row in ROWS if not options.only or row.name in options.only]
    try:
        measured = [measure(row, rounds) for row in rows]
    except MismatchError as exc:
        print(f"benchmarks: {exc}", file=sys.stderr)
        return 1
    print(as_table(measured))
    print()
    for name, value in {**surroundings(), "rounds": str(rounds)}.items():
        print(f"{name:<9} {value}")
    if options.json:
        text = json.dumps(as_json(measured, rounds), indent=2, ensure_ascii=False)
        try:
            options.json.write_text(text + "\n", encoding="utf-8")
        except OSError as exc:
            print(f"benchmarks: the samples are not written: {exc}", file=sys.stderr)
            return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    rows = "\n".join(f"  {row.name:<9} {row.title}, {row.unit}" for row in ROWS)
    examples = (
        "  python -m benchmarks                            everything, in about a minute\n"
        "  python -m benchmarks --quick                    fewer rounds, in half a minute\n"
        "  python -m benchmarks --only text --only mixed   two rows\n"
        "  python -m benchmarks --json numbers.json        every sample, for plots and comparisons"
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
        help=f"{_QUICK_ROUNDS} rounds instead of {_ROUNDS}, for a look or a smoke run",
    )
    parser.add_argument(
        "--json", metavar="FILE", type=Path, help="write all samples to a file as well"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
