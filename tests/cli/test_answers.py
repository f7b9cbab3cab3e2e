"""What a command makes of whatever a server answers, piped and on a terminal."""

from __future__ import annotations

import json
import re
import signal
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from asyncruns.cli.text import readable

if TYPE_CHECKING:
    from collections.abc import Generator

    from tests.cli.conftest import OnTerminal, Run

ESCAPE = "\x1b"
SENT = (
    b'{"id":"run_1","object":"thread.run","status":"completed","new":{"of":[1.50,1e3,'
    b'123456789012345678901234567890],"none":[]},"text":"S\xc3\xb8r \\u00f8\xc2\x9b","id":"again"}\n'
)
LAID_OUT = """\
{
  "id": "run_1",
  "object": "thread.run",
  "status": "completed",
  "new": {
    "of": [
      1.50,
      1e3,
      123456789012345678901234567890
    ],
    "none": []
  },
  "text": "Sør \\u00f8\x9b",
  "id": "again"
}
"""
RUN = ("runs", "retrieve", "--thread-id", "t", "--run-id", "r", "--max-retries", "0")

LOADED = """
import atexit, sys
from asyncruns.cli import main
atexit.register(lambda: print(*{"rich", "pygments"} & set(sys.modules)))
sys.exit(main())
"""


class Told(NamedTuple):
    """What a server that runs says of itself."""

    environ: dict[str, Any]
    """Where it is, for a command."""
    asked: threading.Event
    """Set by the first request."""


@contextmanager
def answering(
    body: bytes = SENT,
    *,
    status: int = 200,
    kind: str = "application/json",
    silent: bool = False,
) -> Generator[Told]:
    """A server that answers everything alike, or never; it puts the key in place of KEY."""
    asked, over = threading.Event(), threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.set()
            if silent:
                over.wait(30)
                return
            key = self.headers["Authorization"].removeprefix("Bearer ")
            answer = body.replace(b"KEY", key.encode())
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(answer)))
            self.send_header("x-request-id", "req_1")
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- as there
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        address = f"http://127.0.0.1:{server.server_port}/v1"
        try:
            yield Told({"OPENAI_BASE_URL": address, "OPENAI_API_KEY": "sk-0123456789"}, asked)
        finally:
            over.set()
            server.shutdown()
            thread.join()


def test_json_is_laid_out_without_rich_and_nothing_in_it_is_changed(run: Run) -> None:
    with answering() as told:
        ended = run(*RUN, start=(sys.executable, "-c", LOADED), **told.environ)
    assert ended == (0, f"{LAID_OUT}\n", "")


def test_raw_is_every_byte_and_no_other(run: Run) -> None:
    with answering() as told:
        ended = run(*RUN, "--raw", "--format", "table", **told.environ)
    assert ended.stdout.encode() == SENT


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        (rb'"\ud83d"', rb'"\ufffd"'),
        (rb'"\uDE00 \ud83d\ud83d\ude00"', rb'"\ufffd \ufffd\ud83d\ude00"'),
        (rb'"\\ud83d \u00f8"', rb'"\\ud83d \u00f8"'),
        (b'"\xff"', b'"\xef\xbf\xbd"'),
    ],
)
def test_what_is_no_text_in_a_string_is_replaced_and_nothing_else(sent: bytes, read: bytes) -> None:
    assert readable(sent) == read


@pytest.mark.parametrize("shape", ["json", "jsonl", "table"])
def test_a_text_that_was_cut_within_a_sign_is_shown(run: Run, shape: str) -> None:
    page = b'{"object":"list","data":[{"id":"run_1","status":"queued","model":"\\ud83d!"}]}'
    with answering(page) as told:
        listing = ("runs", "list", "--thread-id", "t", "--format", shape, "--max-items", "1")
        ended = run(*listing, **told.environ)
    assert (ended.code, ended.stderr) == (0, "")
    assert ("\N{REPLACEMENT CHARACTER}!" if shape == "table" else "\\ufffd!") in ended.stdout


def test_an_output_without_these_signs_gets_escapes(run: Run) -> None:
    with answering() as told:
        ended = run(*RUN, "--format", "jsonl", PYTHONIOENCODING="ascii", **told.environ)
    (line,) = ended.stdout.splitlines()
    assert '"text":"S\\u00f8r \\u00f8\\u009b"' in line
    assert json.loads(line) == json.loads(SENT)


