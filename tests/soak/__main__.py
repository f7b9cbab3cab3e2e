"""Runs without end through a line that fails: `python -m tests.soak [--seconds N] [--streams N]`.

Ends with an error at the first run that is lost, doubled or ends in a foreign exception, and where
memory, tasks, threads, connections or files are left.
"""

from __future__ import annotations

import argparse
import asyncio
import sys

from tests.soak.soak import soak


def main() -> None:
    """Carry out the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=20, help="how long (%(default)s)")
    parser.add_argument("--streams", type=int, default=200, help="runs at once (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="for the faults (%(default)s)")
    given = parser.parse_args()
    report = asyncio.run(
        soak(seconds=given.seconds, streams=given.streams, seed=given.seed, tell=print_line)
    )
    for outcome, count in report.account.outcomes.most_common():
        print_line(f"{count:7,} {outcome}")
    report.check()
    print_line(f"all {report.account.started:,} runs are accounted for, and nothing is left")


def print_line(line: str) -> None:
    """Print at once, for somebody who watches."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
