"""Snapshots to what is odd about their ends: those that are missing, and those that differ."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import msgspec

from asyncruns import (
    ENDED_MESSAGE,
    ENDED_RUN,
    ENDED_STEP,
    Message,
    MessageCreationStepDetails,
    RunStep,
    ToolCallsStepDetails,
    Unknown,
)
from asyncruns.cli.compare import Sent, judge_folding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from asyncruns import Accumulator

__all__ = ["Endings", "missing_ends", "missing_messages", "unknown_types"]


class Endings:
    """Each object as its deltas alone had built it, and as its end says that it is."""

    def __init__(self, accumulator: Accumulator) -> None:
        self._accumulator = accumulator
        self._ends: dict[str, bytes] = {}
        self.steps: dict[str, RunStep] = {}
        self.messages: dict[str, Message] = {}

    def take(self, end: RunStep | Message) -> str:
        """Keep an object as it is just before its end is folded.

        Says what is odd if the end tells less than the deltas did; empty otherwise. Costs one
        snapshot of the object.
        """
        if isinstance(end, RunStep):
            step = self._accumulator.step(end.id)
            if step is None:
                return ""
            if _has_details(step) and not _has_details(end):
                return "ends without details; those of its deltas stay"
            self.steps[end.id] = step
        else:
            message = self._accumulator.message(end.id)
            if message is None:
                return ""
            if message.content and not end.content:
                return "ends without content; that of its deltas stays"
            self.messages[end.id] = message
        self._ends[end.id] = end.raw or b"{}"
        return ""

    def differences(self) -> Iterator[str]:
        """Say where the parts that deltas had built are not what the ends say."""
        ends = {object_id: json.loads(raw) for object_id, raw in self._ends.items()}
        sent = Sent([ends[one] for one in self.steps], [ends[one] for one in self.messages])
        for difference in judge_folding(self, sent).differences:
            if not {".", "["} & {*difference.path}:
                continue  # a role, which some servers leave out
            yield str(difference).replace("the server has", "its end has")


def missing_ends(accumulator: Accumulator) -> Iterator[str]:
    """Name the steps and messages that are alive though their run has ended."""
    run = accumulator.run
    if run is None or run.status not in ENDED_RUN:
        return
    for step in accumulator.steps:
        if step.status not in ENDED_STEP:
            yield f"{step.id} has not ended, though its run has"
    for message in accumulator.messages:
        if message.status not in ENDED_MESSAGE:
            yield f"{message.id} has not ended, though its run has"


def missing_messages(accumulator: Accumulator) -> Iterator[str]:
    """Name the steps that have written a message of which there is nothing."""
    known = {message.id for message in accumulator.messages}
    for step in accumulator.steps:
        details = step.step_details
        if isinstance(details, MessageCreationStepDetails) and step.status in ENDED_STEP:
            written = details.message_creation.message_id
            if written not in known:
                yield f"{step.id} wrote {written or 'a message'}, of which nothing has come"


def unknown_types(accumulator: Accumulator) -> Counter[str]:
    """Count the variants that the library has no struct for, by what and which type they are."""
    return Counter(_unknown_types([accumulator.run, *accumulator.steps, *accumulator.messages]))


def _unknown_types(value: Any) -> Iterator[str]:
    if isinstance(value, Unknown):
        yield f"{type(value).__name__.removeprefix('Unknown')} {value.type or 'without a type'}"
    elif isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            yield from _unknown_types(getattr(value, name))
    elif isinstance(value, list):
        for item in value:
            yield from _unknown_types(item)


def _has_details(step: RunStep) -> bool:
    details = step.step_details
    if isinstance(details, ToolCallsStepDetails):
        return bool(details.tool_calls)
    return details is not None
