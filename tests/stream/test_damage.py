"""Streams that were cut, spliced and flipped on their way: snapshots, or an error of our tree."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from asyncruns import Accumulator, AsyncRunsError, RunStream, StreamError
from asyncruns.models import to_json
from tests.core.shapes import RUNS
from tests.stream.house import Follower

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

BODIES = [b"".join(body) for body in RUNS.values()]

places = st.integers(0, max(map(len, BODIES)))
sizes = st.sampled_from([1, 2, 7, 64, 1000, 1 << 20])


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """Pieces of valid streams, joined anywhere, with bits flipped and the end cut off or not."""
    joined = bytearray()
    for _ in range(draw(st.integers(1, 3))):
        body = draw(st.sampled_from(BODIES))
        start, end = sorted((draw(places) % len(body), draw(places) % (len(body) + 1)))
        joined += body[start:end] if draw(st.booleans()) else body[:end]
    for _ in range(draw(st.integers(0, 4)) if joined else 0):
        joined[draw(places) % len(joined)] ^= 1 << draw(st.integers(0, 7))
    return bytes(joined)


def chunks_of(body: bytes, size: int) -> list[bytes]:
    return [body[start : start + size] for start in range(0, len(body), size)]


async def sent(chunks: Sequence[bytes]) -> AsyncGenerator[bytes, None]:
    for chunk in chunks:
        yield chunk


def written(made: Accumulator | RunStream) -> list[bytes]:
    return [to_json(part) for part in (made.run, made.thread, made.steps, made.messages)]


async def read(body: bytes, size: int, *, whole: bool) -> AsyncRunsError | None:
    """Read a damaged stream through a RunStream; what it shows is what its events make."""
    async with RunStream(sent(chunks_of(body, size))) as stream:
        seen = Follower(stream)
        try:
            if whole:
                await stream.until_done()
            else:
                await seen.follow()
        except AsyncRunsError as exc:
            return exc
        finally:
            shown = written(stream)
            assert whole or shown == written(seen.accumulator)
        # An error is missing only where the run has come to its end or its pause.
        assert stream.outcome not in {None, "interrupted"}
        return None


@settings(deadline=None, max_examples=200)
@given(damaged(), sizes, st.booleans())
def test_a_damaged_stream_ends_in_snapshots_or_an_error_of_ours(
    body: bytes, size: int, whole: bool
) -> None:
    error = asyncio.run(read(body, size, whole=whole))
    assert error is None or isinstance(error, StreamError)
