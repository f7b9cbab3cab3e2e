"""What a stream can be told beside what its endpoint takes."""

# Annotations are evaluated here: signatures are read from them.

from typing import Literal, TypedDict

from asyncruns.calls import ToolErrorPolicy
from asyncruns.handler import RunHandler
from asyncruns.toolset import Toolset

__all__ = ["StreamOptions"]


class StreamOptions(TypedDict, total=False):
    """What every method that gives a RunStream takes beside the endpoint's own parameters."""

    event_handler: RunHandler | None
    """Its hooks are called for each event, before the event is yielded."""
    toolset: Toolset | None
    """Answers the run's tool calls; without one the stream ends at requires_action."""
    max_rounds: int
    """How often the run may ask for tool outputs: 25 unless given."""
    max_parallel_tools: int
    """How many tool calls run at once: 16 unless given."""
    tool_timeout: float | None
    """Seconds that one tool call may take: 300 unless given; None for no limit."""
    on_tool_error: ToolErrorPolicy
    """`report` a failed call to the model, the default, or `raise` it as ToolError."""
    on_interrupt: Literal["recover", "raise"]
    """`recover`, the default, repairs a stream that is cut; `raise` raises StreamInterrupted."""
    recovery_deadline: float
    """Seconds that a repair may go on without progress: 60 unless given."""
    idle_timeout: float | None
    """Seconds without a byte that count as a cut: 300 unless given; None for no limit."""
    deadline: float | None
    """Seconds that the whole run may take, all rounds included; None, the default, for no limit."""
    cancel_on_exit: bool
    """Whether leaving the block before the run's end cancels the run at the server."""
