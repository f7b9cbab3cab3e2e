"""`asyncruns serve`: a server for other programs, what it prints, and how it stops."""

from __future__ import annotations

import asyncio
import errno
import os
import re
import signal
import socket
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from asyncruns import AuthenticationError, Client, Run
from tests.cli.conftest import ASYNCRUNS, environment

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from tests.cli.conftest import OnTerminal
    from tests.cli.conftest import Run as RunCommand

SCRIPT = """
from asyncruns.emulator import Call, Say

async def script(context):
    output = yield Call("get_weather", {"city": "Oslo"})
    yield Say(f"In Oslo it is {output}.")

weather = "sunny"
"""


class Server:
    """`asyncruns serve` at work, with what it has said."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        assert process.stdout is not None
        self.said = [process.stdout.readline() for _ in range(4)]
        exports = [line.removeprefix("export ").strip() for line in self.said[2:]]
        self.environment = dict(export.split("=", 1) for export in exports)

    def stop(self, number: int) -> tuple[int, str, str]:
        """Send a signal; give the exit code and the rest of the output."""
        self.process.send_signal(number)
        stdout, stderr = self.process.communicate(timeout=30)
        return self.process.returncode, stdout, stderr


@contextmanager
def serving(*arguments: str, cwd: Path | None = None) -> Generator[Server]:
    with subprocess.Popen(
        [*ASYNCRUNS, "serve", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        env=environment(),
        cwd=cwd,
    ) as process:
        try:
            yield Server(process)
        finally:
            process.kill()


async def use(server: Server, api_key: str | None = None) -> Run:
    """Make a run with the environment that the server has named."""
    url, key = server.environment["OPENAI_BASE_URL"], server.environment["OPENAI_API_KEY"]
    async with Client(base_url=url, api_key=api_key or key, max_retries=0) as client:
        assistant = await client.assistants.create(model="gpt-4o")
        return await client.threads.create_and_run_poll(
            assistant_id=assistant.id, thread={"messages": [{"role": "user", "content": "Hi"}]}
        )


def test_it_prints_the_environment_that_leads_programs_to_it_and_serves_them() -> None:
    with serving() as server:
        run = asyncio.run(use(server))
        assert run.status == "completed"
        url = server.environment["OPENAI_BASE_URL"]
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/v1", url)
        assert server.said == [
            f"asyncruns serve · {url} · Ctrl-C to stop\n",
            "\n",
            f"export OPENAI_BASE_URL={url}\n",
            "export OPENAI_API_KEY=any\n",
        ]
        assert server.stop(signal.SIGTERM) == (0, "", "")


def test_a_script_of_ones_own_is_what_the_model_does(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text(SCRIPT)
    with serving("--script", "model:script", cwd=tmp_path) as server:
        run = asyncio.run(use(server))
        assert run.status == "requires_action"
        assert b'{\\"city\\":\\"Oslo\\"}' in (run.raw or b"")
        assert server.stop(signal.SIGTERM) == (0, "", "")


def test_the_log_has_a_line_for_each_request_and_every_request_must_bring_the_key() -> None:
    key = "it's secret"
    with serving("--log", "--api-key", key) as server:
        assert server.environment["OPENAI_API_KEY"] == """'it'"'"'s secret'"""
        with pytest.raises(AuthenticationError):
            asyncio.run(use(server, "wrong"))
        asyncio.run(use(server, key))
        code, stdout, stderr = server.stop(signal.SIGTERM)
    lines = stderr.splitlines()
    assert re.fullmatch(r"401 POST /v1/assistants · req_\w+", lines[0])
    assert re.fullmatch(r"200 POST /v1/assistants · req_\w+", lines[1])
    assert re.fullmatch(r"200 POST /v1/threads/runs · req_\w+", lines[2])
    assert re.fullmatch(r"200 GET /v1/threads/thread_\w+/runs/run_\w+ · req_\w+", lines[3])
    assert (code, stdout) == (0, "")


def test_ctrl_c_exits_130_also_while_a_stream_is_open() -> None:
    async def stop_in_a_stream(server: Server) -> tuple[int, str, str]:
        url = server.environment["OPENAI_BASE_URL"]
        async with Client(base_url=url, api_key="any") as client:
            assistant = await client.assistants.create(model="gpt-4o")
            thread = await client.threads.create()
            async with client.runs.stream(
                thread_id=thread.id, assistant_id=assistant.id, on_interrupt="raise"
            ) as stream:
                async for event in stream:
                    if event.event == "thread.message.created":
                        break
                return server.stop(signal.SIGINT)

    with serving("--token-rate", "0.1") as server:
        code, stdout, stderr = asyncio.run(stop_in_a_stream(server))
    assert (code, stdout, stderr.strip()) == (130, "", "")


def test_on_a_terminal_the_environment_is_there_to_be_pasted(on_terminal: OnTerminal) -> None:
    with on_terminal("serve", NO_COLOR="1") as terminal:
        terminal.read_until(b"export OPENAI_API_KEY=any")
        terminal.process.send_signal(signal.SIGINT)
        code, written = terminal.end()
    assert "\nexport OPENAI_BASE_URL=http://127.0.0.1:" in written
    assert "Traceback" not in written
    assert code == 130


def test_a_port_that_is_taken_is_exit_1_and_one_line(run: RunCommand) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        reason = os.strerror(errno.EADDRINUSE)
        assert run("serve", "--port", str(port)) == (
            1,
            "",
            f"asyncruns: cannot listen on port {port}: {reason}\n",
        )


def test_a_script_that_is_none_is_exit_2(run: RunCommand) -> None:
    ended = run("serve", "--script", "asyncruns:Client")
    assert ended.stderr.splitlines()[-1] == (
        "asyncruns: Invalid value for '--script': 'asyncruns:Client' is no async generator "
        "function: it must be `async def` and `yield` actions (see 'asyncruns serve --help')"
    )
    assert (ended.code, ended.stdout) == (2, "")
