"""`asyncruns runs stream` and `runs watch`, as processes, on pipes and on terminals."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from asyncruns.emulator import Call, Fail, Parallel, Say, Wait
from tests.cli.backend import serving
from tests.cli.conftest import ASYNCRUNS

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator

    from asyncruns.emulator import Action, Context
    from tests.cli.backend import Backend

ESCAPE = "\x1b["
A_MOMENT = 0.2
"""Seconds that a hand needs; between a prompt and its wait for a key, readline loses a signal."""

TOOLS = '''
import time

async def get_weather(city: str) -> str:
    """Tell the weather."""
    print("asked for", city)
    return f"sunny in {city}"

def get_time(city: str) -> str:
    """Tell the time."""
    return "17:40"

tools = [get_weather, get_time]

def sleep(seconds: int) -> str:
    """Sleep."""
    print("asleep")
    time.sleep(seconds)
    return "slept"

sleepers = [sleep]
'''


async def ask(_context: Context) -> AsyncGenerator[Action, Any]:
    weather, time = yield Parallel(
        Call("get_weather", {"city": "Oslo"}), Call("get_time", {"city": "Oslo"})
    )
    yield Say(f"It is {time} and {weather}.")


async def fail(_context: Context) -> AsyncGenerator[Action, Any]:
    yield Say("I will", ending=Fail("server_error", "No \x1b[2J."))


async def talk(_context: Context) -> AsyncGenerator[Action, Any]:
    yield Say("Well, let me think about that.")
    yield Wait(600)


async def sleep(_context: Context) -> AsyncGenerator[Action, Any]:
    yield Call("sleep", {"seconds": 600})


async def attack(_context: Context) -> AsyncGenerator[Action, Any]:
    yield Say("safe \x1b]0;owned\x07\x9b2J\u202e text")


@pytest.fixture(name="server", scope="module")
def fixture_server() -> Generator[Backend]:
    with serving(ask) as backend:
        yield backend


@pytest.fixture(name="backend")
def fixture_backend(server: Backend) -> Backend:
    """The server, with a thread that no run holds."""
    server.emulator.script = ask
    server.renew()
    return server


@pytest.fixture(name="here")
def fixture_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current directory with tools in it."""
    (tmp_path / "own.py").write_text(TOOLS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def without_codes(written: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", written)


def shell(line: str, backend: Backend) -> subprocess.CompletedProcess[str]:
    """Run a command line as somebody who has pasted it into a shell."""
    scripts = Path(sys.executable).parent
    path = f"{scripts}{os.pathsep}{os.environ['PATH']}"
    environ = {**backend.environment, "PATH": path}
    return subprocess.run(
        ["/bin/sh", "-c", line],
        capture_output=True,
        check=False,
        encoding="utf-8",
        env=environ,
        stdin=subprocess.DEVNULL,
        timeout=30,
    )


def test_piped_it_prints_lines_and_the_commands_that_go_on_where_outputs_are_wanted(
    backend: Backend,
) -> None:
    ended = backend.run("runs", "stream", *backend.creation)
    assert (ended.code, ended.stderr) == (1, "")
    state = backend.newest_run()
    ids = [call["id"] for call in state["required_action"]["submit_tool_outputs"]["tool_calls"]]
    lines = ended.stdout.splitlines()
    names = f"--thread-id {backend.thread_id} --run-id {state['id']}"
    assert lines == [
        "run            queued",
        "run            in_progress",
        'get_weather    {"city":"Oslo"}',
        'get_time       {"city":"Oslo"}',
        "run            requires_action",
        "",
        "The run waits for the outputs of 2 tool calls:",
        f'  {ids[0]}  get_weather {{"city":"Oslo"}}',
        f'  {ids[1]}  get_time {{"city":"Oslo"}}',
        "",
        "This submits them, each in the place of its OUTPUT:",
        "",
        f"asyncruns runs submit-tool-outputs {names} \\",
        f"""  --tool-output '{{"tool_call_id": "{ids[0]}", "output": "OUTPUT"}}' \\""",
        f"""  --tool-output '{{"tool_call_id": "{ids[1]}", "output": "OUTPUT"}}'""",
        "",
        "This shows how the run goes on, and with --tools module:toolset answers for you:",
        "",
        f"asyncruns runs watch {names}",
    ]
    submitted = shell("\n".join(lines[12:15]).replace('"OUTPUT"', "\"it'\\''s 9\""), backend)
    assert (submitted.returncode, submitted.stderr) == (0, "")
    watched = shell(lines[-1], backend)
    assert "message        It is it's 9 and it's 9.\n" in watched.stdout
    assert (watched.returncode, watched.stderr) == (0, "")


def test_tools_of_ones_own_answer_the_calls(backend: Backend, here: Path) -> None:
    assert here == Path.cwd()
    tools = ("--tools", "own:tools")
    ended = backend.run("runs", "stream", *backend.creation, *tools)
    lines = ended.stdout.splitlines()
    assert lines[4:] == [
        "run            requires_action",
        "asked for Oslo",
        "output         get_weather → sunny in Oslo",
        "output         get_time → 17:40",
        "run            queued",
        "run            in_progress",
        "message        It is 17:40 and sunny in Oslo.",
        lines[-1],
    ]
    facts = r"run            completed · \d+\.\d\d s · \d+ tokens \(\d+ in, \d+ out\)"
    assert re.fullmatch(facts, lines[-1])
    assert (ended.code, ended.stderr) == (0, "")


def test_events_are_lines_of_json_as_the_server_sent_them(backend: Backend, here: Path) -> None:
    assert here == Path.cwd()
    options = ("--events", "--tools", "own:tools", "--body", '{"stream": true}')
    ended = backend.run("runs", "stream", *backend.creation, *options)
    events = [json.loads(line) for line in ended.stdout.splitlines()]
    assert {tuple(event) for event in events} == {("event", "data")}
    names = [event["event"] for event in events]
    assert names[:3] == ["thread.run.created", "thread.run.queued", "thread.run.in_progress"]
    assert names.count("done") == 2
    assert events[-1] == {"event": "done", "data": "[DONE]"}
    assert events[-2] == {"event": "thread.run.completed", "data": backend.newest_run()}
    assert ended.stderr == "asked for Oslo\n"  # what tools print is no event
    assert ended.code == 0


def test_what_a_run_waits_for_is_no_event_and_goes_to_stderr(backend: Backend) -> None:
    ended = backend.run("runs", "stream", *backend.creation, "--events")
    assert json.loads(ended.stdout.splitlines()[-2])["event"] == "thread.run.requires_action"
    assert ended.stderr.startswith("\nThe run waits for the outputs of 2 tool calls:\n")
    assert ended.code == 1


def test_a_run_that_fails_is_exit_1_and_says_why(backend: Backend) -> None:
    backend.emulator.script = fail
    ended = backend.run("runs", "stream", *backend.creation)
    text = " ".join(ended.stdout.split())  # long lines are wrapped
    why = r"\d+\.\d\d s( · \d+ tokens \(\d+ in, \d+ out\))? · server_error: No \ufffd\[2J\."
    assert re.search(rf"message I will step failed · {why} run failed · {why}$", text)
    assert (ended.code, ended.stderr) == (1, "")


def test_control_codes_of_a_server_reach_neither_pipe_nor_terminal(backend: Backend) -> None:
    backend.emulator.script = attack
    ended = backend.run("runs", "stream", *backend.creation)
    assert "message        safe \ufffd]0;owned\ufffd\ufffd2J\ufffd text\n" in ended.stdout
    with backend.on_terminal("runs", "stream", *backend.creation, "--events") as terminal:
        code, written = terminal.end()
    assert not set(written) & {"\x1b", "\x07", "\x9b", "\u202e"}
    end = next(json.loads(line) for line in written.splitlines() if ".message.completed" in line)
    assert end["data"]["content"][0]["text"]["value"] == "safe \x1b]0;owned\x07\x9b2J\u202e text"
    assert code == 0


def test_on_a_terminal_the_tree_grows_and_stays(backend: Backend, here: Path) -> None:
    assert here == Path.cwd()
    backend.emulator.token_rate = 30
    try:
        options = ("--tools", "own:tools")
        with backend.on_terminal("runs", "stream", *backend.creation, *options) as terminal:
            code, written = terminal.end()
    finally:
        backend.emulator.token_rate = None
    assert f"{ESCAPE}[36m" in written or f"{ESCAPE}36m" in written
    assert f"{ESCAPE}1A" in written  # the cursor goes up, to draw again
    plain = without_codes(written)
    assert len(set(re.findall("[⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏] run · in_progress · ", plain))) > 1
    assert "get_weather {" in plain.replace('{"city":"Oslo"}', "")  # arguments on their way
    last = plain[plain.rindex("✓ run · completed") :].splitlines()
    facts = r"completed · \d+\.\d\d s · \d+ tokens \(\d+ in, \d+ out\)"
    assert re.fullmatch(rf"✓ run · {facts}", last[0])
    assert re.fullmatch(rf"├── ✓ tool calls · {facts}", last[1])
    assert last[2:6] == [
        '│   ├── get_weather {"city":"Oslo"}',
        "│   │   → sunny in Oslo",
        '│   └── get_time {"city":"Oslo"}',
        "│       → 17:40",
    ]
    assert re.fullmatch(rf"└── ✓ message creation · {facts}", last[6])
    assert last[7:] == ["    It is 17:40 and sunny in Oslo."]
    assert code == 0


def test_no_color_leaves_the_colours_out(backend: Backend) -> None:
    with backend.on_terminal("runs", "stream", *backend.creation, NO_COLOR="1") as terminal:
        code, written = terminal.end()
    assert not re.search(r"\x1b\[[0-9;]*[349][0-7]m", written)
    plain = without_codes(written)
    assert "… run · requires_action" in plain
    assert "asyncruns runs submit-tool-outputs --thread-id" in plain
    assert code == 1


LEFT = r"asyncruns: (run_\w+) goes on; this cancels it:\nasyncruns runs cancel .* --run-id \1\n\n"


@pytest.mark.parametrize(
    ("options", "said", "status"),
    [
        ((), LEFT, "in_progress"),
        (("--cancel-on-interrupt",), r"asyncruns: run_\w+ is cancelling\n\n", "cancel"),
    ],
)
def test_ctrl_c_on_a_pipe_leaves_the_run_or_cancels_it_as_was_said(
    backend: Backend, options: tuple[str, ...], said: str, status: str
) -> None:
    backend.emulator.script = talk
    with subprocess.Popen(
        [*ASYNCRUNS, "runs", "stream", *backend.creation, *options],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        env=backend.environment,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("run            in_progress"):
                break
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=30)
    assert re.fullmatch(said, stderr)
    assert process.returncode == 130
    assert backend.newest_run()["status"].startswith(status)


@pytest.mark.parametrize(
    ("answer", "status"), [(b"y\n", "cancel"), (b"\n", "in_progress"), (None, "in_progress")]
)
def test_ctrl_c_on_a_terminal_asks_and_a_second_one_leaves_at_once(
    backend: Backend, answer: bytes | None, status: str
) -> None:
    backend.emulator.script = talk
    with backend.on_terminal("runs", "stream", *backend.creation) as terminal:
        terminal.read_until(b"let me think")
        terminal.process.send_signal(signal.SIGINT)
        terminal.read_until(b"Cancel it at the server? [y/N]: ")
        if answer is None:
            time.sleep(A_MOMENT)
            terminal.process.send_signal(signal.SIGINT)
        else:
            terminal.write(answer)
        code, written = terminal.end()
    assert code == 130
    assert "Traceback" not in written
    assert (" goes on; this cancels it:\n" in written) == (status == "in_progress")
    assert written.rindex(f"{ESCAPE}?25h") > written.rindex(f"{ESCAPE}?25l")
    assert backend.newest_run()["status"].startswith(status)


def test_ctrl_c_does_not_wait_for_a_tool_that_takes_its_time(backend: Backend, here: Path) -> None:
    assert here == Path.cwd()
    backend.emulator.script = sleep
    tools = ("--tools", "own:sleepers")
    with backend.on_terminal("runs", "stream", *backend.creation, *tools) as terminal:
        terminal.read_until(b"asleep")
        terminal.process.send_signal(signal.SIGINT)
        terminal.read_until(b"Cancel it at the server? [y/N]: ")
        time.sleep(A_MOMENT)
        terminal.process.send_signal(signal.SIGINT)
        code, written = terminal.end()
    assert "Traceback" not in written
    assert code == 130


@pytest.mark.parametrize(
    ("arguments", "code", "complaint"),
    [
        (
            ("--assistant-id", "asst_none"),
            1,
            r"asyncruns: 404 on POST \S+: No assistant found with id 'asst_none'\. .*",
        ),
        (("--assistant-id", "a", "--tools", "own"), 2, r"asyncruns: Invalid value for '--tools'.*"),
        ((), 2, r"asyncruns: Missing option '--assistant-id'\..*"),
    ],
)
def test_what_goes_wrong_is_one_line(
    backend: Backend, arguments: tuple[str, ...], code: int, complaint: str
) -> None:
    thread = ("--thread-id", backend.thread_id)
    ended = backend.run("runs", "stream", *thread, *arguments)
    assert re.fullmatch(complaint, ended.stderr.strip())
    assert (ended.code, ended.stdout) == (code, "")


def test_a_run_that_is_over_can_be_watched_from_its_beginning(backend: Backend) -> None:
    async def answer(_context: Context) -> AsyncGenerator[Action, Any]:
        yield Say("Fine, thanks.")

    names = backend.add_run(answer)
    ended = backend.run("runs", "watch", *names)
    lines = ended.stdout.splitlines()
    assert lines[-2] == "message        Fine, thanks."
    assert re.fullmatch(r"run            completed · \d+\.00 s · \d+ tokens \(.*\)", lines[-1])
    assert (ended.code, ended.stderr) == (0, "")


def test_watching_a_run_that_does_not_exist_says_what_the_server_says(backend: Backend) -> None:
    ended = backend.run("runs", "watch", "--thread-id", backend.thread_id, "--run-id", "run_x")
    assert ended.stderr.startswith("asyncruns: 404 on GET /threads/")
    assert (ended.code, ended.stdout) == (1, "")


def test_watching_answers_calls_with_tools_and_marks_its_events_as_recovered(
    backend: Backend, here: Path
) -> None:
    assert here == Path.cwd()
    names = backend.add_run(ask)
    options = ("--tools", "own:tools", "--events")
    ended = backend.run("runs", "watch", *names, *options)
    events = [json.loads(line) for line in ended.stdout.splitlines()]
    assert events[0]["event"] == "thread.run.created"
    assert events[0]["recovered"] is True
    completed = [event for event in events if event["event"] == "thread.run.completed"]
    assert completed == [{"event": "thread.run.completed", "data": backend.newest_run()}]
    assert ended.code == 0


def test_a_live_run_is_watched_to_its_end_on_a_terminal(backend: Backend) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def wait(_context: Context) -> AsyncGenerator[Action, Any]:
        yield Say("First this,")
        begun.set()
        await go_on.wait()
        yield Say("then that.")

    async def start() -> asyncio.Task[dict[str, Any]]:
        emulator = backend.emulator
        adding = asyncio.create_task(
            emulator.add_run(backend.thread_id, "assistant_id", script=wait)
        )
        await begun.wait()
        return adding

    async def proceed() -> None:
        go_on.set()

    adding = backend.do(start)  # referenced, so that it goes on
    names = ("--thread-id", backend.thread_id, "--run-id", backend.newest_run()["id"])
    with backend.on_terminal("runs", "watch", *names) as terminal:
        terminal.read_until(b"First this,")
        backend.do(proceed)
        code, written = terminal.end()
    plain = without_codes(written)
    assert re.search("[⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏] run · in_progress · ", plain)
    last = plain[plain.rindex("✓ run · completed") :].splitlines()
    assert [last[2], last[4]] == ["│   First this,", "    then that."]
    assert adding.done()
    assert code == 0


def test_ctrl_c_leaves_a_run_that_is_only_watched(backend: Backend) -> None:
    names = backend.add_run(talk)
    with backend.on_terminal("runs", "watch", *names) as terminal:
        terminal.read_until(b"let me think")
        terminal.process.send_signal(signal.SIGINT)
        code, written = terminal.end()
    assert f"asyncruns: {names[-1]} goes on; this cancels it:" in written
    assert backend.newest_run()["status"] == "in_progress"
    assert code == 130


def test_a_run_that_is_not_there_is_exit_1(backend: Backend) -> None:
    names = ("--thread-id", backend.thread_id, "--run-id", "run_none")
    ended = backend.run("runs", "watch", *names)
    assert "404" in ended.stderr
    assert "run_none" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
    assert (ended.code, ended.stdout) == (1, "")
