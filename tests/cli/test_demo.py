"""`asyncruns demo` as a process: what it prints where, and with which code it exits."""

from __future__ import annotations

import json
import re
import signal
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.cli.conftest import Ended, OnTerminal, Run

VERDICTS = [
    "folded from deltas alone: 4 of 4 steps and 2 of 2 messages equal the server's",
    "as they ended: 4 of 4 steps and 2 of 2 messages equal the server's",
]
COLUMNS = 80
ESCAPE = "\x1b"

BREAK_THE_FOLD = """
import sys
from asyncruns.cli import main
from asyncruns.parts import Parts

apply = Parts.apply

def apply_without_indexes(self, pieces):
    for piece in pieces:
        piece.index = 0
    apply(self, pieces)

Parts.apply = apply_without_indexes  # as if somebody had broken the rule there
sys.exit(main())
"""


def test_it_ends_with_both_verdicts_and_exits_0(piped: Ended) -> None:
    assert piped.stdout.splitlines()[-2:] == VERDICTS
    assert piped.stderr == ""
    assert piped.code == 0


def test_piped_it_has_no_control_codes_and_no_more_than_80_columns(piped: Ended) -> None:
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", piped.stdout)
    lines = piped.stdout.splitlines()
    assert max(map(len, lines)) <= COLUMNS
    assert [line for line in lines if line != line.rstrip()] == []


def test_piped_it_prints_what_comes_as_it_comes(piped: Ended) -> None:
    live, _, _ = piped.stdout.partition("✓ run")
    lines = [line for line in live.splitlines() if line.startswith("get_")]
    assert lines == [  # the arguments of two calls grow at the same time
        'get_weather    {"city":',
        'get_time       {"city":',
        'get_weather    "Oslo",',
        'get_time       "Oslo"}',
        'get_weather    "units": "metric"}',
    ]
    assert "output         dry from 20:00\n" in live
    assert "message        It is 17:40 in Oslo" in live


def test_the_tree_has_status_duration_and_tokens_of_the_run_and_each_step(piped: Ended) -> None:
    _, _, tree = piped.stdout.partition("✓ run")
    facts = r" · completed · \d+\.\d\d s · \d+ tokens \(\d+ in, \d+ out\)\n"
    assert re.match(facts, tree)
    kinds = re.findall(rf"[├└]── ✓ ([a-z ]+){facts}", tree)
    assert kinds == ["message creation", "tool calls", "tool calls", "message creation"]
    assert '├── get_time {"city": "Oslo"}\n│   │   → 17:40 in Oslo\n' in tree
    assert "→ notes.txt 0.87 Dinner: 20:30, Café Sør.\n" in tree
    assert "→ image file-rain-chart\n" in tree


def test_both_functions_run_at_once(piped: Ended) -> None:
    each = r"get_(?:weather|time) \((\d\.\d\d) s\)"
    said = re.search(rf"{each} and {each} ran at once: (\d\.\d\d) s in all", piped.stdout)
    assert said
    one, other, both = map(float, said.groups())
    assert max(one, other) <= both < one + other


def test_json_prints_the_steps_and_nothing_else(run: Run) -> None:
    ended = run("demo", "--json", PYTHONIOENCODING="ascii")
    steps = json.loads(ended.stdout)
    assert [step["type"] for step in steps] == [
        "message_creation",
        "tool_calls",
        "tool_calls",
        "message_creation",
    ]
    weather, time, search = steps[1]["step_details"]["tool_calls"]
    assert weather["function"]["output"].startswith('{"city":"Oslo"')
    assert time["function"]["output"] == "17:40 in Oslo"
    (found,) = search["file_search"]["results"]
    assert found["content"] == [{"type": "text", "text": "Dinner: 20:30, Café Sør."}]
    assert "expires_at" in steps[0]  # what the server sent, whether a struct has it or not
    assert ended.stderr.splitlines() == VERDICTS
    assert ended.code == 0


def test_on_a_terminal_it_draws_in_colour_and_leaves_the_whole_tree(
    seen: tuple[int, str],
) -> None:
    code, written = seen
    assert f"{ESCAPE}[36m" in written
    assert f"{ESCAPE}[1A" in written  # the cursor goes up, to draw again
    assert written.count("run · in_progress") + written.count("in_progress") > 1
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", written).splitlines()
    assert plain[-2:] == VERDICTS
    last = max(number for number, line in enumerate(plain) if line.startswith("✓ run"))
    assert max(map(len, plain[last:])) <= COLUMNS
    assert code == 0


def test_no_color_leaves_the_colours_out(on_terminal: OnTerminal) -> None:
    with on_terminal("demo", "--token-rate", "0", NO_COLOR="1") as terminal:
        code, written = terminal.end()
    assert not re.search(r"\x1b\[[0-9;]*[349][0-7]m", written)
    assert written.splitlines()[-2].endswith(f"{VERDICTS[0]}{ESCAPE}[0m")
    assert code == 0


def test_ctrl_c_exits_130_and_leaves_the_cursor_visible(on_terminal: OnTerminal) -> None:
    with on_terminal("demo", "--token-rate", "100") as terminal:
        terminal.read_until(b"get_time")
        terminal.process.send_signal(signal.SIGINT)
        code, written = terminal.end()
    assert code == 130
    assert "Traceback" not in written
    assert written.rindex(f"{ESCAPE}[?25h") > written.rindex(f"{ESCAPE}[?25l")


def test_a_broken_fold_exits_1_and_says_which_fields_of_which_steps_differ(run: Run) -> None:
    ended = run("demo", start=(sys.executable, "-c", BREAK_THE_FOLD))
    assert ended.code == 1
    *_, folded, whole = ended.stdout.splitlines()
    assert folded == (  # calls, outputs and annotations have indexes
        "folded from deltas alone: 2 of 4 steps and 1 of 2 messages equal the server's"
    )
    assert whole == VERDICTS[1]
    assert re.search(
        r"^step 2 \(step_\w+\), step_details\.tool_calls\[0\]\.\S+: assembled .*, "
        r"the server has .*$",
        ended.stdout,
        re.MULTILINE,
    )


def test_a_reader_that_goes_away_is_no_traceback(run: Run) -> None:
    ended = run(start=("sh", "-c", f"{sys.executable} -m asyncruns.cli demo --json | true"))
    assert ended.stdout == ""
    assert "Traceback" not in ended.stderr
    assert "Exception" not in ended.stderr
