"""`asyncruns workers`, as processes: what a user types, and what is printed."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING, NamedTuple

import pytest

from asyncruns.cli import main
from tests.cli.house import opened, speak_and_call
from tests.workers.cluster import PASSWORD, USER

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from tests.workers.cluster import Cluster

COMMAND = (sys.executable, "-W", "error", "-m", "asyncruns.cli", "workers")

TOOLS = '''
async def get_weather(city: str) -> str:
    """Tell the weather."""
    return f"sunny in {city}"
'''


class Ended(NamedTuple):
    code: int | None
    stdout: str
    stderr: str


class Shell:
    """The command in this process, for what ends before anything is done."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def __call__(self, *arguments: str, stdin: str = "") -> Ended:
        self._monkeypatch.setattr(sys, "argv", ["asyncruns", "workers", *arguments])
        self._monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        code = main()
        printed = self._capsys.readouterr()
        return Ended(code, printed.out, printed.err)


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(monkeypatch, capsys)


@contextmanager
def working(folder: Path, *options: str, **environment: str) -> Generator[subprocess.Popen[str]]:
    """A worker in a process of its own, once it is ready."""
    with subprocess.Popen(
        [*COMMAND, "run", *options],
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env={**os.environ, **environment},
    ) as worker:
        try:
            assert worker.stderr is not None
            assert worker.stderr.readline().endswith(" is ready\n")
            yield worker
        finally:
            worker.kill()


