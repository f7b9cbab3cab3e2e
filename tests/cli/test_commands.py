"""The reference's commands as processes, against a server: what is asked, what is printed."""

from __future__ import annotations

import json
import re
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from tests.cli.house import House, opened, speak_and_call

if TYPE_CHECKING:
    from collections.abc import Generator

    from tests.cli.conftest import Ended, Run

README = Path(__file__).parents[2] / "README.md"

OF_RUN = "--api-key 'My API Key' --thread-id thread_id --run-id run_id"
RUNS = "/threads/thread_id/runs"

EXAMPLES = {
    "beta:threads:runs list --api-key 'My API Key' --thread-id thread_id": RUNS,
    f"beta:threads:runs retrieve {OF_RUN}": f"{RUNS}/run_id",
    f"beta:threads:runs update {OF_RUN}": f"{RUNS}/run_id",
    f"beta:threads:runs cancel {OF_RUN}": f"{RUNS}/run_id",
    f"beta:threads:runs:steps list {OF_RUN}": f"{RUNS}/run_id/steps",
    f"beta:threads:runs:steps retrieve {OF_RUN} --step-id step_id": f"{RUNS}/run_id/steps/step_id",
}
"""The reference's examples that need a run, and where the server has what they print."""


class Ask(Protocol):
    """Run a command line against the server of all tests."""

    def __call__(self, line: str, *, typed: str | None = None) -> Ended: ...


class Printed(Protocol):
    """Run a command line, and give the JSON that it prints."""

    def __call__(self, line: str, *, typed: str | None = None) -> Any: ...


@pytest.fixture
def fresh() -> Generator[House]:
    with opened() as house:
        yield house


@pytest.fixture(scope="module")
def house() -> Generator[House]:
    """One server for all tests: a thread with runs, and one whose run waits for outputs."""
    with opened() as house:
        for number in range(5):
            house.add_run("thread_id", run_id=f"run_{number}")
        house.emulator.add_thread(id="waiting")
        house.add_run("waiting", run_id="run_id", script=speak_and_call)
        yield house


@pytest.fixture
def ask(house: House, run: Run) -> Ask:
    """Run a command against the server of all tests."""

    def ask(line: str, *, typed: str | None = None) -> Ended:
        address = house.emulator.base_url
        return run(*shlex.split(line), typed=typed, OPENAI_BASE_URL=address, OPENAI_API_KEY="any")

    return ask


@pytest.fixture
def printed(ask: Ask) -> Printed:
    """Run a command line that goes well, and decode what it prints."""

    def printed(line: str, *, typed: str | None = None) -> Any:
        ended = ask(line, typed=typed)
        assert (ended.code, ended.stderr) == (0, ""), line
        return json.loads(ended.stdout)

    return printed


@pytest.mark.parametrize(("example", "path"), EXAMPLES.items())
def test_an_example_of_the_reference_runs_as_it_stands(
    fresh: House, run: Run, example: str, path: str
) -> None:
    fresh.add_run("thread_id", run_id="run_id", script=speak_and_call)
    ended = run(*shlex.split(example), "--base-url", fresh.emulator.base_url)
    assert (ended.code, ended.stderr) == (0, "")
    printed, sent = json.loads(ended.stdout), fresh.get(path)
    assert printed.keys() == sent.keys()
    if "cancel" not in example:
        assert printed == sent
    assert fresh.emulator.requests[0].headers["Authorization"] == "Bearer My API Key"


def test_the_example_that_creates_a_run_does_so(fresh: House, run: Run) -> None:
    example = (
        "beta:threads:runs create --api-key 'My API Key' --thread-id thread_id "
        "--assistant-id assistant_id"
    )
    ended = run(*shlex.split(example), "--base-url", fresh.emulator.base_url)
    assert (ended.code, ended.stderr) == (0, "")
    printed = json.loads(ended.stdout)
    assert printed["status"] == "queued"
    assert printed.keys() == fresh.get(f"{RUNS}/{printed['id']}").keys()


def test_the_example_without_a_call_id_is_refused_by_the_server(fresh: House, run: Run) -> None:
    fresh.add_run("thread_id", run_id="run_id", script=speak_and_call)
    example = (
        "beta:threads:runs submit-tool-outputs --api-key 'My API Key' --thread-id thread_id "
        "--run-id run_id --tool-output '{}'"
    )
    ended = run(*shlex.split(example), "--base-url", fresh.emulator.base_url)
    (line,) = ended.stderr.splitlines()
    (asked,) = fresh.emulator.requests
    assert line == (
        "asyncruns: 400 on POST /threads/thread_id/runs/run_id/submit_tool_outputs: Missing "
        "required parameter: 'tool_outputs[0].tool_call_id'. (code missing_required_parameter, "
        f"param tool_outputs[0].tool_call_id, request id {asked.request_id})"
    )
    assert (ended.code, ended.stdout) == (1, "")


