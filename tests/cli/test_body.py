"""A body on standard input: where it is read, and where nobody waits for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.cli.conftest import ASYNCRUNS, environment
from tests.cli.house import House, opened

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from tests.cli.conftest import OnTerminal, Run

CREATE = ("threads", "create", "--api-key", "")


@pytest.fixture(scope="module")
def shared() -> Generator[House]:
    with opened() as house:
        yield house


@pytest.fixture
def house(shared: House) -> House:
    shared.emulator.requests.clear()
    return shared


def sent(house: House) -> Any:
    """The body of the one request that came."""
    (asked,) = house.emulator.requests
    return json.loads(asked.body)


@pytest.mark.parametrize("asked_for", [(), ("--body", "-")])
def test_what_is_piped_is_the_body_and_flags_win_over_it(
    house: House, run: Run, asked_for: tuple[str, ...]
) -> None:
    typed = '{"metadata": {"a": "b", "c": "d"}}'
    where = ("--base-url", house.emulator.base_url)
    ended = run(*CREATE, *where, "--metadata.c", "e", *asked_for, typed=typed)
    assert (ended.code, ended.stderr) == (0, "")
    assert sent(house) == {"metadata": {"a": "b", "c": "e"}}


def test_a_file_is_the_body_where_it_is_standard_input(
    house: House, run: Run, tmp_path: Path
) -> None:
    (tmp_path / "body.json").write_text('\ufeff{"metadata": {"a": "b"}}\n', "utf-8")
    command = f"{sys.executable} -m asyncruns.cli threads create --api-key '' <{tmp_path}/body.json"
    ended = run(start=("sh", "-c", command), OPENAI_BASE_URL=house.emulator.base_url)
    assert (ended.code, ended.stderr) == (0, "")
    assert sent(house) == {"metadata": {"a": "b"}}


def test_a_pipe_that_is_empty_is_no_body(house: House, run: Run) -> None:
    ended = run(*CREATE, "--base-url", house.emulator.base_url, typed=" \n")
    assert (ended.code, ended.stderr) == (0, "")
    assert sent(house) == {}


def test_a_pipe_that_somebody_left_open_is_not_waited_for(house: House) -> None:
    left_open, held = os.pipe()
    try:
        ended = subprocess.run(
            [*ASYNCRUNS, *CREATE, "--base-url", house.emulator.base_url],
            capture_output=True,
            check=False,
            encoding="utf-8",
            env=environment(),
            stdin=left_open,
            timeout=30,
        )
    finally:
        os.close(left_open)
        os.close(held)
    assert ended.returncode == 0
    assert ended.stderr == (
        "asyncruns: nothing came from standard input; '--body -' waits for it\n"
    )
    assert sent(house) == {}


def test_a_terminal_is_not_waited_for(house: House, on_terminal: OnTerminal) -> None:
    with on_terminal(*CREATE, "--base-url", house.emulator.base_url) as terminal:
        code, written = terminal.end()
    assert "thread" in written
    assert code == 0
    assert sent(house) == {}


@pytest.mark.parametrize(
    ("typed", "complaint"),
    [
        ('{"metadata":\n {"a" "b"}}', "not JSON at line 2, column 7: expecting ':' delimiter"),
        ("[]", "expected an object, got a list"),
        ("\udcff\udcfe", "it is no UTF-8 text"),
    ],
)
def test_what_is_piped_and_is_no_object_is_refused(run: Run, typed: str, complaint: str) -> None:
    ended = run(*CREATE, "--base-url", "http://127.0.0.1:1", typed=typed)
    assert ended == (2, "", f"asyncruns: standard input: {complaint}\n")


def test_a_body_that_asks_for_a_stream_is_shown_the_command_for_it(run: Run) -> None:
    ended = run(*CREATE, "--base-url", "http://127.0.0.1:1", "--body", '{"stream": true}')
    complaint = "asyncruns: 'stream' is not for this command: see 'asyncruns runs stream'\n"
    assert ended == (2, "", complaint)
