"""Jobs on many hosts: the commands of `asyncruns workers`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
import msgspec

from asyncruns import RunJob
from asyncruns.cli.output import OUTPUT, print_json
from asyncruns.cli.queue import DATABASE, with_queue
from asyncruns.cli.work import run

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TextIO

    from asyncruns.workers import RunQueue

__all__ = ["workers"]


@click.group(
    no_args_is_help=True,
    epilog="""\b
examples:
  export ASYNCRUNS_DATABASE=postgresql://me:secret@db.example/jobs
  asyncruns workers migrate
  asyncruns workers run --toolset shop=myshop.tools:toolset     on as many hosts as you like
  asyncruns workers submit --assistant-id asst_1 --message 'Where is order 7?' --toolset shop
  asyncruns workers submit jobs.jsonl
  asyncruns workers status""",
)
def workers() -> None:
    """Share jobs among many hosts: a queue in PostgreSQL, and workers that outlive each other.

    A job is one run, to be created and driven to its end. Whatever becomes of the workers, it
    ends once and creates one run.
    """


@workers.command(params=[DATABASE])
def migrate(address: str | None) -> None:
    """Create or update the tables of the queue.

    It may be run at any time, and does nothing where all is there.
    """
    done = with_queue(address, lambda queue: queue.migrate())
    for line in done or ["all tables are there already"]:
        click.echo(line)


@workers.command(
    params=[DATABASE],
    short_help="Queue jobs, and print their keys.",
    epilog="""\b
A line of the file is a job, as JSON; only the assistant is required:
  {"assistant_id": "asst_1", "thread_id": "thread_1", "message": "Hello!",
   "toolset": "shop", "dedupe_key": "order-7", "params": {"temperature": 0}}""",
)
@click.argument("file", metavar="[JOBS.jsonl]", type=click.File(encoding="utf-8"), required=False)
@click.option("--assistant-id", metavar="ID", help="The assistant to execute, for one job.")
@click.option("--thread-id", metavar="ID", help="Its thread; a new one unless given.")
@click.option("--message", metavar="TEXT", help="What the user says before the run.")
@click.option("--toolset", metavar="NAME", help="The toolset of the workers that answers calls.")
@click.option("--dedupe-key", metavar="KEY", help="Its name: a job is submitted once under it.")
def submit(file: TextIO | None, address: str | None, **fields: str | None) -> None:
    """Queue the jobs of a file ('-' for stdin), or one job, and print the key of each.

    A job that is there already, under its dedupe_key, is not queued again.
    """
    given: dict[str, Any] = {name: value for name, value in fields.items() if value is not None}
    if (file is None) == (not given):
        raise click.UsageError("give a file of jobs, or '--assistant-id' and what else one job has")
    if file is None and "assistant_id" not in given:
        raise click.UsageError("Missing option '--assistant-id'.")
    jobs = [_job(given, "the job")] if file is None else _jobs(file)

    async def enqueue(queue: RunQueue) -> None:
        for job in jobs:
            click.echo(await queue.submit(job))

    with_queue(address, enqueue)


@workers.command(
    params=[OUTPUT[0], DATABASE], short_help="Print what is known of jobs, or count them all."
)
@click.argument("keys", metavar="[KEY]...", nargs=-1)
@click.option("--wait", is_flag=True, help="Wait until the jobs have ended.")
def status(keys: Sequence[str], address: str | None, *, wait: bool, shape: str) -> None:
    """Print what is known of jobs; without a key, how many there are in which state."""
    if wait and not keys:
        raise click.UsageError("'--wait' needs the keys of the jobs to wait for")

    async def look(queue: RunQueue) -> None:
        if not keys:
            _print(await queue.counts(), shape)
        for key in keys:
            _print(await (queue.wait(key) if wait else queue.status(key)), shape)

    with_queue(address, look)


@workers.command(params=[OUTPUT[0], DATABASE])
@click.argument("keys", metavar="KEY...", nargs=-1, required=True)
def cancel(keys: Sequence[str], address: str | None, *, shape: str) -> None:
    """Cancel jobs, and print them as they are now.

    One that no worker has taken up is over at once; the run of any other is cancelled at the
    server by its worker.
    """

    async def call_off(queue: RunQueue) -> None:
        for key in keys:
            _print(await queue.cancel(key), shape)

    with_queue(address, call_off)


def _jobs(file: TextIO) -> list[RunJob]:
    """The jobs of a file, all of which can be read, or none is queued."""
    lines = enumerate(file, 1)
    return [_job(line, f"line {number}") for number, line in lines if line.strip()]


def _job(described: str | dict[str, Any], where: str) -> RunJob:
    try:
        if isinstance(described, str):
            return msgspec.json.decode(described, type=RunJob)
        return RunJob(**described)
    except (ValueError, msgspec.MsgspecError) as exc:
        raise click.UsageError(f"{where} is no job: {exc}") from exc


def _print(value: Any, shape: str) -> None:
    body = msgspec.json.encode(value)
    if shape == "table":
        from asyncruns.cli.table import print_fields  # noqa: PLC0415 -- rich, only now

        print_fields(msgspec.json.decode(body))
    else:
        print_json(body, on_one_line=shape == "jsonl")


workers.add_command(run)
