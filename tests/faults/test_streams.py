"""Faults that have no row: at each event in turn, for ever, and larger than memory."""

from __future__ import annotations

import asyncio
import resource
from typing import TYPE_CHECKING, Any

import pytest

from asyncruns import AsyncRunsError, LimitExceededError, StreamInterrupted
from asyncruns.emulator import Fault
from tests.faults.world import BOUND, CALLS, SAID, followed, opened

if TYPE_CHECKING:
    from asyncruns import RunStream
    from tests.faults.world import World

pytestmark = pytest.mark.anyio

EVENTS = 19
"""How many events the first stream has."""

LARGE = 512 * 1024**2
MIB = 1024**2


def streamed(world: World) -> RunStream:
    return world.client.runs.stream(**world.creation, **world.streaming, toolset=world.toolset)


@pytest.mark.parametrize("kind", ["duplicate", "drop", "reorder", "invalid_json", "nul"])
async def test_whichever_event_it_is_the_end_is_the_server_s(kind: Any) -> None:
    async with opened(recovers=True) as world:
        emulator = world.emulator
        for place in range(EVENTS - 1):
            world.thread = emulator.add_thread()["id"]
            world.asked.clear()
            emulator.requests.clear()
            emulator.faults = [Fault(kind, "runs.stream", after_events=place)]
            text = await followed(world, streamed(world))
            assert text.removeprefix("replaced ") == SAID
            assert world.asked == ["Oslo"]
            assert emulator.requests[0].fault is not None


LASTING = """
fault        | stream                | submit                | poll               | attach
refuse       | APIConnectionError    | APIConnectionError    | RunTimeoutError    | StreamInterrupted
reset        | AmbiguousRequestError | AmbiguousRequestError | RunTimeoutError    | StreamInterrupted
close        | AmbiguousRequestError | AmbiguousRequestError | RunTimeoutError    | StreamInterrupted
stall        | AmbiguousRequestError | AmbiguousRequestError | RunTimeoutError    | StreamInterrupted
truncate     | StreamInterrupted     | StreamInterrupted     | RunTimeoutError    | StreamInterrupted
garbage      | AmbiguousRequestError | AmbiguousRequestError | RunTimeoutError    | StreamInterrupted
html         | APIStatusError        | APIStatusError        | APIStatusError     | StreamInterrupted
json         | APIStatusError        | APIStatusError        | APIStatusError     | StreamInterrupted
status       | InternalServerError   | InternalServerError   | RunTimeoutError    | StreamInterrupted
redirect     | APIStatusError        | APIStatusError        | APIStatusError     | StreamInterrupted
bomb         | StreamInterrupted     | StreamInterrupted     | LimitExceededError | StreamInterrupted
giant_line   | StreamInterrupted     | StreamInterrupted     | LimitExceededError | StreamInterrupted
invalid_json | StreamInterrupted     | StreamInterrupted     | APIStatusError     | StreamInterrupted
nul          | StreamInterrupted     | StreamInterrupted     | APIStatusError     | StreamInterrupted
"""
LINES = [[cell.strip() for cell in line.split("|")] for line in LASTING.strip().splitlines()]
CELLS = [
    (row[0], call, told)
    for row in LINES[1:]
    for call, told in zip(LINES[0][1:], row[1:], strict=True)
]


@pytest.mark.parametrize(("kind", "call", "told"), CELLS)
async def test_what_fails_for_ever_ends_in_an_error(kind: Any, call: str, told: str) -> None:
    """All requests fail, the repair's own, too: within the limits that were set it is given up."""
    async with (
        asyncio.timeout(BOUND),
        opened(recovers=True, is_patient=kind != "stall") as world,
    ):
        world.patience = 0.3
        world.deadline = 0.3 if told == "RunTimeoutError" else BOUND
        world.has_key = False

        def arm() -> None:
            world.emulator.faults = [Fault(kind, count=None if kind != "refuse" else 1)]

        with pytest.raises(AsyncRunsError) as caught:
            await CALLS[call].make(world, arm)
        assert type(caught.value).__name__ == told
        assert not world.asked


def peak() -> int:
    """The most bytes that this process has had in memory so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@pytest.mark.parametrize("kind", ["bomb", "giant_line"])
@pytest.mark.parametrize("on_interrupt", ["raise", "recover"])
async def test_half_a_gigabyte_in_a_line_takes_little_memory(kind: Any, on_interrupt: str) -> None:
    async with opened(recovers=on_interrupt == "recover") as world:
        world.emulator.faults = [Fault(kind, "runs.stream", after_events=8, size=LARGE)]
        before = peak()
        if on_interrupt == "recover":
            assert await followed(world, streamed(world)) == SAID
        else:
            with pytest.raises(StreamInterrupted, match="16,777,216 bytes") as caught:
                await followed(world, streamed(world))
            assert isinstance(caught.value.__cause__, LimitExceededError)
        assert peak() - before < 200 * MIB


@pytest.mark.parametrize("kind", ["bomb", "giant_line"])
async def test_half_a_gigabyte_in_an_answer_takes_little_memory(kind: Any) -> None:
    async with opened(recovers=True) as world:
        run = await world.waiting()
        world.emulator.faults = [Fault(kind, size=LARGE)]
        before = peak()
        with pytest.raises(LimitExceededError, match=f"more than {48 * MIB} bytes"):
            await world.client.runs.retrieve(run["id"], thread_id=world.thread)
        assert peak() - before < 200 * MIB
