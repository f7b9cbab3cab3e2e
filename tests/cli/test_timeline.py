"""`asyncruns runs timeline`, and the bars that it draws in a terminal and in an SVG."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest

from asyncruns import (
    CodeInterpreterToolCall,
    FileSearchToolCall,
    Function,
    FunctionToolCall,
    MessageCreationStepDetails,
    Run,
    RunStep,
    ToolCallsStepDetails,
    UnknownToolCall,
)
from asyncruns.cli.bars import Bar, Chart, chart
from asyncruns.cli.chart import draw_chart
from asyncruns.cli.svg import svg_of
from asyncruns.emulator import Call, Fail, Parallel, RunCode, Say
from tests.cli.backend import serving

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator
    from pathlib import Path

    from asyncruns.emulator import Action, Context
    from tests.cli.backend import Backend

NAME = "get_weather</text><script>&\x1b[2J"
SVG = "{http://www.w3.org/2000/svg}"


def function(name: str) -> FunctionToolCall:
    return FunctionToolCall(id="c", function=Function(name=name))


def step(*calls: Any, **fields: Any) -> RunStep:
    details: Any = ToolCallsStepDetails(tool_calls=list(calls))
    fields.setdefault("status", "completed")
    return RunStep(
        id="s", step_details=details if calls else MessageCreationStepDetails(), **fields
    )


RUN = Run(id="r", status="completed", created_at=100, started_at=102, completed_at=120)
STEPS = [
    step(created_at=102, completed_at=105),
    step(function("f"), CodeInterpreterToolCall(id="c"), created_at=105, completed_at=110),
    step(FileSearchToolCall(id="c"), created_at=110, completed_at=110),
    step(created_at=110, failed_at=120, status="failed"),
]


def bars(run: Run, *steps: RunStep, now: float = 200) -> list[tuple[str, float, float]]:
    return [(bar.name, bar.start, bar.end) for bar in chart(run, steps, now).bars]


def drawn(chart: Chart, width: int = 60) -> list[str]:
    return [line.plain for line in draw_chart(chart, width)]


def test_a_run_its_steps_and_their_calls_are_laid_out_from_its_creation() -> None:
    laid_out = chart(RUN, STEPS, now=200)
    assert (laid_out.span, laid_out.exact) == (20, False)
    assert [tuple(bar) for bar in laid_out.bars] == [
        ("run", "run", "completed", 0, 20, 0, 2),
        ("message", "message", "completed", 2, 5, 1, 0),
        ("tool calls", "tools", "completed", 5, 10, 1, 0),
        ("f", "call", "completed", 5, 10, 2, 0),
        ("code interpreter", "call", "completed", 5, 10, 2, 0),
        ("tool calls", "tools", "completed", 10, 10, 1, 0),
        ("file search", "call", "completed", 10, 10, 2, 0),
        ("message", "message", "failed", 10, 20, 1, 0),
    ]


def test_what_goes_on_goes_on_until_now() -> None:
    run = Run(id="r", status="in_progress", created_at=100, started_at=101)
    assert bars(run, step(created_at=103, status="in_progress"), now=110) == [
        ("run", 0, 10),
        ("message", 3, 10),
    ]
    # A clock that is behind the server's makes no bar that ends before it begins.
    assert bars(run, step(created_at=103, status="in_progress"), now=50) == [
        ("run", 0, 3),
        ("message", 3, 3),
    ]


def test_a_run_without_an_end_ends_with_its_last_step_and_an_open_step_with_its_run() -> None:
    run = Run(id="r", status="incomplete", created_at=100)
    assert bars(run, step(created_at=103, completed_at=104), step(created_at=104)) == [
        ("run", 0, 4),
        ("message", 3, 4),
        ("message", 4, 4),
    ]
    ended = Run(id="r", status="failed", created_at=100, failed_at=109)
    assert bars(ended, step(created_at=103, status="in_progress"))[1] == ("message", 3, 9)


def test_a_run_that_was_started_again_has_waited_until_its_first_step() -> None:
    again = Run(id="r", status="completed", created_at=100, started_at=115, completed_at=120)
    assert chart(again, STEPS, 0).bars[0].waited == 2
    queued = Run(id="r", status="queued", created_at=100)
    assert chart(queued, [], 104).bars[0].waited == 4


def test_a_run_that_tells_no_times_is_a_chart_all_the_same() -> None:
    foreign = UnknownToolCall(unknown_type="mcp", id="c", raw=b"{}")
    run = Run(id="r", status="completed")
    assert bars(run, step(foreign), RunStep(id="s", status="completed", type="odd_one")) == [
        ("run", 0, 0),
        ("tool calls", 0, 0),
        ("mcp", 0, 0),
        ("odd one", 0, 0),
    ]
    assert len(drawn(chart(run, [], 0))) == 2


@pytest.mark.parametrize(
    ("seconds", "exact", "told"),
    [(0, False, "0 s"), (59.6, True, "59.60 s"), (61, False, "1 min 1 s"), (3600, True, "60 min 0 s")],
)  # fmt: skip
def test_a_duration_is_as_exact_as_the_timestamps(seconds: float, exact: bool, told: str) -> None:
    assert Chart([], 0, exact).tell(seconds) == told


def test_in_a_terminal_each_bar_is_as_wide_as_its_time_and_at_least_one_cell() -> None:
    lines = drawn(chart(RUN, STEPS, 0), width=70)
    assert lines == [
        "                        0 s                                 20 s",
        "✓ run                   ┄┄┄┄━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━  20 s",
        "  ✓ message                 ━━━━━━                                 3 s",
        "  ✓ tool calls                    ━━━━━━━━━━                       5 s",
        "    ✓ f                           ━━━━━━━━━━                       5 s",
        "    ✓ code interpreter            ━━━━━━━━━━                       5 s",
        "  ✓ tool calls                              ━                      0 s",
        "    ✓ file search                           ━                      0 s",
        "  ✗ message                                 ━━━━━━━━━━━━━━━━━━━━  10 s",
    ]


@pytest.mark.parametrize("width", [20, 33, 60, 79, 80, 120, 333])
def test_no_line_is_wider_than_the_terminal_and_no_bar_leaves_its_place(width: int) -> None:
    steps = [step(created_at=100 + n, completed_at=100 + n) for n in range(21)]
    long = step(function("名前" * 40), created_at=103, completed_at=104)
    lines = list(draw_chart(chart(RUN, [*steps, long], 0), width))
    (cells,) = {line.cell_len for line in lines[1:]}
    assert lines[0].cell_len <= cells <= max(width, 55)
    assert all("━" in line.plain for line in lines[1:])


def test_the_svg_is_xml_with_a_rectangle_for_each_bar_and_escapes_what_a_server_says() -> None:
    hostile = step(function(NAME + "\ufffe\ud800"), created_at=105, completed_at=110)
    laid_out = chart(RUN, [*STEPS, hostile], 0)
    text = svg_of(laid_out, "run_<1> & more")
    assert "script>" not in re.sub("&lt;/?script&gt;|script&gt;", "", text)
    root = ET.fromstring(text.encode())  # noqa: S314 -- our own text
    assert root.findtext(f"{SVG}title") == "run_<1> & more"
    groups = root.findall(f"{SVG}g")
    titles = [group.findtext(f"{SVG}title") for group in groups]
    assert groups[-1].findtext(f"{SVG}text") == "✓ get_weather</text><…"
    assert titles[0] == "run · completed · 20 s"
    assert titles[-1] == "get_weather</text><script>&\ufffd[2J\ufffd\ufffd · completed · 5 s"
    rectangles = [group.findall(f"{SVG}rect") for group in groups]
    assert [len(found) for found in rectangles] == [2, *[1] * (len(laid_out.bars) - 1)]
    for rectangle in (one for found in rectangles for one in found):
        x, width = float(rectangle.attrib["x"]), float(rectangle.attrib["width"])
        assert width >= 3
        assert 0 < x < x + width < float(root.attrib["width"])


@pytest.mark.parametrize("span", [0, 0.5, 1, 7, 20, 599, 86_400])
@pytest.mark.parametrize("exact", [True, False])
def test_the_scale_of_the_svg_has_few_round_times(span: float, exact: bool) -> None:
    root = ET.fromstring(svg_of(Chart([Bar("run", "run", "completed", 0, span)], span, exact), "r"))  # noqa: S314 -- our own text
    times = [one.text or "" for one in root.findall(f"{SVG}text") if one.get("font-size") == "11"]
    assert 1 <= len(times) <= 11
    assert times[0] == "0 s"
    assert all(re.fullmatch(r"[1-9]?[0-9]*(\.[0-9])? s|0\.[0-9] s", time) for time in times)


async def work(_context: Context) -> AsyncGenerator[Action, Any]:
    yield Parallel(RunCode("1 + 1", logs="2"), RunCode("2 + 2", logs="4"))
    yield Say("Both are even.", ending=Fail())


async def wait(_context: Context) -> AsyncGenerator[Action, Any]:
    yield Call(NAME, {})


@pytest.fixture(name="server", scope="module")
def fixture_server() -> Generator[Backend]:
    with serving(work) as backend:
        yield backend


@pytest.fixture(name="backend")
def fixture_backend(server: Backend) -> Backend:
    """The server, with a thread that no run holds."""
    server.renew()
    return server


def test_piped_it_prints_the_bars_of_a_run(backend: Backend) -> None:
    names = backend.add_run(work)
    ended = backend.run("runs", "timeline", *names)
    marks = [line.split("━")[0].replace("┄", "").rstrip() for line in ended.stdout.splitlines()[1:]]
    assert marks == [
        "✗ run",
        "  ✓ tool calls",
        "    ✓ code interpreter",
        "    ✓ code interpreter",
        "  ✗ message",
    ]
    assert not re.search(r"[\x00-\x09\x0b-\x1f]", ended.stdout)
    assert (ended.code, ended.stderr) == (0, "")


def test_the_svg_is_written_too_and_the_file_is_named(backend: Backend, tmp_path: Path) -> None:
    names, path = backend.add_run(wait), tmp_path / "run.svg"
    with backend.on_terminal(
        "runs", "timeline", *names, "--svg", str(path), NO_COLOR="1"
    ) as terminal:
        code, written = terminal.end()
    assert re.search(r"… run +[┄━]+  \d+ s\n", re.sub(r"\x1b\[[0-9;]*m", "", written))
    assert not re.search(r"\x1b\[[0-9;]*[349][0-7]m", written)
    assert "\x1b[2J" not in written
    assert f"the same is in {path}" in written.replace("\n", "")
    root = ET.parse(path).getroot()  # noqa: S314 -- our own text
    assert root.tag == f"{SVG}svg"
    assert root.findtext(f"{SVG}title") == f"{names[-1]} · requires_action"
    assert code == 0


def test_a_dash_writes_the_svg_and_nothing_else_to_standard_output(backend: Backend) -> None:
    names = backend.add_run(work)
    ended = backend.run("runs", "timeline", *names, "--svg", "-")
    assert ET.fromstring(ended.stdout).tag == f"{SVG}svg"  # noqa: S314 -- our own text
    assert (ended.code, ended.stderr) == (0, "")


def test_a_file_that_cannot_be_written_is_exit_1(backend: Backend) -> None:
    names = backend.add_run(work)
    ended = backend.run("runs", "timeline", *names, "--svg", "/nowhere/x.svg")
    complaint = "asyncruns: cannot write '/nowhere/x.svg': no such file or directory\n"
    assert ended == (1, "", complaint)
