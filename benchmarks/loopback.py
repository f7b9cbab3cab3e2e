"""The rows over sockets: one client in this process, one server on the other core."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

import uvloop

from benchmarks import wire
from benchmarks.checking import check, steady
from benchmarks.peers import Watch
from benchmarks.rounds import Row
from benchmarks.server import WHOLE, paced_body
from benchmarks.setting import ask

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence

    from benchmarks.bodies import Outcome
    from benchmarks.rounds import Sampler
    from benchmarks.setting import Setting
    from benchmarks.wire import Consume, WirePeer

__all__ = [
    "PEERS",
    "ROWS",
    "all_open",
    "at_once",
    "one_by_one",
    "open_streams",
    "play",
    "run_on",
    "trickle",
]

T = TypeVar("T")

PEERS: Final[Mapping[str, WirePeer]] = {
    "openai": wire.openai_handler,
    "openai plain": wire.openai_stream,
    "azure": wire.azure_handler,
    "naive json": wire.naive_json,
    "asyncruns": wire.asyncruns_stream,
    "asyncruns uvloop": wire.asyncruns_stream,
    "asyncruns core": wire.asyncruns_core,
    "until done": wire.asyncruns_until_done,
    "bytes only": wire.aiohttp_bytes,
    "aiohttp floor": wire.aiohttp_floor,
    "bare protocol": wire.bare_protocol,
    "bare uvloop": wire.bare_protocol,
}
"""Everybody who consumes a stream over HTTP, by the name in the table."""

_TRICKLED: Final = 20
_MANY: Final = (1, 10, 100, 1_000)
_FEW: Final = 10
_ROUNDS_OF_MANY: Final = 3  # openai takes the better part of a minute for each
_CASES_OF_MANY: Final = ("openai", "naive json", "asyncruns", "bytes only")
_CASES_OF_TRICKLE: Final = (
    *("openai", "azure", "naive json", "asyncruns", "asyncruns uvloop"),
    *("asyncruns core", "bytes only", "aiohttp floor", "bare protocol"),
)
_PAUSE: Final = 0.01
_SETTLE: Final = 0.2


def one_by_one(name: str, thread: str, title: str) -> Row:
    """Make a row of all peers, each consuming one stream after the other, its connection warm."""

    def prepare(setting: Setting) -> dict[str, Sampler]:
        body = WHOLE[thread](setting.part)

        def run(case: str, repeats: int) -> float:
            async def consumed(consume: Consume) -> int:
                await consume("short", None)  # connects
                watch = Watch()
                for _ in range(repeats):
                    with watch:
                        outcome = await consume(thread, None)
                    check(case, outcome, body.expected)
                return watch.ns

            return run_on(case, setting.url, consumed) / repeats

        unit = 1_000 * body.events
        return {case: steady(partial(run, case), unit, quick=setting.quick) for case in PEERS}

    return Row(name, title, "µs/event", prepare, base="bare protocol")


def at_once(streams: int) -> Row:
    """Make the row of so many streams at once, opened and read to their ends."""

    def prepare(setting: Setting) -> dict[str, Sampler]:
        body = WHOLE["chat"](setting.part)
        count = min(streams, 50) if setting.quick else streams

        def run(case: str, repeats: int) -> float:
            async def consumed(consume: Consume) -> int:
                watch = Watch()
                for _ in range(repeats):
                    with watch:
                        outcomes = await asyncio.gather(
                            *(consume("chat", None) for _ in range(count))
                        )
                    _check_all(case, outcomes, body.expected)
                return watch.ns

            return run_on(case, setting.url, consumed) / repeats

        def sampler(case: str) -> Sampler:
            # Many streams are long enough for one sample, and take long for the slowest peer.
            quick = setting.quick or streams > _FEW
            seconds = steady(partial(run, case), 1e9, quick=quick)
            return lambda: count * body.events / seconds()

        return {case: sampler(case) for case in _CASES_OF_MANY}

    title = f"{streams:,} streams of 121 events at once, from connecting on"
    name, rounds = f"at once {streams}", _ROUNDS_OF_MANY if streams >= _MANY[-1] else None
    return Row(name, title, "events/s", prepare, base="openai", rounds=rounds, is_rate=True)


def trickle(thread: str = "trickle", rounds: int | None = None) -> Row:
    """Make the row of slow streams: each event is a read of its own, as in production.

    Those of `apart` wake the client for each event; those of `trickle` tick together.
    """

    def prepare(setting: Setting) -> dict[str, Sampler]:
        body = paced_body(thread, setting.part)

        def sample(case: str) -> float:
            async def consumed(consume: Consume) -> int:
                watch = Watch()
                streams = [consume(thread, None) for _ in range(_TRICKLED)]
                outcomes = await play(setting.url, thread, streams, watch)
                _check_all(case, outcomes, body.expected)
                return watch.ns

            return run_on(case, setting.url, consumed) / (1_000 * _TRICKLED * body.events)

        return {case: partial(sample, case) for case in _CASES_OF_TRICKLE}

    how = "each at a moment of its own" if thread == "apart" else "all of them at each tick"
    title = f"{_TRICKLED} streams at once, an event every 20 ms, {how}"
    return Row(thread, title, "µs/event", prepare, base="bytes only", rounds=rounds)


async def play(
    url: str, thread: str, streams: Sequence[Awaitable[Outcome | None]], watch: Watch
) -> list[Outcome | None]:
    """Open all streams of a paced thread, let them go, and consume them on the watch."""
    tasks = [asyncio.ensure_future(stream) for stream in streams]
    try:
        await all_open(url, thread, len(tasks), tasks)
        await asyncio.sleep(_SETTLE)
        ask(url, "POST", f"/go/{thread}")
        with watch:
            return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()


async def all_open(
    url: str, thread: str, streams: int, tasks: Iterable[asyncio.Future[Outcome | None]]
) -> None:
    """Wait until a silent thread has so many open streams, or a task fails: they read no end."""
    while open_streams(url, thread) < streams:
        await asyncio.sleep(_PAUSE)
        if any(task.done() for task in tasks):
            break


def open_streams(url: str, thread: str) -> int:
    """Ask the server how many streams of a thread are open."""
    return int(ask(url, "GET", f"/waiting/{thread}"))


def run_on(case: str, url: str, consumed: Callable[[Consume], Coroutine[Any, Any, T]]) -> T:
    """Run something with the client of a case, on a loop of the kind that its name says."""

    async def main() -> T:
        async with PEERS[case](url) as consume:
            return await consumed(consume)

    factory = uvloop.new_event_loop if case.endswith("uvloop") else None
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(main())


def _check_all(case: str, outcomes: Iterable[Outcome | None], expected: Outcome) -> None:
    for outcome in outcomes:
        check(case, outcome, expected)


ROWS: Final = (
    one_by_one("loop text", "text", "2,000 text deltas over HTTP, a chunk an event"),
    one_by_one("loop tools", "tools", "4 parallel calls, 500 deltas each, over HTTP"),
    one_by_one("loop mixed", "mixed", "281 mixed events over HTTP"),
    trickle(),
    trickle("apart", _ROUNDS_OF_MANY),
    *map(at_once, _MANY),
)
"""The rows, in the order of the table."""
