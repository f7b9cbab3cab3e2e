"""Run steps: what a run did, one thing after the other (reference: Steps)."""

from typing import ClassVar, Literal

from msgspec import field

from asyncruns.models._base import Answer, Model, Timestamp, Unknown
from asyncruns.models.run import LastError, Usage
from asyncruns.models.tool_calls import ToolCall

__all__ = [
    "ENDED_STEP",
    "MessageCreation",
    "MessageCreationStepDetails",
    "RunStep",
    "RunStepInclude",
    "StepDetails",
    "ToolCallsStepDetails",
    "UnknownStepDetails",
]

RunStepInclude = Literal["step_details.tool_calls[*].file_search.results[*].content"] | str
"""What to send beyond the default: the only value of the reference asks for the text found."""

ENDED_STEP = frozenset({"completed", "failed", "cancelled", "expired"})
"""The statuses that a step never leaves."""


class MessageCreation(Model, kw_only=True):
    """The message that a step creates."""

    message_id: str | None = None
    """The message's id."""


class MessageCreationStepDetails(Model, kw_only=True, tag_field="type", tag="message_creation"):
    """The step writes a message."""

    message_creation: MessageCreation = field(default_factory=MessageCreation)
    """Which message."""
    type: ClassVar[Literal["message_creation"]] = "message_creation"


class ToolCallsStepDetails(Model, kw_only=True, tag_field="type", tag="tool_calls"):
    """The step calls tools."""

    tool_calls: list[ToolCall] = []
    """The calls, in their order."""
    type: ClassVar[Literal["tool_calls"]] = "tool_calls"


class UnknownStepDetails(Unknown, kw_only=True):
    """A step of a kind that the reference does not have, such as Azure's `activities`."""


StepDetails = MessageCreationStepDetails | ToolCallsStepDetails | UnknownStepDetails


class RunStep(Answer, Model, kw_only=True):
    """A step in the execution of a run (reference: Steps, the run step object).

    `id`, `object`, `status`, `type` and the parents' ids are never None. Any other field is None
    where it does not apply yet, and where a server leaves it out.
    """

    id: str
    """The step's id."""
    assistant_id: str = ""
    """The run's assistant; empty where neither the server nor a run says."""
    cancelled_at: Timestamp | None = None
    """When the step was cancelled, Unix seconds; None if it was not."""
    completed_at: Timestamp | None = None
    """When the step was completed, Unix seconds; None if it was not."""
    created_at: Timestamp | None = None
    """When the step was created, Unix seconds; None if its creation was never seen."""
    expired_at: Timestamp | None = None
    """When the step expired with its run, Unix seconds; None if it did not."""
    failed_at: Timestamp | None = None
    """When the step failed, Unix seconds; None if it did not."""
    last_error: LastError | None = None
    """The step's last error; None where there was none."""
    metadata: dict[str, str] | None = None
    """Up to 16 pairs of the caller's own; most servers leave it out."""
    object: Literal["thread.run.step"] | str = "thread.run.step"
    """Always `thread.run.step`."""
    run_id: str = ""
    """The run that the step is part of; empty where neither the server nor a run says."""
    status: Literal["in_progress", "cancelled", "failed", "completed", "expired"] | str
    """Where the step stands. A status that is not in the list is alive."""
    step_details: StepDetails | None = None
    """What the step does; None where nothing is known of it yet."""
    thread_id: str = ""
    """The run's thread; empty where neither the server nor a run says."""
    type: Literal["message_creation", "tool_calls"] | str = ""
    """What kind of step it is; the same as the type of its details."""
    usage: Usage | None = None
    """The tokens used; None until the step has ended."""
