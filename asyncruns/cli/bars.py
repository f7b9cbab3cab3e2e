"""A run and its steps to bars over time, by the server's timestamps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from asyncruns import (
    ENDED_RUN,
    CodeInterpreterToolCall,
    FileSearchToolCall,
    FunctionToolCall,
    MessageCreationStepDetails,
    ToolCallsStepDetails,
)
from asyncruns.cli.times import ended_at

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from asyncruns import Run, RunStep, ToolCall

__all__ = ["Bar", "Chart", "chart"]

MINUTE: Final = 60

NAMES: Final[dict[type, str]] = {
    CodeInterpreterToolCall: "code interpreter",
    FileSearchToolCall: "file search",
}


class Bar(NamedTuple):
    """One line of a chart: what it is, how it stands, and from when to when it went."""

    name: str
    kind: str
    """run, message, tools, call or other."""
    status: str
    start: float
    """Seconds since the chart's beginning, as the end is."""
    end: float
    depth: int = 0
    """How far its name is indented: 0 the run, 1 a step, 2 a tool call."""
    waited: float = 0
    """Seconds from the start in which it was queued."""

    @property
    def seconds(self) -> float:
        """How long it took, or has taken so far."""
        return self.end - self.start


class Chart(NamedTuple):
    """A run's bars, the run's own first, and how many seconds they span."""

    bars: Sequence[Bar]
    span: float
    exact: bool
    """Whether the server tells parts of seconds."""

    def tell(self, seconds: float) -> str:
        """Say a duration, as exactly as the server's timestamps allow."""
        if seconds < MINUTE:
            return f"{seconds:.2f} s" if self.exact else f"{seconds:.0f} s"
        minutes, seconds = divmod(round(seconds), MINUTE)
        return f"{minutes} min {seconds} s"


def chart(run: Run, steps: Sequence[RunStep], now: float) -> Chart:
    """Lay a run and its steps, oldest first, out over time; `now` (Unix seconds) ends what goes on.

    A tool call has no times of its own, only its step's. A step that the server left open ends
    with its run, and a run whose end it does not tell ends with its last step.
    """
    moments = [*filter(None, (run.created_at, *(step.created_at for step in steps)))]
    begin = min(moments, default=now)
    alive = run.status not in ENDED_RUN
    ends = [ended_at(run), *(ended_at(step) for step in steps)]
    known = [*moments, *filter(None, ends)]
    latest = max([*known, now] if alive else known, default=begin)
    end = ends[0] or latest
    # A run that goes on after its tool calls is started once more: its first step tells the first.
    starts = [*filter(None, (run.started_at, *(step.created_at for step in steps)))]
    waited = min(starts, default=end if alive else begin) - begin
    bars = [Bar("run", "run", run.status, 0, end - begin, waited=min(max(waited, 0), end - begin))]
    for step in steps:
        bars += _bars(step, begin, end)
    span = max(bar.end for bar in bars)
    exact = any(moment != int(moment) for moment in known)
    return Chart(bars, span, exact)


def _bars(step: RunStep, begin: float, run_end: float) -> Iterator[Bar]:
    """The bar of a step, and of each of its tool calls."""
    start = (step.created_at or begin) - begin
    end = max((ended_at(step) or run_end) - begin, start)
    match step.step_details:
        case MessageCreationStepDetails():
            yield Bar("message", "message", step.status, start, end, 1)
        case ToolCallsStepDetails(tool_calls=calls):
            yield Bar("tool calls", "tools", step.status, start, end, 1)
            for call in calls:
                yield Bar(_name(call), "call", step.status, start, end, 2)
        case _:
            yield Bar(step.type.replace("_", " ") or "step", "other", step.status, start, end, 1)


def _name(call: ToolCall) -> str:
    if isinstance(call, FunctionToolCall):
        return call.function.name or "function"
    return NAMES.get(type(call), call.type)
