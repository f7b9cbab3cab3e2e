"""The parameters of every endpoint, each written once, as keyword arguments.

Methods take them as `**params: Unpack[…]` and show each by its name. What is not given is not
sent; None is sent as null. Objects are taken as structs of `asyncruns.models` or as plain dicts.
"""

# Annotations are evaluated here: signatures and `__required_keys__` are read from them.

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final, Literal, Required, TypedDict

from asyncruns.calls import ToolErrorPolicy
from asyncruns.models import (
    AssistantTool,
    AssistantToolChoiceOption,
    Attachment,
    ImageFileContentBlock,
    ImageURLContentBlock,
    ResponseFormat,
    RunStepInclude,
    ToolResources,
    TruncationStrategy,
)
from asyncruns.options import StreamOptions
from asyncruns.resources._creation import CreationOptions
from asyncruns.timeouts import Timeout
from asyncruns.toolset import Toolset

__all__ = [
    "LOCAL",
    "AssistantListParams",
    "AssistantParams",
    "AssistantUpdateParams",
    "AttachParams",
    "IncludeParams",
    "ListParams",
    "MessageCreateParams",
    "MessageListParams",
    "MessageParams",
    "MetadataParams",
    "PollParams",
    "RequestOptions",
    "RunCreateParams",
    "RunParams",
    "RunPollParams",
    "RunStreamParams",
    "StepListParams",
    "SubmitPollParams",
    "SubmitStreamParams",
    "ThreadAndRunParams",
    "ThreadAndRunPollParams",
    "ThreadAndRunStreamParams",
    "ThreadParams",
    "ThreadUpdateParams",
    "ToolOutput",
]

Object = Mapping[str, Any]
"""A plain dict in the shape of the struct that it stands beside."""

Metadata = Mapping[str, str]
"""Up to 16 pairs of the caller's own: keys to 64, values to 512 characters."""

ReasoningEffort = Literal["none", "minimal", "low", "medium", "high", "xhigh"] | str
"""How much a reasoning model thinks before it answers."""


class ToolOutput(TypedDict, total=False):
    """What a tool call has given."""

    tool_call_id: str
    """The id of the call in the run's `required_action`."""
    output: str
    """The call's output."""


class RequestOptions(TypedDict, total=False):
    """What every call takes beside the endpoint's own parameters."""

    extra_headers: Mapping[str, str | None] | None
    """Headers that win over the client's own; a None leaves a header out."""
    extra_query: Mapping[str, object] | None
    """Query parameters that win over those of the call."""
    extra_body: Mapping[str, object] | None
    """Members of the JSON body that win over those of the call."""
    timeout: Timeout | float | None
    """Seconds for this request instead of the client's; None for no limit."""


class MetadataParams(RequestOptions, total=False):
    """Modify a run or a message."""

    metadata: Metadata | None
    """Up to 16 pairs of the caller's own."""


class IncludeParams(RequestOptions, total=False):
    """Retrieve a run step."""

    include: Sequence[RunStepInclude]
    """What to send beyond the default: the text that file searches have found."""


class ListParams(RequestOptions, total=False):
    """List runs."""

    after: str
    """An id: give the objects that come after it."""
    before: str
    """An id: give the objects that come before it."""
    limit: int
    """The most objects of a page, 1 to 100; 20 unless given."""
    order: Literal["asc", "desc"]
    """By the time of creation, `asc` or `desc`; newest first unless given."""


class AssistantListParams(ListParams, total=False):
    """List assistants."""


class StepListParams(ListParams, total=False):
    """List run steps."""

    include: Sequence[RunStepInclude]
    """What to send beyond the default: the text that file searches have found."""


class MessageListParams(ListParams, total=False):
    """List messages."""

    run_id: str
    """Only the messages that this run has written."""


class MessageParams(RequestOptions, total=False):
    """Create a message."""

    content: Required[str | Iterable[ImageFileContentBlock | ImageURLContentBlock | Object]]
    """Its text, or its parts."""
    role: Required[Literal["user", "assistant"]]
    """Who speaks."""
    attachments: Iterable[Attachment | Object] | None
    """Files that come with it, each with the tools that may use it."""
    metadata: Metadata | None
    """Up to 16 pairs of the caller's own."""


class ThreadUpdateParams(RequestOptions, total=False):
    """Modify a thread."""

    metadata: Metadata | None
    """Up to 16 pairs of the caller's own."""
    tool_resources: ToolResources | Object | None
    """The files that tools may use in the thread."""


class ThreadParams(ThreadUpdateParams, total=False):
    """Create a thread."""

    messages: Iterable[Object]
    """The messages to begin with."""


