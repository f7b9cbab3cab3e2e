"""Frames to snapshots in one step: what an ordinary frame needs, found by its first line.

Stands for `events.decode_block` and `Accumulator.apply`, whose layers cost more than their work;
that both ways end the same is a law among the tests.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

from asyncruns.accumulator import Accumulator
from asyncruns.events import (
    ORDINARY,
    DoneEvent,
    OnDemand,
    ThreadMessageCompleted,
    ThreadMessageDelta,
    ThreadMessageIncomplete,
    ThreadRunStepDelta,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncruns.events import Event

__all__ = ["FOLDING", "MESSAGE_ENDS", "deferrable"]

MESSAGE_ENDS: Final = (ThreadMessageCompleted, ThreadMessageIncomplete)
"""The events whose text is held against what deltas have made, before it replaces that."""


Folding: TypeAlias = (
    "tuple[bytes, Callable[..., Event], Callable[[bytes], Any], Callable[[Accumulator, Any], None]]"
)
"""What a frame begins with up to its data, its class, its decode, its fold."""


def _folding_of(head: bytes) -> Folding | None:
    reader = ORDINARY[head]
    if reader is None:
        return None
    kind, decode, _ = reader
    fold = Accumulator.folds.get(kind)
    if fold is None:
        return None
    return head + b"\ndata: ", kind, decode, fold


FOLDING: Final = OnDemand(_folding_of)
"""For the first line of each ordinary frame that is folded, how to fold it."""

# Not folded on the spot, and asked for in every run; a None that is made on demand is not kept.
FOLDING.update((b"event: " + kind.event.encode(), None) for kind in (*MESSAGE_ENDS, DoneEvent))

NO_FOLDING: Final[Folding] = (b"", DoneEvent, bytes, Accumulator.apply)
"""That of no frame: no block can be shortened by its beginning."""

_OPENINGS: Final = tuple(
    b"event: " + kind.event.encode() + b'\ndata: {"id":"'
    for kind in (ThreadMessageDelta, ThreadRunStepDelta)
)


def deferrable(block: bytes) -> bytes | None:
    """The id of the object that a delta belongs to; None for what has to be decoded at once."""
    for opening in _OPENINGS:
        if block.startswith(opening):
            start = len(opening)
            return block[start : block.find(b'"', start)]
    return None
