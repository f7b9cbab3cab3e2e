"""The row of live streams that one core can hold while every event comes in time."""

from __future__ import annotations

import statistics
import time
from functools import partial
from typing import TYPE_CHECKING, Final

from benchmarks.loopback import play, run_on
from benchmarks.peers import Watch
from benchmarks.rounds import Row

if TYPE_CHECKING:
    from benchmarks.rounds import Sampler
    from benchmarks.setting import Setting
    from benchmarks.wire import Consume

__all__ = ["LIMIT", "ROWS", "capacity", "held"]

LIMIT: Final = 0.05
"""Seconds from the server's sending to the consuming loop that 99 of 100 events may take."""

_CASES: Final = {
    "openai": 40,
    "azure": 60,
    "naive json": 120,
    "asyncruns": 200,
    "asyncruns uvloop": 200,
}
_STEP: Final = 1.25
_MOST: Final = 1_000


def capacity() -> Row:
    """Make the row of streams with 25 events a second each, as many as are delivered in time."""

    def prepare(setting: Setting) -> dict[str, Sampler]:
        def sample(case: str) -> float:
            return float(_most(case, setting))

        return {case: partial(sample, case) for case in _CASES}

    title = "live streams of 25 events/s one core holds, p99 of delivery under 50 ms"
    return Row("capacity", title, "streams", prepare, base="openai", rounds=1, is_rate=True)


def _most(case: str, setting: Setting) -> int:
    """Try more and more streams until they come too late, or fewer until they are in time."""
    if setting.quick:
        held(case, setting.url, 5)
        return 5
    streams = _CASES[case]
    if _in_time(case, setting.url, streams):
        while streams < _MOST and _in_time(case, setting.url, int(streams * _STEP)):
            streams = int(streams * _STEP)
        return streams
    while streams > 1:
        streams = int(streams / _STEP)
        if _in_time(case, setting.url, streams):
            break
    return streams


def _in_time(case: str, url: str, streams: int) -> bool:
    """Whether so many are delivered in time, once in two tries: a shared machine stops at times."""
    return any(held(case, url, streams) < LIMIT for _ in range(2))


def held(case: str, url: str, streams: int) -> float:
    """Consume so many streams; 99 of 100 events took at most the seconds that are given."""

    async def consumed(consume: Consume) -> float:
        late: list[float] = []

        def note(piece: str) -> None:
            late.append(time.monotonic() - float(piece))

        consuming = [consume("stamped", note) for _ in range(streams)]
        await play(url, "stamped", consuming, Watch())
        return statistics.quantiles(late, n=100)[98]

    return run_on(case, url, consumed)


ROWS: Final = (capacity(),)
"""The rows, in the order of the table."""
