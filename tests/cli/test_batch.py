"""`asyncruns runs batch` as a process: each job once, whatever becomes of the process."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import pytest

from asyncruns.cli.joblines import JobLines
from asyncruns.emulator import Call, Fail, Say, Wait
from tests.cli.conftest import ASYNCRUNS, environment
from tests.cli.house import House, opened

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator, Iterable

    from asyncruns.emulator import Action, Context
    from tests.cli.conftest import Ended, OnTerminal, Run

Json = dict[str, Any]

TOOLS = '''
def weather(city: str) -> str:
    """Tell the weather."""
    return f"sunny in {city}"

def snow(city: str) -> str:
    """Tell the weather."""
    return f"snow in {city}"

snow.__name__ = "weather"
'''


async def reply(context: Context) -> AsyncGenerator[Action, Any]:
    """Do what the message says, and repeat it."""
    asked = context.input
    if "slow" in asked:
        yield Wait(0.4)
    if "fail" in asked:
        yield Fail("server_error", "No luck.")
    output = (yield Call("weather", {"city": "Oslo"})) if "weather" in asked else ""
    yield Say(f"You said: {asked} {output}".strip())


@pytest.fixture
def house(tmp_path: Path) -> Generator[House]:
    (tmp_path / "own_tools.py").write_text(TOOLS)
    with opened() as house:
        house.emulator.script = reply
        yield house


def write(path: Path, jobs: Iterable[Json]) -> str:
    lines = (json.dumps({"assistant_id": "assistant_id", **job}) for job in jobs)
    path.write_text("".join(f"{line}\n" for line in lines))
    return str(path)


def read(path: Path) -> list[Json]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def mixed(count: int, word: str = "slow") -> list[Json]:
    """Jobs on new threads and on one that is there, with and without a key of their own."""
    return [
        {
            "message": f"{word} {number}",
            **({"thread_id": f"thread_{number % 6}"} if number % 2 else {}),
            **({"dedupe_key": f"job {number}"} if number % 3 else {}),
        }
        for number in range(count)
    ]


@pytest.fixture
def start(house: House, tmp_path: Path) -> Generator[Callable[..., subprocess.Popen[str]]]:
    """Start a batch, and go on."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str, **pipes: Any) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [*ASYNCRUNS, "runs", "batch", *arguments],
            cwd=tmp_path,
            env=environment(OPENAI_BASE_URL=house.emulator.base_url, OPENAI_API_KEY="any"),
            encoding="utf-8",
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            **pipes,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def batch(start: Callable[..., subprocess.Popen[str]]) -> Callable[..., tuple[int, str, str]]:
    """Run a batch to its end: its exit code, and what it has written."""

    def batch(*arguments: str, typed: str | None = None) -> tuple[int, str, str]:
        pipes = {"stdin": subprocess.DEVNULL if typed is None else subprocess.PIPE}
        process = start(*arguments, **pipes)
        stdout, stderr = process.communicate(typed, timeout=50)
        return process.returncode, stdout, stderr

    return batch


def runs_of(house: House) -> list[Json]:
    """Every run that the server has."""
    threads = house.emulator._store.threads.values()
    return [run.record for thread in threads for run in thread.runs.values()]


# What comes of it


