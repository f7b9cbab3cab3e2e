"""The README's examples, run as they stand against the emulator."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path
from typing import Any

import pytest

from asyncruns import Client
from asyncruns.emulator import Emulator

pytestmark = pytest.mark.anyio

README = Path(__file__).parents[1] / "README.md"
EXAMPLES = re.findall(r"^```python\n(.*?)^```$", README.read_text(), re.DOTALL | re.MULTILINE)


async def run(example: str, namespace: dict[str, Any]) -> None:
    """Run code with `await` at its top level, as `python -m asyncio` does."""
    code = compile(example, "README.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    result = eval(code, namespace)  # noqa: S307 -- the README is ours
    if inspect.isawaitable(result):
        await result


async def test_every_example_runs_in_its_order(capsys: pytest.CaptureFixture[str]) -> None:
    async with (
        Emulator(poll_after_ms=1) as server,
        Client(base_url=server.base_url, api_key="any") as client,
    ):
        names: dict[str, Any] = {
            "client": client,
            "assistant": await client.assistants.create(model="gpt-4o"),
            "thread": await client.threads.create(messages=[{"role": "user", "content": "Hello!"}]),
        }
        for example in EXAMPLES:
            here = dict(names)
            await run(example, here)
            # Later examples use what earlier ones have made, but for the first, closed client.
            names = {**here, **{name: names[name] for name in ("client", "assistant", "thread")}}
        assert names["stream"].outcome == "completed"
    printed = capsys.readouterr().out
    for said in (
        "completed Usage(",
        "step step_",
        "the run is completed",
        "thread.run.completed",
        "event: done",
    ):
        assert said in printed


def test_the_readme_has_an_example_for_each_thing_it_promises() -> None:
    said = "\n".join(EXAMPLES)
    for name in (
        "runs.stream(",
        "Toolset(",
        "RunHandler",
        "StreamInterrupted",
        "runs.attach(",
        "RunPool(",
        "relay(",
        "Fault(",
        "runs_emulator",
    ):
        assert name in said
