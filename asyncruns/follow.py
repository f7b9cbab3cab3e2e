"""Looks at a run to events: what has changed at the server since the snapshots were made."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from asyncruns.errors import APIConnectionError, APIStatusError, AsyncRunsError, PoolTimeoutError
from asyncruns.models import MessageCreationStepDetails
from asyncruns.unfold import events_for

if TYPE_CHECKING:
    from asyncruns.accumulator import Accumulator
    from asyncruns.events import Event
    from asyncruns.models import Message, Run, RunStep
    from asyncruns.service import RunService

__all__ = ["Pace", "is_transient", "look", "look_back"]

FIRST_PAUSE: Final = 0.5
"""Seconds between the first two looks at a run, unless the server says otherwise."""

LONGEST_PAUSE: Final = 5.0
"""Seconds between looks at a run that takes long."""

GROWTH: Final = 1.5
JITTER: Final = 0.25

_TRANSIENT: Final = frozenset({408, 409, 425, 429, 500, 502, 503, 504})


class Pace:
    """The pauses between looks: as the server asks, or else growing, with some of it random."""

    __slots__ = ("_pause",)

    def __init__(self) -> None:
        self._pause = FIRST_PAUSE

    def after(self, told: float | None) -> float:
        """Seconds to wait before the next look; `told` is what the server's answer asks for."""
        from random import uniform  # noqa: PLC0415 -- 2 ms, an eighth of importing asyncruns

        if told is not None:
            return told
        pause, self._pause = self._pause, min(self._pause * GROWTH, LONGEST_PAUSE)
        return pause * (1 - uniform(0, JITTER))  # noqa: S311 -- spreads load, hides nothing


def is_transient(exc: Exception) -> bool:
    """Whether looking again may help."""
    if isinstance(exc, APIStatusError):
        return exc.status in _TRANSIENT
    return isinstance(exc, APIConnectionError | PoolTimeoutError)


async def look(
    service: RunService, accumulator: Accumulator, thread_id: str, run_id: str
) -> tuple[list[Event], Run, float | None]:
    """Look at a run, its steps and its messages.

    Gives the events that lead from the accumulator's snapshots to what the server has, the run,
    and the seconds that the server asks to wait before the next look. The run is asked for first:
    if it has ended, so have its steps and messages; its own event comes last, and its creation
    first.
    """
    run, pause = await service.retrieve(thread_id, run_id)
    steps = await service.list_steps(thread_id, run_id)
    messages = await service.list_messages(thread_id, run_id)
    events = _changes(accumulator, steps, {message.id: message for message in messages})
    changes = events_for(run, accumulator.run)
    return [*changes[:-1], *events, *changes[-1:]], run, pause


async def look_back(
    service: RunService, accumulator: Accumulator, run: Run, *, patience: float
) -> list[Event]:
    """Look once at a run that has ended, for so many seconds; a failure is no error any more."""
    try:
        async with asyncio.timeout(patience):
            events, _, _ = await look(service, accumulator, run.thread_id, run.id)
    except (AsyncRunsError, TimeoutError):
        return []
    return events


def _changes(
    accumulator: Accumulator, steps: list[RunStep], messages: dict[str, Message]
) -> list[Event]:
    """The events of steps and messages, each message just before the step that wrote it."""
    events: list[Event] = []
    for step in steps:
        details = step.step_details
        if isinstance(details, MessageCreationStepDetails):
            message = messages.pop(details.message_creation.message_id or "", None)
            if message is not None:
                events += events_for(message, accumulator.message(message.id))
        events += events_for(step, accumulator.step(step.id))
    for message in messages.values():
        events += events_for(message, accumulator.message(message.id))
    return events
