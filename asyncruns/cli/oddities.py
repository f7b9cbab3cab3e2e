"""Events to what is odd in them: all that a recording has and an ordinary stream has not.

An ordinary stream creates each object, gives its deltas, and ends it; it ends or pauses the run,
and closes with `done`. Servers deviate from that in ways that are all folded somehow (the rules are
the accumulator's); here they are named. What is *damaged* has lost something: data that cannot be
read, bytes that make no event, a run that neither ends nor pauses.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final, NamedTuple

from asyncruns import (
    ENDED_MESSAGE,
    ENDED_RUN,
    ENDED_STEP,
    DoneEvent,
    ErrorEvent,
    Message,
    MessageDeltaEvent,
    Run,
    RunStep,
    RunStepDeltaEvent,
    RunStreamError,
    StreamError,
    UnknownEvent,
)
from asyncruns.cli.endings import Endings, missing_ends, missing_messages, unknown_types

if TYPE_CHECKING:
    from collections.abc import Iterator

    from asyncruns import Accumulator, Event

__all__ = ["Oddities", "Oddity"]

EXCERPT: Final = 60
"""How many bytes are shown of what cannot be read."""

SHOWN: Final = 3
"""How many oddities of one kind are listed; the others are counted."""


class Oddity(NamedTuple):
    """Something odd: a sentence, and whether something was lost by it."""

    sentence: str
    damaged: bool = False
    kind: str = ""
    """What it has in common with its like; the sentence itself unless given."""


class _Life(NamedTuple):
    """What has come of a step or a message."""

    created: bool = False
    ended: bool = False


class Oddities:
    """Looks at events, each just before it is folded, and remembers what was odd."""

    def __init__(self, accumulator: Accumulator) -> None:
        self._accumulator = accumulator
        self._found: list[Oddity] = []
        self._endings = Endings(accumulator)
        self._lives: dict[str, _Life] = {}
        self._runs: dict[str, str] = {}
        self._unknown_events: Counter[str] = Counter()
        self._done = False
        self._after_done = 0
        self.events = 0
        """How many events have come, read or not."""

    def take(self, event: Event) -> None:
        """Look at an event that is about to be folded."""
        self.events += 1
        if self._done:
            self._go_on()
        match event.data:
            case RunStep() | Message() as whole:
                self._take_whole(event, whole)
            case RunStepDeltaEvent(id=object_id) | MessageDeltaEvent(id=object_id):
                self._take_delta(event, object_id)
            case Run() as run:
                self._take_run(event, run)
            case _:
                self._take_other(event)

    def lose(self, error: StreamError, event: Event | None = None) -> None:
        """Remember an event that cannot be read, or, where it is given, cannot be folded."""
        self.events += event is None
        kind = error.event or type(error).__name__
        self._found.append(Oddity(f"event {self.events}: {error}", damaged=True, kind=kind))

    def close(self, leftover: bytes, *, unclosed: bool) -> list[Oddity]:
        """Look at what there is at the end, and give all that was odd, damage first.

        `leftover` are the bytes that made no event; `unclosed` says that the last event had no
        blank line behind it.
        """
        if leftover:
            start = leftover[:EXCERPT].decode("utf-8", "replace")
            size = _count(len(leftover), "byte")
            self._say(f"{size} left over at the end make no event: {start!r}", damaged=True)
        self._close_run()
        for name, times in self._unknown_events.items():
            self._say(f"{_count(times, 'event')} with a name that is not the protocol's: {name}")
        for name, times in unknown_types(self._accumulator).items():
            self._say(f"{_count(times, 'object')} of a type that is not the reference's: {name}")
        for sentence in (*missing_ends(self._accumulator), *missing_messages(self._accumulator)):
            self._say(sentence)
        for sentence in self._endings.differences():
            self._say(sentence)
        if self._after_done:
            self._say(f"{_count(self._after_done, 'event')} after done")
        elif self.events and not self._done:
            self._say("it does not close with done")
        if unclosed:
            self._say("the last event has no blank line behind it; its data is whole, so it counts")
        return sorted(self._listed(), key=lambda oddity: not oddity.damaged)

    def _say(self, sentence: str, *, damaged: bool = False) -> None:
        self._found.append(Oddity(sentence, damaged))

    def _say_of(self, event: Event, object_id: str, kind: str) -> None:
        """Say something of an object, at the event that shows it."""
        sentence = f"event {self.events}, {event.event}: {object_id} {kind}"
        self._found.append(Oddity(sentence, kind=kind))

    def _take_whole(self, event: Event, whole: RunStep | Message) -> None:
        created, ended = self._lives.get(whole.id, _Life())
        ends = whole.status in (ENDED_STEP if isinstance(whole, RunStep) else ENDED_MESSAGE)
        name = event.event.rpartition(".")[2]
        if name == "created" and created:
            self._say_of(event, whole.id, "is created once more")
        elif name != "created" and whole.id not in self._lives and self._runs:
            # Before any event of a run it is a step of an earlier stream, which this one continues.
            self._say_of(event, whole.id, "was not created before")
        if ended:
            self._say_of(event, whole.id, "ends again" if ends else "is alive after its end")
        elif ends and (oddity := self._endings.take(whole)):
            self._say_of(event, whole.id, oddity)
        self._check_status(event, whole.id, whole.status or "")
        self._lives[whole.id] = _Life(created or name == "created", ended or ends)

    def _take_delta(self, event: Event, object_id: str) -> None:
        life = self._lives.setdefault(object_id, _Life())
        if life == _Life():
            self._say_of(event, object_id, "was not created before")
        elif life.ended:
            self._say_of(event, object_id, "gets a delta after its end")

    def _take_run(self, event: Event, run: Run) -> None:
        known = self._runs.get(run.id)
        if known is None and self._runs:
            self._say_of(event, run.id, "is another run")
        elif known in ENDED_RUN:
            self._say_of(event, run.id, "goes on after its end")
        self._check_status(event, run.id, run.status)
        self._runs[run.id] = run.status

    def _check_status(self, event: Event, object_id: str, status: str) -> None:
        """Compare an event's name with its object's status; a new object may be anything alive."""
        name = event.event.rpartition(".")[2]
        if name != status and (name != "created" or status in ENDED_RUN):
            self._say_of(event, object_id, f"has the status {status}")

    def _take_other(self, event: Event) -> None:
        if isinstance(event, DoneEvent):
            self._done = True
        elif isinstance(event, UnknownEvent):
            self._unknown_events[event.event] += 1
        elif isinstance(event, ErrorEvent):
            self._say(f"event {self.events}: {RunStreamError(event.data)}")

    def _go_on(self) -> None:
        """Take an event after `done`: fine where a second body continues a run that paused."""
        run = self._accumulator.run
        if run is not None and run.status == "requires_action":
            self._done = False
        else:
            self._after_done += 1

    def _close_run(self) -> None:
        run = self._accumulator.run
        if not self.events:
            self._say("no event is in it: is it the body of a text/event-stream?", damaged=True)
        elif run is None:
            self._say("no event of a run is in it, so nothing tells how it ended", damaged=True)
        elif run.status not in ENDED_RUN and run.status != "requires_action":
            self._say(f"{run.id} neither ends nor pauses: it is {run.status}", damaged=True)

    def _listed(self) -> Iterator[Oddity]:
        """All that was odd, the like together; of many, the first ones, and how many there are."""
        kinds: dict[str, list[Oddity]] = {}
        for oddity in self._found:
            kinds.setdefault(oddity.kind or oddity.sentence, []).append(oddity)
        for alike in kinds.values():
            yield from alike[:SHOWN]
            if len(alike) > SHOWN:
                yield Oddity(f"… and {len(alike) - SHOWN:,} more like it", alike[0].damaged)


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'s' * (number != 1)}"
