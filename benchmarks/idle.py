"""Open streams to memory: `python -m benchmarks.idle CASE URL THREAD COUNT` prints KB a stream.

A stream counts with everything that holds it: its connection, its client's share and the task that
waits for its next event: what a library needs for it, where nothing has come yet (the thread
`idle`), and with what it has been told, where a run has begun (`begun`).
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks.loopback import all_open, open_streams, run_on
from benchmarks.rounds import Row
from benchmarks.starts import output_of

if TYPE_CHECKING:
    from benchmarks.bodies import Outcome
    from benchmarks.rounds import Sampler
    from benchmarks.setting import Setting
    from benchmarks.wire import Consume

__all__ = ["ROWS", "main", "memory"]

_STREAMS: Final = 1_000
_QUICK_STREAMS: Final = 100
_WARM: Final = 50
_SETTLE: Final = 0.5
_CASES: Final = ("openai", "azure", "naive json", "asyncruns", "bytes only")
_QUICK_CASES: Final = ("asyncruns", "bytes only")  # each child imports what all need


def memory(thread: str, rounds: int) -> Row:
    """Make the row of the memory that a silent stream takes, in KB."""

    def prepare(setting: Setting) -> dict[str, Sampler]:
        count = _QUICK_STREAMS if setting.quick else _STREAMS
        cases = _QUICK_CASES if setting.quick else _CASES

        def sample(case: str) -> float:
            return float(
                output_of(["-m", "benchmarks.idle", case, setting.url, thread, str(count)])[0]
            )

        return {case: partial(sample, case) for case in cases}

    told = "" if thread == "idle" else ", with a run that has begun"
    title = f"resident memory of one of {_STREAMS:,} idle open streams{told}"
    return Row(thread, title, "KB", prepare, base="bytes only", rounds=rounds)


async def _grown(url: str, thread: str, count: int, consume: Consume) -> float:
    """How many KB so many more streams take, each."""
    tasks: list[asyncio.Future[Outcome | None]] = []

    async def opened(streams: int) -> int:
        before = open_streams(url, thread)
        tasks.extend(asyncio.ensure_future(consume(thread, None)) for _ in range(streams))
        await all_open(url, thread, before + streams, tasks)
        await asyncio.sleep(_SETTLE)
        failed = [task for task in tasks if task.done()]
        if failed:
            await failed[0]
        gc.collect()
        return _resident()

    at_first = await opened(_WARM)
    grown = await opened(count - _WARM) - at_first
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return grown / (count - _WARM)


def _resident() -> int:
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE") // 1024


def main() -> None:
    """Measure one case."""
    _, case, url, thread, count = sys.argv
    print(run_on(case, url, partial(_grown, url, thread, int(count))))


# Memory hardly varies: few rounds are enough.
ROWS: Final = (memory("idle", 3), memory("begun", 1))
"""The rows, in the order of the table."""

if __name__ == "__main__":
    main()
