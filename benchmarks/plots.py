"""Measurements to pictures: one SVG for each question that people ask."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from benchmarks.rounds import Measured

__all__ = ["plot"]

_COLOURS: Final = {
    "asyncruns": "#1f6feb",
    "naive json": "#8b949e",
    "openai": "#d1742f",
    "openai plain": "#e3a87c",
    "azure": "#5b8c5a",
    "bytes only": "#c9d1d9",
    "floor": "#c9d1d9",
    "bare protocol": "#c9d1d9",
}
_IN_PROCESS: Final = ("text", "tools", "code", "mixed")
_OVER_HTTP: Final = ("loop text", "loop tools", "loop mixed", "trickle")


def plot(measured: Sequence[Measured], directory: Path) -> list[Path]:
    """Draw what was measured into a directory, and give the files; needs matplotlib."""
    directory.mkdir(parents=True, exist_ok=True)
    rows = {one.row.name: one for one in measured}
    drawn: list[Path] = []
    for names, file, title in (
        (_IN_PROCESS, "in_process", "Events a second, in process"),
        (_OVER_HTTP, "over_http", "Events a second, over HTTP"),
    ):
        present = [rows[name] for name in names if name in rows]
        if present:
            drawn.append(_grouped(present, directory / f"{file}.svg", title))
    if "linear" in rows:
        drawn.append(_lines(rows["linear"], directory / "length.svg"))
    for name, file, title in (
        ("capacity", "capacity", "Live streams one core holds (25 events/s each, p99 < 50 ms)"),
        ("idle", "memory", "Memory of an idle open stream, KB"),
    ):
        if name in rows:
            drawn.append(_bars(rows[name], directory / f"{file}.svg", title))
    return drawn


def _grouped(rows: Sequence[Measured], file: Path, title: str) -> Path:
    """Events a second of each case in each row, on a logarithmic scale."""
    figure, axes = _axes(title)
    cases = [case for case in _COLOURS if any(case in one.samples for one in rows)]
    width = 0.8 / len(cases)
    for place, case in enumerate(cases):
        at = [row + (place + 0.5) * width - 0.4 for row in range(len(rows))]
        rates = [1e6 / one.median(case) if case in one.samples else 0 for one in rows]
        axes.bar(at, rates, width * 0.9, label=case, color=_COLOURS[case])
    axes.set_yscale("log")
    axes.set_xticks(range(len(rows)), [one.row.name.removeprefix("loop ") for one in rows])
    axes.set_ylabel("events a second of CPU (log)")
    axes.legend(frameon=False, fontsize=8, ncols=4, loc="upper center", bbox_to_anchor=(0.5, -0.1))
    return _saved(figure, file)


def _lines(row: Measured, file: Path) -> Path:
    """The cost of an event over the length of its stream."""
    figure, axes = _axes("Cost of an event against the length of its text")
    curves: dict[str, list[tuple[int, float]]] = {}
    for name in row.samples:
        case, _, size = name.rpartition(" ")
        curves.setdefault(case, []).append((int(size.replace(",", "")), row.median(name)))
    for case, points in curves.items():
        axes.plot(*zip(*sorted(points), strict=True), marker="o", label=case, color=_COLOURS[case])
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("deltas in the text (log)")
    axes.set_ylabel("µs an event (log)")
    axes.legend(frameon=False, fontsize=8)
    return _saved(figure, file)


def _bars(row: Measured, file: Path, title: str) -> Path:
    """One number for each case, written beside its bar."""
    figure, axes = _axes(title)
    cases = [case for case in row.samples if case in _COLOURS]
    numbers = [row.median(case) for case in cases]
    drawn = axes.barh(cases, numbers, color=[_COLOURS[case] for case in cases])
    axes.bar_label(drawn, fmt="{:,.0f}", padding=3)
    axes.invert_yaxis()
    axes.spines["bottom"].set_visible(False)
    axes.set_xticks([])
    return _saved(figure, file)


def _axes(title: str) -> tuple[Any, Any]:
    import matplotlib as mpl  # noqa: PLC0415 -- half a second that only pictures need
    from matplotlib.figure import Figure  # noqa: PLC0415 -- the same

    mpl.rcParams.update(_STYLE)
    figure = Figure(figsize=(7, 3.6), layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, fontsize=11, loc="left")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return figure, axes


def _saved(figure: Any, file: Path) -> Path:
    # Without a date, the same numbers give the same file.
    figure.savefig(file, metadata={"Date": None})
    return file


_STYLE: Final[Any] = {
    "svg.hashsalt": "asyncruns",
    "svg.fonttype": "none",
    "font.size": 9,
    "axes.facecolor": "white",
    "figure.facecolor": "white",
}
