"""The rows without sockets: bytes in memory to finished objects, on one core."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from benchmarks import bodies, peers
from benchmarks.rounds import Row

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from benchmarks.bodies import Body, Outcome
    from benchmarks.peers import Peer
    from benchmarks.rounds import Sampler

__all__ = ["PEERS", "ROWS", "MismatchError", "frame", "linear", "side_by_side"]

PEERS: Final[Mapping[str, Peer]] = {
    "openai": peers.openai_handler,
    "naive json": peers.naive_json,
    "asyncruns": peers.asyncruns_stream,
    "asyncruns core": peers.asyncruns_core,
    "floor": peers.floor,
}
"""Everybody who consumes a stream in process, by the name in the table."""

_SAMPLE_NS: Final = 20_000_000  # shorter than that, a sample is repeated: clocks and caches settle
_SIZES: Final = (2_000, 10_000, 50_000, 200_000)
_FRAME_READ: Final = 16 * 1024


class MismatchError(Exception):
    """A peer did not end with the texts and inputs that the body holds."""


def side_by_side(
    name: str, title: str, make_body: Callable[[], Body], cases: Mapping[str, Peer] = PEERS
) -> Row:
    """Make a row of all peers over one body, in microseconds an event."""

    def prepare() -> dict[str, Sampler]:
        body = make_body()
        return {case: _per_event(case, peer, body) for case, peer in cases.items()}

    return Row(name, title, "µs/event", prepare, base="floor")


def linear(sizes: Sequence[int] = _SIZES) -> Row:
    """Make the row of one string in more and more deltas, in microseconds an event."""

    def prepare() -> dict[str, Sampler]:
        return {
            f"asyncruns {size:,}": _per_event("asyncruns", PEERS["asyncruns"], bodies.text(size))
            for size in sizes
        }

    title = "one string in more and more deltas, read at the end"
    return Row("linear", title, "µs/event", prepare, base=f"asyncruns {sizes[1]:,}")


def frame(size: int = 8 * 1024 * 1024, read: int = _FRAME_READ) -> Row:
    """Make the row of one large frame in small reads, in milliseconds."""

    def prepare() -> dict[str, Sampler]:
        body = bodies.big_frame(size)
        cases = {case: peer for case, peer in PEERS.items() if case != "naive json"}
        return {case: _sampler(case, peer, body, read, 1e6) for case, peer in cases.items()}

    title = f"one frame of {size >> 20} MB in {read >> 10} KB reads"
    return Row("frame", title, "ms/run", prepare, base="floor")


def _per_event(case: str, peer: Peer, body: Body) -> Sampler:
    return _sampler(case, peer, body, bodies.READ, 1_000 * body.events)


def _sampler(case: str, peer: Peer, body: Body, read: int, ns_per_unit: float) -> Sampler:
    """Warm a peer up, and repeat it in each sample until the clock is precise."""

    def run(repeats: int) -> float:
        watch = peers.Watch()
        for _ in range(repeats):
            outcome = asyncio.run(_consumed(peer, body, read, watch))
            _check(case, outcome, body.expected)
        return watch.ns / repeats

    run(1)
    repeats = 1 + int(_SAMPLE_NS / run(1))
    return lambda: run(repeats) / ns_per_unit


async def _consumed(peer: Peer, body: Body, read: int, watch: peers.Watch) -> Outcome:
    return await peer(body, read, watch)


def _check(case: str, outcome: Outcome, expected: Outcome) -> None:
    """Raise MismatchError where the outcome is not the one expected, naming what differs."""
    got, wanted = outcome.texts | outcome.inputs, expected.texts | expected.inputs
    for id_ in wanted.keys() | got.keys():
        if got.get(id_) != wanted.get(id_):
            one, other = (repr(values.get(id_))[:80] for values in (got, wanted))
            raise MismatchError(f"{case} ended with another {id_}: {one} instead of {other}")


ROWS: Final = (
    side_by_side("text", "one message in 2,000 text deltas", bodies.text),
    side_by_side("tools", "4 parallel calls, 500 argument deltas each", bodies.parallel_calls),
    side_by_side("code", "code interpreter, 500 input deltas", bodies.code_interpreter),
    side_by_side("mixed", "281 events: code, search, text, calls", bodies.mixed),
    linear(),
    frame(),
)
"""The rows, in the order of the table."""