def test_the_commands_of_the_readme_run_as_they_stand(fresh: House, run: Run) -> None:
    (lines,) = re.findall(
        r"^```sh\n(asyncruns .*?)^```$", README.read_text(), re.DOTALL | re.MULTILINE
    )
    fresh.emulator.add_thread(id="thread_1")
    fresh.emulator.add_assistant(id="asst_1")
    for line in lines.splitlines():
        if "run_1" in line:
            fresh.emulator.add_thread(id="thread_1")
            fresh.add_run("thread_1", run_id="run_1", script=speak_and_call)
        command = line.replace("asyncruns", f"{sys.executable} -m asyncruns.cli")
        address = fresh.emulator.base_url
        ended = run(start=("sh", "-c", command), OPENAI_BASE_URL=address, OPENAI_API_KEY="any")
        assert (ended.code, ended.stderr) == (0, ""), line
    asked = fresh.emulator.requests
    assert [json.loads(request.body) for request in asked if request.method == "POST"] == [
        {"assistant_id": "asst_1", "metadata": {"order": "12"}},
        {"tool_outputs": [{"tool_call_id": "call_1", "output": "rain"}]},
        {"instructions": "Be brief.", "name": "Ada"},
    ]


def test_azure_is_asked_where_the_environment_names_it(house: House, run: Run) -> None:
    house.emulator.requests.clear()
    ended = run(
        *("runs", "list", "--thread-id", "thread_id", "--format", "jsonl"),
        AZURE_OPENAI_ENDPOINT=house.emulator.origin,
        AZURE_OPENAI_API_KEY="key-of-azure",
        OPENAI_API_VERSION="2025-03-01-preview",
    )
    assert (ended.code, ended.stderr) == (0, "")
    (asked,) = house.emulator.requests
    assert (asked.path, dict(asked.query)) == (
        "/openai/threads/thread_id/runs",
        {"api-version": "2025-03-01-preview"},
    )
    assert asked.headers["api-key"] == "key-of-azure"


def test_threads_from_their_creation_to_their_end(printed: Printed) -> None:
    thread = printed("threads create --message.role user --message.content Hi --metadata.a b")
    at = f"--thread-id {thread['id']}"
    assert printed(f"beta:threads retrieve {at}") == thread
    changed = printed(f"threads update {at}", typed='{"metadata": {"c": "d"}}')
    assert changed == {**thread, "metadata": {"c": "d"}}

    assert printed(f"threads delete {at}")["deleted"] is True


def test_messages_from_their_creation_to_their_end(printed: Printed, house: House) -> None:
    thread = house.emulator.add_thread()

    at = f"--thread-id {thread['id']}"
    message = printed(f"messages create {at} --role user --content 'How are you?'")
    one = f"{at} --message-id {message['id']}"
    assert printed(f"beta:threads:messages retrieve {one}") == message
    changed = printed(f'messages update {one} --metadata \'{{"e": "f"}}\'')
    assert changed == {**message, "metadata": {"e": "f"}}
    assert printed(f"messages list {at} --limit 1")["data"] == [changed]
    assert printed(f"messages delete {one}") == {
        "id": message["id"],
        "object": "thread.message.deleted",
        "deleted": True,
    }


def test_assistants_from_their_creation_to_their_end(printed: Printed) -> None:
    made = printed("beta:assistants create --model gpt-4o --tool.type code_interpreter --top-p 1")
    one = f"--assistant-id {made['id']}"
    assert printed(f"assistants retrieve {one}") == made
    assert printed(f"assistants update {one} --name Ada") == {**made, "name": "Ada"}
    assert printed("assistants list --order desc")["data"][0]["name"] == "Ada"
    run = printed(f"threads create-and-run {one} --thread.metadata.a b --temperature 0")
    assert (run["assistant_id"], run["temperature"]) == (made["id"], 0)
    assert printed(f"assistants delete {one}")["id"] == made["id"]


def test_max_items_follows_the_pages(ask: Ask, house: House) -> None:
    house.emulator.requests.clear()
    ended = ask("runs list --thread-id thread_id --max-items 3 --limit 2 --order asc")
    whole = house.get("/threads/thread_id/runs?order=asc")
    assert json.loads(ended.stdout) == {
        **whole,
        "data": whole["data"][:3],
        "last_id": "run_2",
        "has_more": True,
    }
    asked = [dict(request.query) for request in house.emulator.requests[:-1]]
    assert asked == [
        {"limit": "2", "order": "asc"},
        {"limit": "2", "order": "asc", "after": "run_1"},
    ]


def test_lines_are_one_object_each_and_raw_is_what_the_server_sent(ask: Ask, house: House) -> None:
    runs = house.get("/threads/thread_id/runs?order=asc")["data"]
    lines = ask("runs list --thread-id thread_id --order asc --max-items 9 --format jsonl")
    assert [json.loads(line) for line in lines.stdout.splitlines()] == runs
    one = ask("runs retrieve --thread-id thread_id --run-id run_0 --raw")
    assert one.stdout == json.dumps(runs[0], separators=(",", ":"))


def test_a_table_has_a_row_for_each_object(ask: Ask) -> None:
    ended = ask("messages list --thread-id thread_id --order asc --format table")
    head, first, *_ = ended.stdout.splitlines()
    assert head.split() == ["id", "role", "created_at", "content"]
    assert first.split()[1::3] == ["user", "Hi"]
    assert "Hello, 世界 \N{REPLACEMENT CHARACTER}!" in ended.stdout
    assert "\x1b" not in ended.stdout
    one = ask("runs retrieve --thread-id thread_id --run-id run_0 --format table")
    assert "status               completed\n" in one.stdout