def test_every_job_has_its_line_of_results(
    house: House, batch: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    jobs = write(
        tmp_path / "jobs.jsonl", [{"message": "one", "dedupe_key": "a"}, {"message": "two"}]
    )
    code, stdout, stderr = batch(jobs)
    assert (code, stderr) == (0, "2 jobs: 2 completed, 0 ended otherwise, 0 left\n")
    results = {line["line"]: line for line in map(json.loads, stdout.splitlines())}
    assert sorted(results) == [1, 2]
    one = results[1]
    assert (one["dedupe_key"], one["outcome"], one["error"]) == ("a", "completed", None)
    assert (one["text"], results[2]["text"]) == ("You said: one", "You said: two")
    run = house.get(f"/threads/{one['thread_id']}/runs/{one['run_id']}")
    assert one["run"] == run
    assert run["metadata"] == {"asyncruns_dedupe_key": "a"}
    assert [step["type"] for step in one["steps"]] == ["message_creation"]
    assert one["messages"][0]["content"][0]["text"]["value"] == one["text"]


def test_jobs_come_from_standard_input_with_a_mark_and_empty_lines(
    house: House, batch: Callable[..., tuple[int, str, str]]
) -> None:
    typed = '\ufeff{"assistant_id": "assistant_id", "message": "x"}\n\n  \n'
    code, stdout, _ = batch("-", "--out", "-", typed=typed)
    assert (code, json.loads(stdout)["text"]) == (0, "You said: x")
    assert len(runs_of(house)) == 1
    assert batch("-", typed="")[0] == 0


def test_tool_calls_are_answered_by_the_toolset_of_the_job(
    house: House, batch: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    jobs = write(
        tmp_path / "jobs.jsonl", [{"message": "weather"}, {"message": "weather", "toolset": "cold"}]
    )
    tools = ("--tools", "own_tools:weather", "--tools", "cold=own_tools:snow")
    code, _, _ = batch(jobs, "--out", "out.jsonl", *tools)
    assert code == 0
    texts = {line["line"]: line["text"] for line in read(tmp_path / "out.jsonl")}
    assert texts == {
        1: "You said: weather sunny in Oslo",
        2: "You said: weather snow in Oslo",
    }
    assert len(runs_of(house)) == 2


def test_what_went_wrong_is_in_the_results_and_in_the_exit_code(
    house: House, batch: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    wrong = {"assistant_id": "nobody", "message": "x"}
    jobs = write(tmp_path / "jobs.jsonl", [{"message": "fail"}, wrong, {"message": "fine"}])
    code, _, stderr = batch(jobs, "--out", "out.jsonl")
    assert code == 1
    results = {line["line"]: line for line in read(tmp_path / "out.jsonl")}
    assert [results[n]["outcome"] for n in (1, 2, 3)] == ["failed", None, "completed"]
    assert results[1]["run"]["last_error"]["message"] == "No luck."
    assert results[2]["error"]["type"] == "NotFoundError"
    first, last = stderr.splitlines()
    assert first.startswith("the first error, of line 2: 404 on POST")
    assert last == (
        "3 jobs: 1 completed, 1 ended otherwise, 1 left; the same command goes on with them"
    )
    # What has ended is over; what has not begun is tried again.
    code, _, stderr = batch(jobs, "--out", "out.jsonl")
    assert (code, stderr.splitlines()[0]) == (1, "2 of 3 jobs were done before")
    assert len(runs_of(house)) == 2


# Going on


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL, signal.SIGTERM])
def test_the_same_command_goes_on_after_it_was_stopped(
    end: signal.Signals,
    house: House,
    start: Callable[..., subprocess.Popen[str]],
    batch: Callable[..., tuple[int, str, str]],
    tmp_path: Path,
) -> None:
    for number in range(6):
        house.emulator.add_thread(id=f"thread_{number}")
    jobs, out = write(tmp_path / "jobs.jsonl", mixed(24)), tmp_path / "out.jsonl"
    arguments = (jobs, "--out", str(out), "--concurrency", "6")
    for _ in range(2):
        wanted = count(out) + 4
        process = start(*arguments)
        wait_for_lines(out, wanted)
        os.kill(process.pid, end)
        process.communicate(timeout=20)
        assert process.returncode == (130 if end is signal.SIGINT else -end)
        tear(out)
        tear(out.with_name("out.jsonl.begun"))
    code, _, stderr = batch(*arguments)
    assert code == 0
    assert re.match(r"\d+ of 24 jobs were done before\n", stderr)
    assert stderr.endswith("24 jobs: 24 completed, 0 ended otherwise, 0 left\n")
    results = read(out)
    said = sorted(int(result["text"].split()[-1]) for result in results)
    assert said == list(range(24))
    # One run each, and none that nobody asked for.
    assert {run["id"] for run in runs_of(house)} == {result["run_id"] for result in results}
    assert len(runs_of(house)) == 24
    assert not out.with_name("out.jsonl.begun").exists()


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


def wait_for_lines(path: Path, wanted: int) -> None:
    wait_for(lambda: count(path) >= wanted)


def count(path: Path) -> int:
    """How many whole lines a file has."""
    return path.read_bytes().count(b"\n") if path.exists() else 0


def tear(path: Path) -> None:
    """Write the beginning of a line as a process does that is killed meanwhile."""
    lines = path.read_bytes().splitlines(keepends=True)
    with path.open("ab") as file:
        file.write(lines[-1][:-5])


def test_a_job_that_is_added_later_is_the_only_one_that_is_done(
    house: House, batch: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    jobs, same = tmp_path / "jobs.jsonl", [{"message": "same"}, {"message": "same"}]
    assert batch(write(jobs, same), "--out", "out.jsonl")[0] == 0
    assert batch(write(jobs, [{"message": "new"}, *same]), "--out", "out.jsonl")[0] == 0
    texts = [line["text"] for line in read(tmp_path / "out.jsonl")]
    assert texts == ["You said: same", "You said: same", "You said: new"]
    assert len(runs_of(house)) == 3


def test_results_elsewhere_are_a_new_beginning(
    house: House, batch: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    jobs = write(tmp_path / "jobs.jsonl", [{"message": "x", "thread_id": "thread_id"}])
    assert batch(jobs, "--out", "one.jsonl")[0] == batch(jobs, "--out", "two.jsonl")[0] == 0
    assert len(runs_of(house)) == 2


def test_a_key_finds_its_run_whoever_has_begun_it(
    house: House, batch: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    job = {"message": "x", "thread_id": "thread_id", "dedupe_key": "order-1"}
    jobs = write(tmp_path / "jobs.jsonl", [job])
    assert batch(jobs, "--out", "one.jsonl")[0] == batch(jobs, "--out", "two.jsonl")[0] == 0
    one, two = read(tmp_path / "one.jsonl") + read(tmp_path / "two.jsonl")
    assert one["run_id"] == two["run_id"]
    assert one["text"] == two["text"] == "You said: x"
    assert len(runs_of(house)) == 1


def test_two_batches_do_not_write_to_one_file(
    start: Callable[..., subprocess.Popen[str]],
    batch: Callable[..., tuple[int, str, str]],
    tmp_path: Path,
) -> None:
    jobs = write(tmp_path / "jobs.jsonl", mixed(1))
    first = start(jobs, "--out", "out.jsonl")
    wait_for((tmp_path / "out.jsonl.begun").exists)
    code, _, stderr = batch(jobs, "--out", "out.jsonl")
    assert (code, stderr) == (
        1,
        "asyncruns: another batch is writing its results to out.jsonl\n",
    )
    first.communicate(timeout=20)
    assert first.returncode == 0


# Bad input


GOOD = '{"assistant_id": "assistant_id"}\n'
BAD = {
    f"{GOOD}nonsense\n": "line 2: it is no job: JSON is malformed",
    f"{GOOD}\n[1]\n": "line 3: it is no job: Expected `object`, got `array`",
    '{"message": "x"}': "line 1: it is no job: Object missing required field `assistant_id`",
    '{"assistant_id": "a", "thread": 1}': "line 1: it is no job: Expected `object | null`",
    '{"assistant_id": "a", "massage": "x"}': "contains unknown field `massage`",
    '{"assistant_id": "a", "toolset": "b"}': "line 1: no --tools b=module:toolset is given",
    '{"assistant_id": "a", "dedupe_key": "k"}\n' * 2: "line 2: the dedupe_key is that of line 1",
    '{"assistant_id": "a", "params": {"metadata": {'
    + ",".join(f'"{n}": ""' for n in range(16))
    + "}}}": "no room for the dedupe_key",
}


@pytest.mark.parametrize(("lines", "said"), BAD.items())
def test_a_line_that_is_no_job_is_named(lines: str, said: str) -> None:
    jobs = JobLines(BytesIO(lines.encode()), "jobs.jsonl")
    with pytest.raises(click.UsageError) as caught:
        jobs.check(())
    assert re.match(r"jobs.jsonl, line \d: ", caught.value.message)
    assert said in caught.value.message
    assert len(caught.value.message.splitlines()) == 1


def test_a_bad_line_stops_everything_before_it_begins(
    house: House, batch: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    code, stdout, stderr = batch("-", "--out", "out.jsonl", typed=f"{GOOD}nonsense\n")
    assert (code, stdout) == (2, "")
    assert stderr.startswith("asyncruns: standard input, line 2: it is no job: JSON is malformed")
    assert len(stderr.splitlines()) == 1
    assert runs_of(house) == []
    assert not (tmp_path / "out.jsonl").exists()


def test_files_that_are_something_else_are_left_alone(
    batch: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    jobs = write(tmp_path / "jobs.jsonl", [{"message": "x"}])
    other = tmp_path / "notes.txt"
    other.write_text("Dear diary,\nnothing new")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    wrong = {
        (jobs, "--out", jobs): "JOBS and --out are the same file",
        (jobs, "--out", str(other)): "notes.txt, line 1: it is no result of a batch",
        (jobs, "--out", os.devnull): "/dev/null is no file; '-' writes to standard output",
        ("gone.jsonl",): "cannot read the jobs in gone.jsonl: no such file or directory",
        (jobs, "--tools", "=own_tools:weather"): "has no name before its =",
        (jobs, "--concurrency", "0"): "0 is not in the range 1<=x<=1000",
    }
    for arguments, said in wrong.items():
        code, _, stderr = batch(*arguments)
        assert (code, said in stderr) == (2, True), stderr
    code, _, stderr = batch(jobs, "--out", "no/such/folder.jsonl")
    assert (code, "cannot write the results" in stderr) == (1, True)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir() if p.is_file()} == before


# As it is shown


def test_the_commands_of_the_readme_run_as_they_stand(house: House, tmp_path: Path) -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    (lines,) = re.findall(r"^```sh\n(echo .*\nasyncruns runs batch .*\n)```$", readme, re.MULTILINE)
    house.emulator.add_assistant(id="asst_1")
    (tmp_path / "tools.py").write_text(f"{TOOLS}\ntoolset = [weather]")
    command = 'asyncruns() { "$PYTHON" -m asyncruns.cli "$@"; }'
    address = house.emulator.base_url
    for _ in range(2):
        ended = subprocess.run(
            ["/bin/sh", "-ec", f"{command}\n{lines}"],
            check=False,
            cwd=tmp_path,
            env=environment(OPENAI_BASE_URL=address, OPENAI_API_KEY="any", PYTHON=sys.executable),
            timeout=50,
            capture_output=True,
        )
        assert ended.returncode == 0, ended.stderr
        (tmp_path / "jobs.jsonl").unlink()
    (result,) = read(tmp_path / "results.jsonl")
    assert result["dedupe_key"] == "order-7"


def test_a_terminal_shows_a_bar_with_rate_and_failures(
    house: House, on_terminal: OnTerminal, tmp_path: Path
) -> None:
    jobs = write(tmp_path / "jobs.jsonl", [*mixed(6, "quick")[::2], {"message": "fail"}])
    with on_terminal(
        *("runs", "batch", jobs, "--out", str(tmp_path / "out.jsonl")),
        OPENAI_BASE_URL=house.emulator.base_url,
        OPENAI_API_KEY="any",
    ) as terminal:
        code, screen = terminal.end()
    assert code == 1
    assert "4/4" in screen
    assert re.search(r"1 failed, 0 running, [\d.]+/s", screen)
    assert screen.endswith("4 jobs: 3 completed, 1 ended otherwise, 0 left\n")


def test_a_key_is_not_printed(run: Run, house: House, tmp_path: Path) -> None:
    house.emulator._server._api_key = "the right one"
    jobs = write(tmp_path / "jobs.jsonl", [{"message": "x"}])
    ended: Ended = run(
        *("runs", "batch", jobs, "--api-key", "sk-12345678", "--base-url", house.emulator.base_url)
    )
    assert ended.code == 1
    assert "401" in ended.stdout
    assert "sk-12345678" not in ended.stdout + ended.stderr
