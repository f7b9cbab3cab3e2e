"""`asyncruns demo`: one run, live, against a server of its own, and then the proof."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Final

import click
from rich.text import Text

from asyncruns import Client, RunStream, to_json
from asyncruns.cli.compare import Sent, Verdict, Witness, judge_ends, judge_folding
from asyncruns.cli.console import Ragged, is_live, open_console
from asyncruns.cli.output import print_json
from asyncruns.cli.scenario import QUESTION, Tools, script
from asyncruns.cli.times import Stopwatch
from asyncruns.cli.tree import draw
from asyncruns.cli.views import show
from asyncruns.emulator import Emulator

if TYPE_CHECKING:
    from rich.console import Console

    from asyncruns import Run, Toolset

__all__ = ["demo"]

WATCHABLE_RATE: Final = 25.0
"""Deltas per second at which a reader can follow."""

SEARCH_CONTENT: Final = "step_details.tool_calls[*].file_search.results[*].content"


@click.command
@click.option(
    "--token-rate",
    type=click.FloatRange(min=0),
    metavar="N",
    help="Deltas per second; 0 is as fast as possible.  [default: "
    f"{WATCHABLE_RATE:g} on a terminal, else 0]",
)
@click.option(
    "--json", "as_json", is_flag=True, help="Print the steps as JSON, and the verdicts to stderr."
)
def demo(token_rate: float | None, as_json: bool) -> int:
    """Stream a run against a server of its own; no network, no key.

    The server runs in this process on 127.0.0.1 and plays a scripted model over real HTTP. The
    run calls two Python functions at once, searches files, runs code, and answers from it all.
    Then its steps are shown as a tree and compared, field by field, with the server's JSON: as
    folded from deltas alone, just before each step's end, and as they ended.

    Exits 0 if all is equal, 1 if anything differs; then it says what.
    """
    console = open_console(stderr=as_json)
    if token_rate is None:
        token_rate = WATCHABLE_RATE if is_live(console) and not as_json else 0
    return asyncio.run(_demo(console, token_rate=token_rate or None, as_json=as_json))


async def _demo(console: Console, *, token_rate: float | None, as_json: bool) -> int:
    tools, times = Tools(), Stopwatch()
    async with (
        Emulator(script, token_rate=token_rate) as emulator,
        Client(base_url=emulator.base_url, api_key="demo") as client,
        await start(client, tools.toolset) as stream,
    ):
        witness = Witness(stream)
        if as_json:
            async for event in stream:
                witness.take(event)
        else:
            _introduce(console, emulator)
            await show(stream, console, times, witness.take)
            if not is_live(console):
                console.print()
        run = await stream.get_final_run()
        sent = await read_back(client, run)
    if as_json:
        print_json(to_json(stream.steps))
    else:
        console.print(Ragged(draw(run, stream.steps, stream.messages, times)))
        console.print(f"\n{tools.summary()}\n")
    verdicts = judge_folding(witness, sent), judge_ends(stream.steps, stream.messages, sent)
    _pronounce(console, *verdicts)
    return 0 if run.status == "completed" and all(verdict.equal for verdict in verdicts) else 1


async def start(client: Client, toolset: Toolset) -> RunStream:
    """Make an assistant and a thread with a question; give the stream of a run, not yet open."""
    assistant = await client.assistants.create(
        model="gpt-4o",
        tools=[*toolset.definitions, {"type": "code_interpreter"}, {"type": "file_search"}],
    )
    thread = await client.threads.create(messages=[{"role": "user", "content": QUESTION}])
    return client.runs.stream(
        thread_id=thread.id,
        assistant_id=assistant.id,
        include=[SEARCH_CONTENT],
        toolset=toolset,
    )


async def read_back(client: Client, run: Run) -> Sent:
    """Ask the server for a run's steps and messages: its JSON, and no struct of ours."""
    thread = f"/threads/{run.thread_id}"
    page = {"limit": 100, "order": "asc"}
    steps = await client.request(
        "GET", f"{thread}/runs/{run.id}/steps", extra_query={**page, "include": [SEARCH_CONTENT]}
    )
    messages = await client.request(
        "GET", f"{thread}/messages", extra_query={**page, "run_id": run.id}
    )
    return Sent(json.loads(steps)["data"], json.loads(messages)["data"])


def _introduce(console: Console, emulator: Emulator) -> None:
    console.print(Text.assemble(("asyncruns demo", "bold"), f" · a run at {emulator.base_url}"))
    console.print(Text(f"“{QUESTION}”\n", "italic"))


def _pronounce(console: Console, *verdicts: Verdict) -> None:
    """Print what differs, and then one line for each verdict."""
    for verdict in verdicts:
        for difference in verdict.differences:
            console.print(Text(f"{difference}", "red"), soft_wrap=True)
    for verdict in verdicts:
        style = "bold green" if verdict.equal else "bold red"
        console.print(Text(verdict.sentence, style), soft_wrap=True)
