"""Runs: one execution of an assistant on a thread (reference: Runs)."""

from typing import ClassVar, Literal

from msgspec import field

from asyncruns.errors import RunFailedError
from asyncruns.models._base import Answer, Model, Timestamp, Unknown
from asyncruns.models.tools import (
    AssistantTool,
    AssistantToolChoiceOption,
    ResponseFormat,
    TruncationStrategy,
)

__all__ = [
    "ENDED_RUN",
    "IncompleteDetails",
    "LastError",
    "RequiredAction",
    "RequiredActionFunction",
    "RequiredActionFunctionToolCall",
    "RequiredActionSubmitToolOutputs",
    "Run",
    "RunStatus",
    "SubmitToolOutputs",
    "UnknownRequiredAction",
    "Usage",
]

RunStatus = (
    Literal[
        "queued",
        "in_progress",
        "requires_action",
        "cancelling",
        "cancelled",
        "failed",
        "completed",
        "incomplete",
        "expired",
    ]
    | str
)
"""Where a run stands. A status that is not in the list is alive."""

ENDED_RUN = frozenset({"completed", "incomplete", "failed", "cancelled", "expired"})
"""The statuses that a run never leaves."""


class IncompleteDetails(Model, kw_only=True):
    """Why a run, or a message, is incomplete."""

    reason: Literal["max_completion_tokens", "max_prompt_tokens"] | str | None = None
    """The limit that was reached; None where the server does not say."""


class LastError(Model, kw_only=True):
    """What went wrong last."""

    code: Literal["server_error", "rate_limit_exceeded", "invalid_prompt"] | str | None = None
    """The kind of error; None where the server does not say."""
    message: str | None = None
    """The error in words; None where the server does not say."""


class RequiredActionFunction(Model, kw_only=True):
    """The function that the model wants called."""

    arguments: str = ""
    """The complete arguments, as the JSON text that the model wrote: it may be invalid."""
    name: str = ""
    """The function's name."""


class RequiredActionFunctionToolCall(Model, kw_only=True):
    """A tool call that waits for its output."""

    id: str
    """The call's id, to be named with the output."""
    function: RequiredActionFunction = field(default_factory=RequiredActionFunction)
    """The function and its arguments."""
    type: Literal["function"] | str = "function"
    """What kind of call it is."""


class SubmitToolOutputs(Model, kw_only=True):
    """The calls whose outputs the run waits for."""

    tool_calls: list[RequiredActionFunctionToolCall] = []
    """All of them; their outputs must come in one request."""


class RequiredActionSubmitToolOutputs(
    Model, kw_only=True, tag_field="type", tag="submit_tool_outputs"
):
    """The run goes on once the outputs of its tool calls are submitted."""

    submit_tool_outputs: SubmitToolOutputs = field(default_factory=SubmitToolOutputs)
    """The calls."""
    type: ClassVar[Literal["submit_tool_outputs"]] = "submit_tool_outputs"


class UnknownRequiredAction(Unknown, kw_only=True):
    """An action that the reference does not have, such as Azure's `submit_tool_approval`."""


RequiredAction = RequiredActionSubmitToolOutputs | UnknownRequiredAction


class Usage(Model, kw_only=True):
    """The tokens that a run, or a step, has used."""

    completion_tokens: int | None = None
    """Tokens that the model wrote; None where the server does not say."""
    prompt_tokens: int | None = None
    """Tokens that the model read; None where the server does not say."""
    total_tokens: int | None = None
    """Both together; None where the server does not say."""


class Run(Answer, Model, kw_only=True):
    """An execution of an assistant on a thread (reference: Runs, the run object).

    `id`, `object`, `status`, `assistant_id` and `thread_id` are never None. Any other field is
    None where it does not apply yet, and where a server leaves it out.
    """

    id: str
    """The run's id."""
    assistant_id: str = ""
    """The assistant that the run executes; empty where the server left it out."""
    cancelled_at: Timestamp | None = None
    """When the run was cancelled, Unix seconds; None if it was not."""
    completed_at: Timestamp | None = None
    """When the run was completed, Unix seconds; None if it was not."""
    created_at: Timestamp | None = None
    """When the run was created, Unix seconds."""
    expires_at: Timestamp | None = None
    """When the run will expire, Unix seconds; None once it has ended."""
    failed_at: Timestamp | None = None
    """When the run failed, Unix seconds; None if it did not."""
    incomplete_details: IncompleteDetails | None = None
    """Why the run is incomplete; None if it is not."""
    instructions: str | None = None
    """The instructions that the assistant follows in this run; None where it has none."""
    last_error: LastError | None = None
    """The last error of the run; None where there was none."""
    max_completion_tokens: int | None = None
    """The most tokens that the run may write; None without a limit."""
    max_prompt_tokens: int | None = None
    """The most tokens that the run may read; None without a limit."""
    metadata: dict[str, str] | None = None
    """Up to 16 pairs of the caller's own: keys to 64, values to 512 characters."""
    model: str | None = None
    """The model that the run uses."""
    object: Literal["thread.run"] | str = "thread.run"
    """Always `thread.run`."""
    parallel_tool_calls: bool | None = None
    """Whether the model may ask for several function calls at once."""
    required_action: RequiredAction | None = None
    """What the run waits for; None unless its status is `requires_action`."""
    response_format: ResponseFormat | None = None
    """The format of the answer; None means `auto`."""
    started_at: Timestamp | None = None
    """When the run was started, Unix seconds; None while it is queued."""
    status: RunStatus
    """Where the run stands."""
    thread_id: str = ""
    """The thread that the run executes on; empty where the server left it out."""
    tool_choice: AssistantToolChoiceOption | None = None
    """Which tool the model must, may or must not use; None means `auto`."""
    tools: list[AssistantTool] | None = None
    """The tools that the model has in this run."""
    truncation_strategy: TruncationStrategy | None = None
    """How the thread is cut to fit the model's context; None means `auto`."""
    usage: Usage | None = None
    """The tokens used; None until the run has ended."""
    temperature: float | None = None
    """The sampling temperature, 0 to 2; None means 1."""
    top_p: float | None = None
    """The nucleus sampling mass, 0 to 1; None means 1."""

    def raise_for_status(self) -> None:
        """Raise RunFailedError if the run failed, expired, was cancelled or is incomplete."""
        if self.status in ENDED_RUN and self.status != "completed":
            raise RunFailedError(self)
