"""Assembled objects against the server's JSON: every field that differs, with both values.

The server's side is its raw JSON, read by the standard library, so that no struct of this library
can hide its own mistake. Two things are judged:

- the folding, on what deltas alone have built by the time an object's end comes: every field that
  deltas carry. The end itself replaces what was folded, so it says nothing about the folding.
- the objects as they have ended: the JSON that they keep, and every field of their structs.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias, TypeVar

import msgspec

from asyncruns import (
    ENDED_MESSAGE,
    ENDED_STEP,
    Message,
    MessageDeltaEvent,
    RunStep,
    RunStepDeltaEvent,
    Unknown,
    to_json,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from asyncruns import Event

__all__ = ["Difference", "Sent", "Verdict", "Witness", "judge_ends", "judge_folding", "plain"]

Json: TypeAlias = dict[str, Any]
SnapshotT = TypeVar("SnapshotT", RunStep, Message)
Fault: TypeAlias = tuple[str, Any, Any]
"""A path, what stands there in ours, and what in the server's."""

CARRIED: Final = ("id", "role", "content", "step_details")
"""The fields of an object that deltas build; ids and roles come with its creation."""

ONLY_IN_ENDS: Final = frozenset(
    {
        "step_details.tool_calls[*].file_search.results",
        "step_details.tool_calls[*].function.output",
    }
)
"""What is part of a step's details and yet of no delta."""

BEYOND_THE_REFERENCE: Final = frozenset(
    {
        "expires_at",
        "step_details.tool_calls[*].file_search.ranking_options.hybrid_search",
        "step_details.tool_calls[*].file_search.results[*].attributes",
        "usage.completion_tokens_details",
        "usage.prompt_token_details",
    }
)
"""What servers send and the reference does not have: no struct has it, `raw` does."""

EXCERPT: Final = 60
"""How many characters of a value are shown."""


class _Nothing:
    """In the place of a value that is not there."""


NOTHING: Final = _Nothing()


@dataclass(frozen=True, slots=True)
class Sent:
    """The server's side: the run's steps and messages, oldest first, as raw JSON objects."""

    steps: Sequence[Json]
    messages: Sequence[Json]


@dataclass(frozen=True, slots=True)
class Difference:
    """A field that is not what the server says."""

    subject: str
    """Which object, such as `step 2 (step_abc)`."""
    path: str
    """The field's place in the object; empty for the whole object."""
    ours: Any
    theirs: Any

    def __str__(self) -> str:
        ours, theirs = _excerpts(_shown(self.ours), _shown(self.theirs))
        place = f"{self.subject}, {self.path}" if self.path else self.subject
        return f"{place}: assembled {ours}, the server has {theirs}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """One comparison of all objects of a run: its sentence, and what differs."""

    sentence: str
    differences: Sequence[Difference]

    @property
    def equal(self) -> bool:
        """Whether nothing differs."""
        return not self.differences


class Snapshots(Protocol):
    """A run's steps and messages as they are now: a RunStream has them, and an Accumulator."""

    @property
    def steps(self) -> Sequence[RunStep]:
        """The steps so far."""
        ...

    @property
    def messages(self) -> Sequence[Message]:
        """The messages so far."""
        ...


class Folded(Protocol):
    """Objects by their ids, each as it was before its end: a Witness has them."""

    @property
    def steps(self) -> Mapping[str, RunStep]:
        """The steps."""
        ...

    @property
    def messages(self) -> Mapping[str, Message]:
        """The messages."""
        ...


class Witness:
    """Looks at the snapshots after each event, and keeps each object as it was before its end."""

    def __init__(self, snapshots: Snapshots) -> None:
        self._snapshots = snapshots
        self._ended: set[str] = set()
        self.steps: dict[str, RunStep] = {}
        self.messages: dict[str, Message] = {}

    def take(self, event: Event) -> None:
        """Look at the object of an event that has just been folded; costs a snapshot of it."""
        match event.data:
            case RunStep(id=ended, status=status) if status in ENDED_STEP:
                self._ended.add(ended)
            case Message(id=ended, status=status) if status in ENDED_MESSAGE:
                self._ended.add(ended)
            case RunStep(id=alive) | RunStepDeltaEvent(id=alive) if alive not in self._ended:
                self.steps[alive] = _find(self._snapshots.steps, alive)
            case Message(id=alive) | MessageDeltaEvent(id=alive) if alive not in self._ended:
                self.messages[alive] = _find(self._snapshots.messages, alive)
            case _:
                pass


def _find(snapshots: Sequence[SnapshotT], object_id: str) -> SnapshotT:
    return next(snapshot for snapshot in snapshots if snapshot.id == object_id)


