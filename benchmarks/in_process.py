"""The rows without sockets: bytes in memory to finished objects, on one core."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from benchmarks import bodies, peers
from benchmarks.checking import check, steady
from benchmarks.rounds import Row
from benchmarks.server import WHOLE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from benchmarks.bodies import Body, Outcome
    from benchmarks.peers import Peer
    from benchmarks.rounds import Sampler
    from benchmarks.setting import Setting

__all__ = ["PEERS", "ROWS", "UNTIL_DONE", "frame", "linear", "side_by_side"]

PEERS: Final[Mapping[str, Peer]] = {
    "openai": peers.openai_handler,
    "openai plain": peers.openai_stream,
    "azure": peers.azure_handler,
    "naive json": peers.naive_json,
    "asyncruns": peers.asyncruns_stream,
    "asyncruns core": peers.asyncruns_core,
    "floor": peers.floor,
}
"""Everybody who iterates over a stream in process, by the name in the table."""

UNTIL_DONE: Final[Mapping[str, Peer]] = {
    "openai": peers.openai_until_done,
    "asyncruns": peers.asyncruns_until_done,
}
"""Those who want nothing but the end."""

_CASES_OF_FRAME: Final = ("openai", "asyncruns", "asyncruns core", "floor")  # the others: quadratic

_SIZES: Final = (2_000, 10_000, 50_000, 200_000)
_QUICK_SIZES: Final = (200, 1_000, 5_000)
_SIZES_OF_OPENAI: Final = 2
_LINEAR: Final = ("naive json", "asyncruns")
_FRAME_READ: Final = 16 * 1024


def side_by_side(
    name: str, title: str, make_body: Callable[[int], Body], cases: Mapping[str, Peer] = PEERS
) -> Row:
    """Make a row of all peers over one body, in microseconds an event."""

    def prepare(setting: Setting) -> dict[str, Sampler]:
        body = make_body(setting.part)
        return {case: _per_event(case, peer, body, setting) for case, peer in cases.items()}

    return Row(name, title, "µs/event", prepare, base="floor" if "floor" in cases else None)


def linear(sizes: Sequence[int] = _SIZES) -> Row:
    """Make the row of one string in more and more deltas, in microseconds an event.

    openai, which takes too long for it, only does the first two.
    """

    def prepare(setting: Setting) -> dict[str, Sampler]:
        samplers: dict[str, Sampler] = {}
        for place, size in enumerate(_QUICK_SIZES if setting.quick else sizes):
            body = bodies.text(size)
            for case in ("openai", *_LINEAR)[0 if place < _SIZES_OF_OPENAI else 1 :]:
                samplers[f"{case} {size:,}"] = _per_event(case, PEERS[case], body, setting)
        return samplers

    title = "one string in more and more deltas, read at the end"
    return Row("linear", title, "µs/event", prepare, base=f"asyncruns {sizes[1]:,}")


def frame(size: int = 8 * 1024 * 1024, read: int = _FRAME_READ) -> Row:
    """Make the row of one large frame in small reads, in milliseconds."""

    def prepare(setting: Setting) -> dict[str, Sampler]:
        body = bodies.big_frame(size)
        return {
            case: steady(_run_of(case, PEERS[case], body, read), 1e6, quick=setting.quick)
            for case in _CASES_OF_FRAME
        }

    title = f"one frame of {size >> 20} MB in {read >> 10} KB reads"
    return Row("frame", title, "ms/run", prepare, base="floor")


def _per_event(case: str, peer: Peer, body: Body, setting: Setting) -> Sampler:
    run = _run_of(case, peer, body, bodies.READ)
    return steady(run, 1_000 * body.events, quick=setting.quick)


def _run_of(case: str, peer: Peer, body: Body, read: int) -> Callable[[int], float]:
    """Make what repeats a peer and gives the nanoseconds of one run."""

    def run(repeats: int) -> float:
        watch = peers.Watch()
        for _ in range(repeats):
            outcome = asyncio.run(_consumed(peer, body, read, watch))
            check(case, outcome, body.expected)
        return watch.ns / repeats

    return run


async def _consumed(peer: Peer, body: Body, read: int, watch: peers.Watch) -> Outcome:
    return await peer(body, read, watch)


ROWS: Final = (
    side_by_side("text", "one message in 2,000 text deltas", WHOLE["text"]),
    side_by_side("tools", "4 parallel calls, 500 argument deltas each", WHOLE["tools"]),
    side_by_side(
        "code",
        "code interpreter, 500 input deltas",
        lambda part: bodies.code_interpreter(500 // part),
    ),
    side_by_side("mixed", "281 events: code, search, text, calls", WHOLE["mixed"]),
    side_by_side(
        "until done", "2,000 text deltas, only the end is read", WHOLE["text"], UNTIL_DONE
    ),
    linear(),
    frame(),
)
"""The rows, in the order of the table."""
