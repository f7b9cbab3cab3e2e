"""Arguments to an exit code: the `asyncruns` command."""

from __future__ import annotations

import sys

__all__ = ["main"]

INTERRUPTED = 130
"""The exit code after Ctrl-C: 128 and the number of SIGINT."""


def main() -> int:
    """Run the command line and give its exit code: 0, 1 (it failed), 2 (bad input), 130 (Ctrl-C).

    Nothing heavy is imported before the command is known.
    """
    try:
        from asyncruns.cli.app import run  # noqa: PLC0415 -- an extra, and its absence is explained

        return run()
    except KeyboardInterrupt:
        return INTERRUPTED
    except ModuleNotFoundError as exc:
        package = (exc.name or "").partition(".")[0]
        if package not in {"click", "rich"}:
            raise
        print(  # noqa: T201 -- click, which would print it, may be what is missing
            f"asyncruns: the command line needs {package}: pip install 'asyncruns[cli]'",
            file=sys.stderr,
        )
        return 1
