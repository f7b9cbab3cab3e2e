"""`asyncruns` itself: help, version, what it loads, and how it refuses."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from asyncruns import __version__
from tests.cli.conftest import ASYNCRUNS, environment

if TYPE_CHECKING:
    from tests.cli.conftest import Run

LOADED = """
import atexit, sys
from asyncruns.cli import main
atexit.register(lambda: print(*{"aiohttp", "rich", "asyncruns.emulator"} & set(sys.modules)))
sys.exit(main())
"""

WITHOUT_A_PACKAGE = """
import sys
sys.modules[{package!r}] = None
from asyncruns.cli import main
sys.exit(main())
"""


@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help_says_what_there_is(run: Run, option: str) -> None:
    ended = run(option)
    assert ended.stdout.startswith("Usage: asyncruns [OPTIONS] COMMAND")
    assert re.search(r"^  demo  .+\.$", ended.stdout, re.MULTILINE)
    assert (ended.code, ended.stderr) == (0, "")


@pytest.mark.parametrize("words", ["--help", "--version", "runs create --help"])
def test_help_and_version_load_neither_aiohttp_nor_rich(run: Run, words: str) -> None:
    ended = run(*words.split(), start=(sys.executable, "-c", LOADED))
    assert ended.stdout.splitlines()[-1] == ""
    assert ended.code == 0


def test_help_of_a_command_is_its_own(run: Run) -> None:
    ended = run("demo", "--help")
    assert ended.stdout.startswith("Usage: asyncruns demo [OPTIONS]")
    assert "--token-rate" in ended.stdout
    assert ended.code == 0


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("asyncruns runs s", ["steps", "stream", "submit-tool-outputs"]),
        ("asyncruns beta:threads:runs list --order ", ["asc", "desc"]),
    ],
)
def test_the_shell_completes_commands_flags_and_values(
    run: Run, words: str, offered: list[str]
) -> None:
    place = str(len(words.split(" ")) - 1)
    ended = run(_ASYNCRUNS_COMPLETE="bash_complete", COMP_WORDS=words, COMP_CWORD=place)
    assert ended.stdout.splitlines() == [f"plain,{word}" for word in offered]
    assert ended.stderr == ""


def test_the_script_for_the_shell_is_to_be_had(run: Run) -> None:
    ended = run(_ASYNCRUNS_COMPLETE="bash_source")
    assert "complete -o nosort -F _asyncruns_completion asyncruns" in ended.stdout
    assert ended.code == 0


@pytest.mark.parametrize("group", ["runs", "runs steps", "threads", "messages", "assistants"])
def test_help_of_a_group_cuts_no_summary(run: Run, group: str) -> None:
    _, _, commands = run(*group.split(), "--help").stdout.partition("Commands:")
    assert "list" in commands or "create" in commands
    assert "..." not in commands


def test_version(run: Run) -> None:
    assert run("--version") == (0, f"asyncruns {__version__}\n", "")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("dmo",), "asyncruns: No such command 'dmo'. Did you mean 'demo'?"),
        (("demo", "--jsn"), "asyncruns: No such option '--jsn'. Did you mean '--json'?"),
        (("demo", "extra"), "asyncruns: Got unexpected extra argument (extra)"),
        (("demo", "--token-rate", "-1"), "asyncruns: Invalid value for '--token-rate'"),
        (("runs", "lst"), "asyncruns: No such command 'lst'. Did you mean 'list'?"),
        (("runs", "list"), "asyncruns: Missing option '--thread-id'."),
        (
            ("beta:threads:runs", "list", "--threadid", "t"),
            "asyncruns: No such option '--threadid'. Did you mean '--thread-id'?",
        ),
        (
            ("runs", "list", "--thread-id", "t", "--limit", "ten"),
            "asyncruns: Invalid value for '--limit': expected a whole number, got 'ten'",
        ),
        (
            ("runs", "create", "--metadata", '{"a": }'),
            "asyncruns: Invalid value for '--metadata': not JSON at line 1, column 7: ",
        ),
    ],
)
def test_bad_input_is_exit_2_and_names_what_is_wrong(
    run: Run, arguments: tuple[str, ...], complaint: str
) -> None:
    ended = run(*arguments)
    (line,) = ended.stderr.splitlines()
    assert line.startswith(complaint)
    assert line.endswith(" --help')")
    assert (ended.code, ended.stdout) == (2, "")


@pytest.mark.parametrize("package", ["click", "rich"])
def test_without_its_extra_it_says_how_to_get_it(run: Run, package: str) -> None:
    start = (sys.executable, "-c", WITHOUT_A_PACKAGE.format(package=package))
    ended = run("demo", start=start)
    assert ended.stderr == (
        f"asyncruns: the command line needs {package}: pip install 'asyncruns[cli]'\n"
    )
    assert (ended.code, ended.stdout) == (1, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="it is there only on Linux")
@pytest.mark.parametrize("more", [(), ("--json",)])
def test_an_output_without_room_is_one_line_on_stderr(
    more: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / "run.sse").write_bytes(b"event: done\ndata: [DONE]\n\n")
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run(
            [*ASYNCRUNS, "replay", str(tmp_path / "run.sse"), *more],
            check=False,
            env=environment(),
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=30,
        )
    assert ended.stderr == b"asyncruns: no space left on device\n"
    assert ended.returncode == 1


@pytest.mark.parametrize("words", ["demo --json", "demo", "--help"])
def test_an_output_that_is_closed_is_no_failure(run: Run, words: str) -> None:
    start = ("sh", "-c", 'exec "$@" >&-', "sh", *ASYNCRUNS)
    ended = run(*words.split(), start=start)
    assert (ended.code, ended.stdout) == (0, "")
    assert "Traceback" not in ended.stderr