def test_on_a_terminal_json_is_in_colour_and_harmless(on_terminal: OnTerminal) -> None:
    with answering() as told, on_terminal(*RUN, **told.environ) as terminal:
        code, written = terminal.end()
    assert f'{ESCAPE}[1;34m"id"{ESCAPE}[0m: {ESCAPE}[32m"run_1"' in written
    plain = re.sub(r"\x1b\[[0-9;]*m", "", written)
    assert plain == LAID_OUT.replace("\x9b", "\\u009b")
    assert code == 0


@pytest.mark.parametrize("shape", ["json", "table"])
def test_no_color_leaves_the_colours_out(on_terminal: OnTerminal, shape: str) -> None:
    arguments = (*RUN, "--format", shape)
    with answering() as told, on_terminal(*arguments, NO_COLOR="1", **told.environ) as terminal:
        code, written = terminal.end()
    assert not re.search(r"\x1b\[[0-9;]*[349][0-7]m", written)
    assert "123456789012345678901234567890" in written
    assert code == 0


def test_an_error_has_status_code_message_and_request_id_but_no_key(run: Run) -> None:
    body = b'{"error": {"message": "Not\\u001b[1m your\\nkey: KEY", "code": "invalid_api_key"}}'
    with answering(body, status=401) as told:
        ended = run(*RUN, **told.environ)
    assert re.fullmatch(
        r"asyncruns: 401 on GET /threads/t/runs/r: Not[^\x1b]*\[1m your key: … "
        r"\(code invalid_api_key, request id req_1\)\n",
        ended.stderr,
    )
    assert (ended.code, ended.stdout) == (1, "")


@pytest.mark.parametrize(
    ("body", "kind", "complaint"),
    [
        (b"<html>Gateway</html>", "text/html", "expected JSON, and got text/html"),
        (b'{"id": ', "application/json", "the answer is no JSON that can be read"),
    ],
)
def test_an_answer_that_is_no_json_is_one_line_on_stderr(
    run: Run, body: bytes, kind: str, complaint: str
) -> None:
    with answering(body, kind=kind) as told:
        ended = run(*RUN, **told.environ)
    (line,) = ended.stderr.splitlines()
    assert line.startswith("asyncruns: ")
    assert complaint in line
    assert (ended.code, ended.stdout) == (1, "")


def test_a_list_without_data_is_one_line_on_stderr(run: Run) -> None:
    with answering() as told:
        ended = run("runs", "list", "--thread-id", "t", **told.environ)
    assert ended == (
        1,
        "",
        "asyncruns: the answer cannot be read: Object missing required field `data`\n",
    )


def test_a_table_of_what_is_no_object_is_one_line_on_stderr(run: Run) -> None:
    with answering(b'{"data": [7]}') as told:
        ended = run("runs", "list", "--thread-id", "t", "--format", "table", **told.environ)
    assert ended == (1, "", "asyncruns: the answer cannot be read: Expected `object`, got `int`\n")


def test_a_server_that_is_not_there_is_one_line_on_stderr(run: Run) -> None:
    ended = run(*RUN, "--base-url", "http://127.0.0.1:1/v1", "--api-key", "k")
    (line,) = ended.stderr.splitlines()
    assert line.startswith("asyncruns: GET /threads/t/runs/r: no connection could be made")
    assert (ended.code, ended.stdout) == (1, "")


def test_a_timeout_is_one_line_on_stderr(run: Run) -> None:
    with answering(silent=True) as told:
        ended = run(*RUN, "--timeout", "0.2", **told.environ)
    (line,) = ended.stderr.splitlines()
    assert line.startswith("asyncruns: GET /threads/t/runs/r: ")
    assert (ended.code, ended.stdout) == (1, "")


def test_ctrl_c_while_it_waits_exits_130_without_a_word(on_terminal: OnTerminal) -> None:
    with answering(silent=True) as told, on_terminal(*RUN, **told.environ) as terminal:
        assert told.asked.wait(30)
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.end() == (130, "\n")
