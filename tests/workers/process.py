"""A worker in a process of its own, which can be killed: `python -m tests.workers.process …`.

Its tools write down when each call begins and ends; `--at-create` is what it does to itself when
the server has answered the creation of a run, and the answer is not yet known to the database.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

from asyncruns import Client, RunContext, Toolset
from asyncruns.workers import RunQueue, RunWorker

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncruns import ResponseInfo


def journal_tools(journal: Path) -> Toolset:
    """Tools that give back the key of their call, and keep a journal of it."""
    toolset = Toolset()

    def write(word: str, context: RunContext) -> None:
        with journal.open("a") as file:  # one short line is written whole
            file.write(f"{word} {context.idempotency_key} {os.getpid()}\n")

    @toolset.tool
    async def work(seconds: float, context: RunContext) -> str:
        """Take some time."""
        write("begin", context)
        await asyncio.sleep(seconds)
        write("end", context)
        return context.idempotency_key

    return toolset


def at_create(count: int, number: signal.Signals) -> Callable[[ResponseInfo], None]:
    """Send this process a signal at the count-th run that it creates, before anybody knows it."""
    created = 0

    def on_response(answer: ResponseInfo) -> None:
        nonlocal created
        if answer.method == "POST" and answer.path.endswith("/runs") and answer.status == 200:
            created += 1
            if created == count:
                os.kill(os.getpid(), number)

    return on_response


async def work(options: argparse.Namespace) -> None:
    count, number = options.at_create or (0, signal.SIGKILL)
    async with (
        Client(
            base_url=options.base_url, api_key="any", on_response=at_create(count, number)
        ) as client,
        RunQueue(options.address, silence=options.silence) as queue,
    ):
        worker = RunWorker(
            queue,
            client,
            toolsets={"journal": journal_tools(options.journal)},
            concurrency=options.concurrency,
            grace=options.grace,
        )
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, worker.stop)
        print("ready", flush=True)  # noqa: T201 -- whoever has started this waits for it
        await worker.run()


def at(text: str) -> tuple[int, signal.Signals]:
    count, name = text.split(":")
    return int(count), signal.Signals[name]


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("address")
    parser.add_argument("base_url")
    parser.add_argument("journal", type=Path)
    parser.add_argument("--silence", type=float, default=3.0)
    parser.add_argument("--concurrency", type=int, default=6)
    parser.add_argument("--grace", type=float, default=5.0)
    parser.add_argument("--at-create", type=at)
    asyncio.run(work(parser.parse_args()))
