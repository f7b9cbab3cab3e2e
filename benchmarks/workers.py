"""Measure workers that share a queue: jobs a second, memory, and how soon a job goes on elsewhere.

It starts a PostgreSQL of its own, a Runs server in this process, and three workers in processes of
their own. Each job is a run with three tool calls in two rounds, on a new thread.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks.report import surroundings
from tests.workers.cluster import running_cluster
from tests.workers.fleet import CALLS, World, world

if TYPE_CHECKING:
    from asyncio.subprocess import Process

_WORKERS: Final = 3
_CONCURRENCY: Final = 10
_SILENCE: Final = 5.0
"""Seconds without a heartbeat after which a worker counts as dead."""
_PACE: Final = 3.0
"""Seconds of a tool call during which its worker is killed."""
_KILLS: Final = 5
_QUICK_KILLS: Final = 1


async def measured(address: str, jobs: int, kills: int) -> list[tuple[str, str]]:
    """Measure all of it: what, and how much."""
    with tempfile.TemporaryDirectory() as folder:
        async with world(address, Path(folder) / "journal") as here:
            return [*await _throughput(here, jobs), *await _delays(here, kills)]


async def _throughput(here: World, jobs: int) -> list[tuple[str, str]]:
    here.pace = 0
    workers = [await _start(here) for _ in range(_WORKERS)]
    await _finished(here, _WORKERS * _CONCURRENCY)  # imports, connections
    before = _memory(workers)
    began = time.perf_counter()
    await _finished(here, jobs)
    rate = jobs / (time.perf_counter() - began)
    after = _memory(workers)
    await _stop(workers)
    return [
        ("throughput", f"{rate:.1f} jobs a second, {rate * CALLS:.1f} tool calls"),
        ("memory", f"{before:.1f} MB a worker, and {after:.1f} MB {jobs} jobs later"),
    ]


async def _delays(here: World, kills: int) -> list[tuple[str, str]]:
    """How long the jobs of a worker wait for another, which is there already."""
    here.pace = _PACE
    lines: list[tuple[str, str]] = []
    for name, number in (("kill -9", signal.SIGKILL), ("SIGTERM", signal.SIGTERM)):
        samples = [await _delay(here, number) for _ in range(kills)]
        median = f"{statistics.median(samples):.1f} s until another worker has the job"
        lines.append((name, f"{median} ({min(samples):.1f} to {max(samples):.1f})"))
    return lines


async def _delay(here: World, number: signal.Signals) -> float:
    leaving = await _start(here)
    (key,) = await here.submit(1)
    await here.started([key])
    await asyncio.sleep(_PACE / 3)  # into the first tool calls
    staying = await _start(here)
    began = time.perf_counter()
    leaving.send_signal(number)
    while (await here.queue.status(key)).worker != here.name_of(staying):  # noqa: ASYNC110 -- it is another process that writes it
        await asyncio.sleep(0.02)
    took = time.perf_counter() - began
    await here.ended([key])
    await _stop([leaving, staying])
    return took


async def _start(here: World) -> Process:
    return await here.start("--silence", str(_SILENCE), "--concurrency", str(_CONCURRENCY))


async def _stop(workers: list[Process]) -> None:
    for worker in workers:
        if worker.returncode is None:
            worker.terminate()
        await worker.wait()


async def _finished(here: World, jobs: int) -> None:
    await here.ended(await here.submit(jobs))


def _memory(workers: list[Process]) -> float:
    """The resident memory of a worker, in MB: the median."""
    statuses = [Path(f"/proc/{worker.pid}/status").read_text().splitlines() for worker in workers]
    kilobytes = [
        int(line.split()[1]) for lines in statuses for line in lines if line.startswith("VmRSS")
    ]
    return statistics.median(kilobytes) / 1000


def main(argv: list[str] | None = None) -> int:
    """Measure, and print what came out."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.workers", description=__doc__)
    parser.add_argument("--jobs", type=int, default=300, help="how many jobs; 300 unless given")
    parser.add_argument("--quick", action="store_true", help="one kill instead of five")
    options = parser.parse_args(argv)
    kills = _QUICK_KILLS if options.quick else _KILLS
    with running_cluster() as cluster:
        for name, value in asyncio.run(measured(cluster.empty_database(), options.jobs, kills)):
            print(f"{name:<11} {value}")
    print(f"{'silence':<11} {_SILENCE:g} s, {_WORKERS} workers of {_CONCURRENCY} slots each")
    for name, value in surroundings().items():
        print(f"{name:<11} {value}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
