"""A required action to its answer: which tool calls a run waits for, and what answers them."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from asyncruns.models import RequiredActionSubmitToolOutputs

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from asyncruns.models import RequiredActionFunctionToolCall, Run

__all__ = ["ToolErrorPolicy", "ToolOutput"]

ToolErrorPolicy = Literal["report", "raise"]
"""What becomes of a tool call that fails: reported to the model, or raised as ToolError."""


class ToolOutput(msgspec.Struct):
    """The output of one tool call, as it is submitted."""

    tool_call_id: str
    """The id of the call."""
    output: str
    """What the model gets to read."""


def calls_of(run: Run | None) -> list[RequiredActionFunctionToolCall]:
    """The tool calls that a run waits for; empty where it waits for none."""
    if run is None or run.status != "requires_action":
        return []
    action = run.required_action
    if not isinstance(action, RequiredActionSubmitToolOutputs):
        return []
    return action.submit_tool_outputs.tool_calls


def check_outputs(
    calls: Iterable[RequiredActionFunctionToolCall], outputs: Iterable[Mapping[str, Any]]
) -> None:
    """Raise ValueError unless the outputs answer each call exactly once."""
    wanted = {call.id for call in calls}
    given = Counter(str(output.get("tool_call_id")) for output in outputs)
    faults = {
        "missing": wanted - given.keys(),
        "unknown": given.keys() - wanted,
        "doubled": {call_id for call_id, count in given.items() if count > 1},
    }
    if any(faults.values()):
        said = "; ".join(
            f"{fault}: {', '.join(sorted(ids))}" for fault, ids in faults.items() if ids
        )
        raise ValueError(f"the tool outputs must answer each call exactly once ({said})")
