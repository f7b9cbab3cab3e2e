"""A server that fails at random, and what must hold of a pool that uses it all the same."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

from asyncruns import RunJob, RunPool
from asyncruns.emulator import Action, Call, Context, Fail, Say
from tests.pool.house import KEY, limited, refuse, text_of
from tests.stream.house import Tools
from tests.stream.proxy import Cut, Exchange, relay, stall, swallow

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator

    from asyncruns import RunResult
    from tests.stream.house import House
    from tests.stream.proxy import Fault


class Chaos:
    """Carries out a share of all requests in ways that nobody wants, and counts them."""

    def __init__(self, share: float, seed: int) -> None:
        self.counts: Counter[str] = Counter()
        self._share = share
        self._random = random.Random(seed)

    async def __call__(self, exchange: Exchange) -> None:
        if self._random.random() >= self._share:
            await relay(exchange)
            return
        name, fault = self._random.choice(self._faults())
        self.counts[name] += 1
        await fault(exchange)

    def _faults(self) -> list[tuple[str, Fault]]:
        return [
            ("no answer", swallow()),
            ("not carried out", swallow(forward=False, reset=True)),
            ("cut", Cut(events=self._random.randrange(12))),
            ("silence", stall(after="thread.run.in_progress")),
            ("500", refuse("500 No")),
            ("carried out, 500", refuse("500 No", begins=True)),
            ("503", refuse("503 No")),
            ("429", limited(self._random.randrange(10, 200))),
        ]


class Model:
    """Calls a tool now and then, meets a rate limit now and then, and echoes what was said."""

    def __init__(self, seed: int) -> None:
        self.limits = 0
        self._random = random.Random(seed)

    async def script(self, context: Context) -> AsyncGenerator[Action, Any]:
        chance = self._random.random()
        if chance < 0.02:
            self.limits += 1
            yield Fail("rate_limit_exceeded", "Rate limit reached. Please try again in 50ms.")
        elif chance < 0.3:
            yield Call("weather", {"city": "Oslo"})
        yield Say(f"You said: {context.input}")


def jobs_of(house: House, count: int, threads: int) -> Iterator[RunJob]:
    """Jobs, a third of them on new threads and the others on a few; the half of them with a key."""
    known = [house.thread() for _ in range(threads)]
    for number in range(count):
        yield RunJob(
            assistant_id=house.assistant,
            thread_id=known[number % threads] if number % 3 else None,
            message=f"message {number}",
            dedupe_key=f"job {number}" if number % 2 else None,
        )


async def carry_out(house: House, count: int, concurrency: int) -> list[RunResult]:
    """Carry out jobs with everything that a pool can be told."""
    async with RunPool(
        house.client,
        concurrency=concurrency,
        retries=10,
        toolset=Tools().set,
        idle_timeout=2,
    ) as pool:
        jobs = jobs_of(house, count, threads=count // 10)
        return [result async for result in pool.map(jobs)]


def check(house: House, results: list[RunResult], count: int) -> None:
    """Fail unless every job has its result, and every run of the server belongs to one of them."""
    assert sorted(number_of(result) for result in results) == list(range(count))
    ended: dict[str, list[str]] = {}
    for result in results:
        assert (result.outcome, result.exception) == ("completed", None), result
        assert text_of(result) == f"You said: {result.job.message}"
        assert result.run is not None
        assert result.run.metadata is not None
        ended[result.run.metadata[KEY]] = [result.run.id]
    of_the_server: dict[str, list[str]] = defaultdict(list)
    for thread in house.emulator._store.threads.values():
        for run in (live.record for live in thread.runs.values()):
            if run["status"] == "completed":
                of_the_server[run["metadata"][KEY]].append(run["id"])
            else:
                assert run["last_error"]["code"] == "rate_limit_exceeded"
        said = [
            one["content"][0]["text"]["value"]
            for one in thread.messages.values()
            if one["role"] == "user"
        ]
        numbers = [int(text.split()[1]) for text in said if text.startswith("message")]
        assert numbers == sorted(set(numbers)), "out of order, or said twice"
    assert of_the_server == ended
    assert_never_two_at_once(house)


def assert_never_two_at_once(house: House) -> None:
    """Fail if a run was asked for while another was alive: the server refuses each of them."""
    refused = [
        asked
        for asked in house.emulator.requests
        if asked.status == 400 and asked.path.endswith("/runs")
    ]
    assert refused == []


def number_of(result: RunResult) -> int:
    return int(str(result.job.message).split()[1])