def judge_folding(witness: Folded, sent: Sent) -> Verdict:
    """Compare what deltas alone have built, on every field that they carry."""

    def faults(ours: RunStep | Message, theirs: Json) -> Iterator[Fault]:
        return _faults(_carried(plain(ours)), _carried(theirs), ONLY_IN_ENDS)

    return _judged("folded from deltas alone", witness.steps, witness.messages, sent, faults)


def judge_ends(steps: Iterable[RunStep], messages: Iterable[Message], sent: Sent) -> Verdict:
    """Compare objects as they have ended: the JSON that they keep, and their structs' fields."""

    def faults(ours: RunStep | Message, theirs: Json) -> Iterator[Fault]:
        yield from _faults(plain(ours), theirs, BEYOND_THE_REFERENCE)
        for path, kept, there in _faults(json.loads(to_json(ours)), theirs):
            yield f"{path} (raw)", kept, there

    by_id = {step.id: step for step in steps}
    messages_by_id = {message.id: message for message in messages}
    return _judged("as they ended", by_id, messages_by_id, sent, faults)


def plain(value: Any) -> Any:
    """Give a struct as JSON types: all of its fields, and nothing of its `raw`."""
    if isinstance(value, Unknown):
        return value.value
    if isinstance(value, msgspec.Struct):
        tag = value.__struct_config__.tag
        fields = {name: plain(getattr(value, name)) for name in value.__struct_fields__}
        return fields if tag is None else {"type": tag, **fields}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value


def _judged(
    title: str,
    steps: Mapping[str, RunStep],
    messages: Mapping[str, Message],
    sent: Sent,
    faults: Callable[[Any, Json], Iterator[Fault]],
) -> Verdict:
    counts: list[str] = []
    differences: list[Difference] = []
    for kind, ours, theirs in (("step", steps, sent.steps), ("message", messages, sent.messages)):
        found = list(_differences(kind, ours, theirs, faults))
        differences += found
        unequal = {difference.subject for difference in found}
        total = len(ours.keys() | {item["id"] for item in theirs})
        counts.append(f"{total - len(unequal)} of {total} {kind}{'s' * (total != 1)}")
    return Verdict(f"{title}: {' and '.join(counts)} equal the server's", differences)


def _differences(
    kind: str,
    ours: Mapping[str, Any],
    theirs: Sequence[Json],
    faults: Callable[[Any, Json], Iterator[Fault]],
) -> Iterator[Difference]:
    for number, item in enumerate(theirs, 1):
        subject = f"{kind} {number} ({item['id']})"
        if item["id"] not in ours:
            yield Difference(subject, "", NOTHING, item)
            continue
        for fault in faults(ours[item["id"]], item):
            yield Difference(subject, *fault)
    for unknown in ours.keys() - {item["id"] for item in theirs}:
        yield Difference(f"{kind} ({unknown})", "", plain(ours[unknown]), NOTHING)


def _carried(item: Json) -> Json:
    return {name: value for name, value in item.items() if name in CARRIED}


def _faults(
    ours: Any, theirs: Any, ignored: frozenset[str] = frozenset(), path: str = ""
) -> Iterator[Fault]:
    """Go through both values, and give every place where they are not the same."""
    if re.sub(r"\[\d+\]", "[*]", path) in ignored:
        return
    match ours, theirs:
        case dict(), dict():
            for name in {**theirs, **ours}:
                inner = f"{path}.{name}" if path else name
                mine, its = ours.get(name, NOTHING), theirs.get(name, NOTHING)
                yield from _faults(mine, its, ignored, inner)
        case list(), list():
            pairs = zip_longest(ours, theirs, fillvalue=NOTHING)
            for index, (mine, its) in enumerate(pairs):
                yield from _faults(mine, its, ignored, f"{path}[{index}]")
        case _ if not _same(ours, theirs):
            yield path, ours, theirs
        case _:
            pass


def _same(ours: Any, theirs: Any) -> bool:
    if theirs is NOTHING:  # a struct's field has its empty default where a server sends nothing
        return ours is None or ours in ("", [], {})
    return bool(ours == theirs) and isinstance(ours, bool) == isinstance(theirs, bool)


def _shown(value: Any) -> str:
    return "nothing" if value is NOTHING else json.dumps(value, ensure_ascii=False)


def _excerpts(ours: str, theirs: str) -> tuple[str, str]:
    """The parts of two values that begin shortly before the first place where they differ."""
    pairs = zip(ours, theirs, strict=False)
    common = next((place for place, (one, other) in enumerate(pairs) if one != other), 0)
    start = max(0, common - EXCERPT // 3)
    return _excerpt(ours, start), _excerpt(theirs, start)


def _excerpt(text: str, start: int) -> str:
    end = start + EXCERPT
    return f"{'…' * (start > 0)}{text[start:end]}{'…' * (end < len(text))}"