@pytest.mark.database
def test_jobs_are_queued_done_and_looked_at(
    shell: Shell, address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shop.py").write_text(TOOLS)
    monkeypatch.setenv("ASYNCRUNS_DATABASE", address)
    engine, ours = f"procrastinate {version('procrastinate')}", "asyncruns"
    created = f"created the tables of {engine}\ncreated the tables of {ours}\n"
    assert shell("migrate") == (0, created, "")
    assert shell("migrate") == (0, "all tables are there already\n", "")

    with (
        opened() as house,
        working(
            tmp_path,
            *("--toolset", "shop=shop:get_weather", "--concurrency", "3"),
            OPENAI_BASE_URL=house.emulator.base_url,
            OPENAI_API_KEY="any",
        ) as worker,
    ):
        house.emulator.script = speak_and_call
        one = ("--assistant-id", "assistant_id", "--message", "Hi", "--toolset", "shop")
        assert shell("submit", *one, "--dedupe-key", "one") == (0, "one\n", "")
        assert shell("submit", *one, "--dedupe-key", "one") == (0, "one\n", "")
        job = {"assistant_id": "assistant_id", "toolset": "shop"}
        lines = "".join(f"{json.dumps({**job, 'dedupe_key': key})}\n" for key in ("two", "three"))
        assert shell("submit", "-", stdin=lines) == (0, "two\nthree\n", "")

        ended = shell("status", "--wait", "--format", "jsonl", "one", "two", "three")
        jobs = [json.loads(line) for line in ended.stdout.splitlines()]
        assert [job["key"] for job in jobs] == ["one", "two", "three"]
        assert {job["outcome"] for job in jobs} == {"completed"}
        assert shell("status") == (0, '{\n  "completed": 3\n}\n', "")
        assert shell("cancel", "one", "--format", "table").stdout.splitlines()[:3] == [
            "key               one",
            "state             ended",
            "outcome           completed",
        ]

        worker.terminate()
        assert worker.stderr is not None
        said = worker.stderr.read()
        assert worker.wait() == 0
    assert f"job one: run {jobs[0]['run_id']}" in said
    assert "job one: completed" in said
    assert said.endswith(" has stopped\n")


@pytest.mark.database
def test_ctrl_c_hands_over_and_is_exit_130(shell: Shell, address: str, tmp_path: Path) -> None:
    shell("migrate", "--database", address)
    server = ("--base-url", "http://127.0.0.1:1", "--api-key", "any")
    with working(tmp_path, *server, ASYNCRUNS_DATABASE=address) as worker:
        worker.send_signal(signal.SIGINT)
        assert worker.stderr is not None
        assert " has stopped\n" in worker.stderr.read()
        assert worker.wait() == 130


@pytest.mark.database
@pytest.mark.parametrize(
    "command", [("migrate",), ("status",), ("cancel", "key"), ("submit", "--assistant-id", "a")]
)
def test_a_database_out_of_reach_is_exit_1_and_says_where(
    command: tuple[str, ...], shell: Shell, cluster: Cluster
) -> None:
    address = cluster.address().replace(str(cluster.port), "1")
    assert shell(*command, "--database", address) == (
        1,
        "",
        (
            "asyncruns: the database cannot be reached: connection failed: connection to server "
            'at "127.0.0.1", port 1 failed: Connection refused\n'
        ),
    )


@pytest.mark.database
def test_a_wrong_password_is_told_and_not_shown(shell: Shell, cluster: Cluster) -> None:
    ended = shell("status", "--database", cluster.address(password="wrong-" + PASSWORD))
    assert f'password authentication failed for user "{USER}"' in ended.stderr
    assert PASSWORD not in ended.stderr
    assert ended.code == 1


@pytest.mark.database
@pytest.mark.parametrize(
    "command",
    [
        ("status",),
        ("cancel", "key"),
        ("submit", "--assistant-id", "a"),
        ("run", "--base-url", "http://127.0.0.1:1", "--api-key", "any"),
    ],
)
def test_a_database_without_tables_is_told_from_one_that_is_away(
    command: tuple[str, ...], shell: Shell, address: str
) -> None:
    ended = shell(*command, "--database", address)
    assert ended.stderr.splitlines()[-1] == (
        "asyncruns: the database has no queue yet, or an older one: run `asyncruns workers migrate`"
    )
    assert (ended.code, ended.stdout) == (1, "")


@pytest.mark.database
def test_a_job_that_is_not_there_is_exit_1(shell: Shell, address: str) -> None:
    shell("migrate", "--database", address)
    ended = shell("status", "nobody", "--database", address)
    assert ended == (1, "", "asyncruns: there is no job 'nobody'\n")


@pytest.mark.parametrize("address", ["postgresql:me:geheim@host/name", "geheim", "password geheim"])
def test_an_address_that_cannot_be_read_is_not_shown(address: str, shell: Shell) -> None:
    assert shell("status", "--database", address) == (
        1,
        "",
        (
            "asyncruns: the database's address cannot be read: expected "
            "postgresql://user:password@host:5432/name\n"
        ),
    )


@pytest.mark.parametrize(
    ("arguments", "stdin", "complaint"),
    [
        (("submit",), "", "give a file of jobs, or '--assistant-id' and what else one job has"),
        (("submit", "--message", "Hi"), "", "Missing option '--assistant-id'."),
        (("submit", "-"), '{"assistant_id": 3}', "line 1 is no job: Expected `str`"),
        (("submit", "-"), '{"assistant_id": "a"}\n{', "line 2 is no job: Input data"),
        (("submit", "-"), '{"assistant_id": ""}', "line 1 is no job: assistant_id"),
        (("status", "--wait"), "", "'--wait' needs the keys of the jobs to wait for"),
        (("run", "--toolset", "shop"), "", "Invalid value for '--toolset': 'shop' is not of"),
        (("run", "--silence", "0"), "", "Invalid value for '--silence': 0.0 is not in"),
    ],
)
def test_bad_input_is_exit_2_before_the_database_is_asked(
    arguments: tuple[str, ...], stdin: str, complaint: str, shell: Shell
) -> None:
    ended = shell(*arguments, "--database", "postgresql://127.0.0.1:1/none", stdin=stdin)
    assert ended.stderr.startswith(f"asyncruns: {complaint}")
    assert (ended.code, ended.stdout) == (2, "")


@pytest.mark.parametrize("command", [(), ("migrate",), ("run",), ("submit",), ("status",)])
def test_help_needs_no_engine_and_no_client(command: tuple[str, ...]) -> None:
    arguments = ["asyncruns", "workers", *command, "--help"]
    code = (
        f"import sys; sys.argv = {arguments}; from asyncruns.cli import main; main(); "
        "assert not {'procrastinate', 'psycopg', 'aiohttp'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, capture_output=True)


def test_without_its_extra_it_says_how_to_get_it() -> None:
    code = (
        "import sys; sys.modules['procrastinate'] = None; sys.argv = ['asyncruns', 'workers', "
        "'status']; from asyncruns.cli import main; sys.exit(main())"
    )
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], check=False, capture_output=True, text=True
    )
    assert ended.stderr == (
        "asyncruns: asyncruns.workers needs procrastinate: pip install 'asyncruns[workers]'\n"
    )
    assert ended.returncode == 1
