"""One run after the other through a line that fails, each of them accounted for."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from asyncruns import AsyncRunsError
from tests.stream.house import Follower, Tools, one_call, say_hello, three_rounds, two_messages
from tests.stream.proxy import Cut, answer, inject, relay, stall, swallow

if TYPE_CHECKING:
    import random
    from collections.abc import AsyncGenerator, Callable, Coroutine

    from asyncruns import RunStream
    from asyncruns.emulator import Action, Context, Script
    from tests.stream.house import House
    from tests.stream.proxy import Exchange, Fault

SCRIPTS: Final[dict[str, Script]] = {
    script.__name__: script for script in (say_hello, one_call, two_messages, three_rounds)
}

CALLS: Final = {"one_call": 1, "three_rounds": 6}
"""How often a script asks for the tool; never, unless it is here."""

PATIENCE: Final = 90.0
"""Seconds after which a run has no end."""

SHARE: Final = 0.2
"""How many of the requests fail."""


def any_script(context: Context) -> AsyncGenerator[Action, Any]:
    """What the thread's message names."""
    return SCRIPTS[context.input](context)


FAULTS: Final[list[Callable[[random.Random], Fault]]] = [
    lambda dice: Cut(events=dice.randrange(40), reset=dice.random() < 0.5),
    lambda dice: Cut(size=dice.randrange(1, 20_000), reset=dice.random() < 0.5),
    lambda dice: swallow(forward=dice.random() < 0.5, reset=dice.random() < 0.5),
    lambda _: stall(after="thread.run.in_progress"),
    lambda _: answer("502 Bad Gateway", b"<html>", kind="text/html"),
    lambda _: answer("429 Slow Down"),
    lambda _: answer("200 OK", b"<html>", kind="text/html"),
    lambda _: inject(b"event: thread.message.delta\ndata: \xff{\n\n", after="thread.run.queued"),
    lambda _: inject(b"event: error\ndata: {}\n\n", after="thread.run.in_progress", then="end"),
]


def chance(dice: random.Random) -> Fault:
    """A fault for some of the requests."""

    async def act(exchange: Exchange) -> None:
        fault: Fault = relay
        if dice.random() < SHARE:
            fault = dice.choice(FAULTS)(dice)
        await fault(exchange)

    return act


@dataclass
class Account:
    """What has become of the runs."""

    started: int = 0
    outcomes: Counter[str] = field(default_factory=Counter[str])
    events: int = 0
    recovered: int = 0

    @property
    def finished(self) -> int:
        """How many runs have an outcome."""
        return self.outcomes.total()


class Job:
    """One run, from its thread to what the server has of it in the end."""

    def __init__(self, house: House, dice: random.Random, account: Account) -> None:
        self.house = house
        self.dice = dice
        self.account = account
        self.tools = Tools()
        self.name = dice.choice([*SCRIPTS])
        content = [{"role": "user", "content": self.name}]
        self.thread_id = str(house.emulator.add_thread(messages=content)["id"])

    async def carry_out(self) -> None:
        """Run it one of the ways; fails where something is lost, doubled, foreign or endless."""
        self.account.started += 1
        way = self.dice.choice(WAYS)
        running = asyncio.create_task(self._outcome_of(way))
        done, _ = await asyncio.wait({running}, timeout=PATIENCE)
        assert done, f"{way.__name__} of {self.name} has no end: {_where(running)}"
        outcome = await running
        await self._check(outcome)
        self.account.outcomes[outcome] += 1

    async def _outcome_of(self, way: Callable[[Job], Coroutine[Any, Any, str]]) -> str:
        try:
            return await way(self)
        except AsyncRunsError as exc:
            return type(exc).__name__

    async def _check(self, outcome: str) -> None:
        asked = self.tools.asked
        assert len(asked) == len(set(asked)), f"{self.name}: a call was carried out twice: {asked}"
        runs = await self.house.runs(self.thread_id)
        assert len(runs) <= 1, f"{self.name}: the run was created twice"
        if outcome == "completed":
            (run,) = runs
            assert run["status"] == "completed"
            assert len(asked) == CALLS.get(self.name, 0)

    async def _through(self, stream: RunStream) -> str:
        """Read a stream to its end: all its events together are what the server has."""
        seen = Follower(stream)
        try:
            async for event in stream:
                seen.accumulator.apply(event)
                seen.events.append(event)
        finally:
            seen.assert_same()
            self.account.events += len(seen.events)
            self.account.recovered += sum(event.recovered for event in seen.events)
        assert stream.outcome is not None
        if stream.outcome == "completed":
            (await self.house.truth(self.thread_id)).assert_is(stream)
        return stream.outcome

    def _stream(self, **options: Any) -> RunStream:
        return self.house.client.runs.stream(
            thread_id=self.thread_id,
            assistant_id=self.house.assistant,
            toolset=self.tools.set,
            idle_timeout=1,
            recovery_deadline=5,
            dedupe_key="soak",
            **options,
        )

    async def streamed(self) -> str:
        async with self._stream() as stream:
            return await self._through(stream)

    async def interrupted(self) -> str:
        async with self._stream(on_interrupt="raise") as stream:
            return await self._through(stream)

    async def left(self) -> str:
        async with self._stream(cancel_on_exit=self.dice.random() < 0.5) as stream:
            left = self.dice.randrange(30)
            async for _ in stream:
                left -= 1
                if left < 0:
                    break
        return "left"

    async def cancelled(self) -> str:
        with suppress(TimeoutError):
            async with asyncio.timeout(self.dice.random() / 2):
                return await self.streamed()
        return "cancelled by its caller"

    async def polled(self) -> str:
        run = await self.house.client.runs.create_and_poll(
            thread_id=self.thread_id,
            assistant_id=self.house.assistant,
            toolset=self.tools.set,
            deadline=10,
            dedupe_key="soak",
        )
        return str(run.status)

    async def attached(self) -> str:
        run = await self.house.client.runs.create(
            self.thread_id, assistant_id=self.house.assistant, dedupe_key="soak"
        )
        async with self.house.client.runs.attach(
            run.id,
            thread_id=run.thread_id,
            toolset=self.tools.set,
            idle_timeout=1,
            recovery_deadline=5,
        ) as stream:
            return await self._through(stream)


def _where(task: asyncio.Task[Any]) -> str:
    """Where a task waits, from the outside inwards."""
    places: list[str] = []
    waits: Any = task.get_coro()
    while waits is not None:
        frame = getattr(waits, "cr_frame", None) or getattr(waits, "ag_frame", None)
        if frame is not None:
            places.append(f"{frame.f_code.co_qualname}:{frame.f_lineno}")
        waits = getattr(waits, "cr_await", None) or getattr(waits, "ag_await", None)
    return " > ".join(places)


WAYS: Final[list[Callable[[Job], Coroutine[Any, Any, str]]]] = [
    Job.streamed,
    Job.streamed,
    Job.interrupted,
    Job.left,
    Job.cancelled,
    Job.polled,
    Job.attached,
]
