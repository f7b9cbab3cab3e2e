"""`python -m asyncruns.cli`: the same as `asyncruns`."""

import sys

from asyncruns.cli import main

if __name__ == "__main__":
    sys.exit(main())
