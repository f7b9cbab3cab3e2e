"""What tracing costs a program that does not use it: nothing."""

from __future__ import annotations

import subprocess
import sys

import pytest

STREAM = """
import asyncio, sys
{before}
from asyncruns import Client, Toolset
from asyncruns.emulator import Emulator

async def weather(city: str) -> str:
    return "sunny"

async def main():
    toolset = Toolset(weather)
    async with Emulator() as server, Client(base_url=server.base_url, api_key="any") as client:
        assistant = await client.assistants.create(model="m", tools=toolset.definitions)
        thread = await client.threads.create(messages=[{{"role": "user", "content": "Hi"}}])
        async with client.runs.stream(
            thread_id=thread.id, assistant_id=assistant.id, toolset=toolset
        ) as stream:
            await stream.until_done()
        assert len(stream.steps) == 2, stream.steps
        print(stream.outcome, stream._trace.awaits_text, stream._trace.current())

asyncio.run(main())
print(*sorted(name for name in sys.modules if name.startswith("opentelemetry")))
"""

BLOCKED = """
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "opentelemetry":
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Blocked())
"""


@pytest.mark.parametrize("before", ["", BLOCKED], ids=["not imported", "not installed"])
def test_a_run_imports_nothing_of_opentelemetry(before: str) -> None:
    first, modules = output_of(before)
    assert first.startswith("completed False <contextlib.nullcontext")
    assert modules == ""


def test_without_a_provider_no_span_is_kept() -> None:
    first, modules = output_of("import opentelemetry.trace")
    assert first.startswith("completed False <contextlib.nullcontext")
    assert "opentelemetry.sdk" not in modules


def output_of(before: str) -> list[str]:
    """The two lines that a program prints which streams a run."""
    result = subprocess.run(
        [sys.executable, "-c", STREAM.format(before=before)],
        check=True,
        capture_output=True,
        text=True,
    )
    return result.stdout.split("\n")[:2]