class _RunSettings(RequestOptions, total=False):
    """What both ways to create a run have."""

    assistant_id: Required[str]
    """The assistant to execute."""
    instructions: str | None
    """In place of the assistant's own."""
    max_completion_tokens: int | None
    """The most tokens that the run may write, over all its turns."""
    max_prompt_tokens: int | None
    """The most tokens that the run may read, over all its turns."""
    metadata: Metadata | None
    """Up to 16 pairs of the caller's own."""
    model: str | None
    """In place of the assistant's own."""
    parallel_tool_calls: bool
    """Whether the model may ask for several function calls at once."""
    response_format: ResponseFormat | Object | None
    """The format of the answer."""
    temperature: float | None
    """The sampling temperature, 0 to 2."""
    tool_choice: AssistantToolChoiceOption | Object | None
    """Which tool the model must, may or must not use."""
    tools: Iterable[AssistantTool | Object] | None
    """In place of the assistant's own."""
    top_p: float | None
    """The nucleus sampling mass, 0 to 1."""
    truncation_strategy: TruncationStrategy | Object | None
    """How the thread is cut to fit the model's context."""


class RunParams(_RunSettings, total=False):
    """Create a run."""

    include: Sequence[RunStepInclude]
    """What to send beyond the default: the text that file searches have found."""
    additional_instructions: str | None
    """Added to the end of the instructions."""
    additional_messages: Iterable[Object] | None
    """Added to the thread before the run."""
    reasoning_effort: ReasoningEffort | None
    """How much a reasoning model thinks before it answers."""


class DedupeOptions(CreationOptions, total=False):
    """What creating a run on a thread takes beside the endpoint's own parameters."""

    dedupe_key: str | None
    """Names this run for ever, in its metadata: where a create goes unanswered, the thread is
    searched for it, and only a run that is not there is created again."""


class PollOptions(TypedDict, total=False):
    """How a run is polled."""

    poll_interval_ms: int
    """Milliseconds between looks; as the server asks, or growing, unless given."""
    deadline: float | None
    """Seconds until RunTimeoutError is raised; None, the default, for no limit."""
    until: Collection[str]
    """The statuses to wait for; the ends and requires_action unless given."""


class ToolOptions(TypedDict, total=False):
    """How tool calls are answered."""

    toolset: Toolset | None
    """Answers the run's tool calls; without one polling ends at requires_action."""
    max_rounds: int
    """How often the run may ask for tool outputs: 25 unless given."""
    max_parallel_tools: int
    """How many tool calls run at once: 16 unless given."""
    tool_timeout: float | None
    """Seconds that one tool call may take: 300 unless given; None for no limit."""
    on_tool_error: ToolErrorPolicy
    """`report` a failed call to the model, the default, or `raise` it as ToolError."""


class RunCreateParams(RunParams, DedupeOptions, total=False):
    """Create a run."""


class RunStreamParams(RunCreateParams, StreamOptions, total=False):
    """Create a run and stream it."""


class RunPollParams(RunCreateParams, PollOptions, ToolOptions, total=False):
    """Create a run and poll it."""


class SubmitStreamParams(RequestOptions, StreamOptions, total=False):
    """Submit tool outputs and stream the run."""


class SubmitPollParams(RequestOptions, PollOptions, ToolOptions, total=False):
    """Submit tool outputs and poll the run."""


class PollParams(RequestOptions, PollOptions, total=False):
    """Poll a run."""


class AttachParams(IncludeParams, StreamOptions, total=False):
    """Follow a run that is going already."""


class MessageCreateParams(MessageParams, CreationOptions, total=False):
    """Create a message."""


class ThreadAndRunParams(_RunSettings, total=False):
    """Create a thread and run it."""

    thread: Object
    """The thread; an empty one unless given."""
    tool_resources: ToolResources | Object | None
    """The files that the run's tools may use, in place of the assistant's own."""


class ThreadAndRunStreamParams(ThreadAndRunParams, StreamOptions, total=False):
    """Create a thread, run it and stream the run."""


class ThreadAndRunPollParams(ThreadAndRunParams, PollOptions, ToolOptions, total=False):
    """Create a thread, run it and poll the run."""


class _AssistantSettings(RequestOptions, total=False):
    """What creating and modifying an assistant have in common."""

    description: str | None
    """What it is for, at most 512 characters."""
    instructions: str | None
    """What it is told to do, at most 256,000 characters."""
    metadata: Metadata | None
    """Up to 16 pairs of the caller's own."""
    name: str | None
    """Its name, at most 256 characters."""
    reasoning_effort: ReasoningEffort | None
    """How much a reasoning model thinks before it answers."""
    response_format: ResponseFormat | Object | None
    """The format of its answers."""
    temperature: float | None
    """The sampling temperature, 0 to 2."""
    tool_resources: ToolResources | Object | None
    """The files that its tools may use."""
    tools: Iterable[AssistantTool | Object]
    """Its tools, at most 128."""
    top_p: float | None
    """The nucleus sampling mass, 0 to 1."""


class AssistantParams(_AssistantSettings, total=False):
    """Create an assistant."""

    model: Required[str]
    """The model that it uses."""


class AssistantUpdateParams(_AssistantSettings, total=False):
    """Modify an assistant."""

    model: str
    """The model that it uses."""


LOCAL: Final = frozenset().union(
    *(kind.__annotations__ for kind in (DedupeOptions, PollOptions, StreamOptions, ToolOptions))
)
"""Parameters that say what the client is to do; they are not sent."""
