"""Many runs at once for as long as it is said, and a look at what they have left behind."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import random
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from tests.leaks import Complaints
from tests.soak.jobs import Account, Job, any_script, chance
from tests.stream.house import opened

if TYPE_CHECKING:
    from collections.abc import Callable

WAVE: Final = 5.0
"""Seconds after which a server begins anew: it keeps all runs that it has had."""

STATM: Final = "/proc/self/statm"


@dataclass(frozen=True)
class Left:
    """What the process has, once everything of a wave is closed."""

    tasks: int
    threads: int
    descriptors: int
    objects: int
    """How many objects the garbage collector knows."""
    rss: float
    """MiB of memory."""

    @staticmethod
    def now() -> Left:
        gc.collect()
        with open(STATM) as statm:  # noqa: PTH123 -- no file of ours
            pages = int(statm.read().split()[1])
        return Left(
            tasks=len(asyncio.all_tasks()),
            threads=threading.active_count(),
            descriptors=len(os.listdir("/proc/self/fd")),  # noqa: PTH208 -- the same
            objects=len(gc.get_objects()),
            rss=pages * os.sysconf("SC_PAGE_SIZE") / 2**20,
        )


@dataclass
class Report:
    """The runs, and what was there after each wave."""

    account: Account = field(default_factory=Account)
    left: list[Left] = field(default_factory=list[Left])
    complaints: Complaints = field(default_factory=Complaints)

    def check(self) -> None:
        """Fail unless all runs are accounted for and nothing grows or stays."""
        assert self.account.finished == self.account.started > 0
        assert self.complaints.said == []
        first, *others = self.left
        for later in others:
            assert (later.tasks, later.descriptors) == (first.tasks, first.descriptors), self.left
            assert later.threads <= first.threads, self.left
        # The first waves fill caches, those of the standard library too.
        if len(others) > 2:
            settled = others[len(others) // 2 :]
            assert settled[-1].objects < others[0].objects * 1.05, self.left
            assert settled[-1].rss < others[0].rss * 1.1 + 10, self.left


async def soak(
    *, seconds: float, streams: int, seed: int = 0, tell: Callable[[str], object] = str
) -> Report:
    """Keep so many runs going at once for so long; raises AssertionError at the first wrong one.

    `tell` gets a line after each wave.
    """
    loop, report, dice = asyncio.get_running_loop(), Report(), random.Random(seed)
    ends, log = loop.time() + seconds, logging.getLogger("asyncio")
    log.addHandler(report.complaints)
    try:
        while True:
            report.left.append(Left.now())
            tell(line_of(report))
            if loop.time() >= ends:
                return report
            await _wave(report.account, dice, streams, min(ends, loop.time() + WAVE))
    finally:
        log.removeHandler(report.complaints)


async def _wave(account: Account, dice: random.Random, streams: int, ends: float) -> None:
    loop = asyncio.get_running_loop()
    async with opened(any_script, max_connections=streams) as house:
        house.client = house.client.with_options(timeout=5, max_retries=3)
        house.proxy.plan("", chance(dice), times=float("inf"))

        async def work() -> None:
            while loop.time() < ends:
                await Job(house, dice, account).carry_out()

        async with asyncio.TaskGroup() as group:
            for _ in range(streams):
                group.create_task(work())


def line_of(report: Report) -> str:
    """How it goes, in one line."""
    account, left = report.account, report.left[-1]
    return (
        f"{account.finished:7,} runs, {account.events:9,} events, {account.recovered:7,} recovered;"
        f" left: {left.tasks} task, {left.threads} threads, {left.descriptors} descriptors,"
        f" {left.objects:,} objects, {left.rss:.0f} MiB"
    )
