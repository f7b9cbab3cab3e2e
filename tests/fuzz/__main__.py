"""Search for inputs that break a promise: `python -m tests.fuzz [target …] [--seconds N]`.

Guided by coverage (atheris, of the extra `dev`), from the seeds in this directory, each target in
a process of its own. Ends with an error, and with the input in a file of the current directory or
of `--found`, at the first that breaks one.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

MAX_INPUT: Final = 8192
"""Bytes of the longest input that is tried."""


def main() -> int:
    """Carry out the command line; gives the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="target", help="stream, object (all)")
    parser.add_argument("--seconds", type=int, default=60, help="for each target (%(default)s)")
    parser.add_argument("--corpus", type=Path, help="a directory for the inputs that are new")
    parser.add_argument("--found", type=Path, default=Path(), help="one for those that break it")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        for target in given.targets or ("stream", "object"):
            corpus = (given.corpus or Path(temporary)) / target
            environment = {**os.environ, "FUZZ_TARGET": target}
            options = [f"-max_total_time={given.seconds}", f"-max_len={MAX_INPUT}"]
            options.append(f"-artifact_prefix={given.found.resolve()}/{target}-")
            command = [sys.executable, "-m", "tests.fuzz.target", str(corpus), *options]
            status = subprocess.run(command, env=environment, check=False).returncode
            if status:
                return status
    return 0


if __name__ == "__main__":
    sys.exit(main())
