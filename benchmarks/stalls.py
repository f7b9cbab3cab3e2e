"""The rows of fairness: how long the loop's other tasks wait while streams blast."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import TYPE_CHECKING, Final

from benchmarks.checking import check
from benchmarks.loopback import run_on
from benchmarks.rounds import Row
from benchmarks.server import WHOLE

if TYPE_CHECKING:
    from benchmarks.rounds import Sampler
    from benchmarks.setting import Setting
    from benchmarks.wire import Consume

__all__ = ["ROWS", "stall"]

_CASES: Final = ("naive json", "asyncruns", "asyncruns uvloop", "bytes only")


def stall(streams: int) -> Row:
    """Make the row of so many streams that come as fast as they can, in milliseconds of CPU.

    The loop's turns are counted on the CPU clock, so that other programs on the machine, which
    take the core away now and then, do not count.
    """
    thread = "blast" if streams == 1 else "blasts"

    def prepare(setting: Setting) -> dict[str, Sampler]:
        expected = WHOLE[thread](setting.part).expected

        def sample(case: str) -> float:
            async def consumed(consume: Consume) -> float:
                await consume("short", None)  # connects
                beats = asyncio.create_task(_longest_turn())
                outcomes = await asyncio.gather(*(consume(thread, None) for _ in range(streams)))
                beats.cancel()
                for outcome in outcomes:
                    check(case, outcome, expected)
                return await beats

            return run_on(case, setting.url, consumed) / 1e6

        for case in _CASES if not setting.quick else ():
            sample(case)
        return {case: partial(sample, case) for case in _CASES}

    title = f"worst turn of the loop while {streams} streams blast"
    return Row(
        f"stall {streams}", title.replace("1 streams blast", "1 stream blasts"), "ms", prepare
    )


async def _longest_turn() -> int:
    """Take every turn of the loop until cancelled; the nanoseconds of the longest."""
    longest, last = 0, time.process_time_ns()
    try:
        while True:
            await asyncio.sleep(0)
            now = time.process_time_ns()
            longest, last = max(longest, now - last), now
    except asyncio.CancelledError:
        return longest


ROWS: Final = (stall(1), stall(10))
"""The rows, in the order of the table."""
