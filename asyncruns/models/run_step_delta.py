"""Deltas of run steps: the pieces that a stream sends (reference: Steps, Run Step Delta)."""

from typing import ClassVar, Literal

from asyncruns.models._base import Model, Unknown
from asyncruns.models.run_step import MessageCreation
from asyncruns.models.tool_calls import FileSearchCall

__all__ = [
    "CodeInterpreterDelta",
    "CodeInterpreterLogs",
    "CodeInterpreterOutputImage",
    "CodeInterpreterToolCallDelta",
    "CodeOutputDelta",
    "CodeOutputImageFileDelta",
    "FileSearchToolCallDelta",
    "FunctionDelta",
    "FunctionToolCallDelta",
    "RunStepDelta",
    "RunStepDeltaEvent",
    "RunStepDeltaMessageDelta",
    "StepDetailsDelta",
    "ToolCallDelta",
    "ToolCallDeltaObject",
    "UnknownCodeOutputDelta",
    "UnknownStepDetailsDelta",
    "UnknownToolCallDelta",
]


class CodeInterpreterLogs(Model, kw_only=True, tag_field="type", tag="logs"):
    """A piece of the text that code writes."""

    index: int | None = None
    """The output's place among the outputs."""
    type: ClassVar[Literal["logs"]] = "logs"
    logs: str | None = None
    """The piece."""


class CodeOutputImageFileDelta(Model, kw_only=True):
    """An image, by its file."""

    file_id: str | None = None
    """The id of the image's file."""


class CodeInterpreterOutputImage(Model, kw_only=True, tag_field="type", tag="image"):
    """An image that code has drawn."""

    index: int | None = None
    """The output's place among the outputs."""
    type: ClassVar[Literal["image"]] = "image"
    image: CodeOutputImageFileDelta | None = None
    """Where the image is."""


class UnknownCodeOutputDelta(Unknown, kw_only=True):
    """A delta of an output that the reference does not have."""


CodeOutputDelta = CodeInterpreterLogs | CodeInterpreterOutputImage | UnknownCodeOutputDelta


class CodeInterpreterDelta(Model, kw_only=True):
    """A piece of the code, or of its outputs."""

    input: str | None = None
    """A piece of the code."""
    outputs: list[CodeOutputDelta] | None = None
    """Pieces of the outputs."""


class CodeInterpreterToolCallDelta(Model, kw_only=True, tag_field="type", tag="code_interpreter"):
    """A piece of a call of the code interpreter."""

    index: int | None = None
    """The call's place among the step's calls."""
    type: ClassVar[Literal["code_interpreter"]] = "code_interpreter"
    id: str | None = None
    """The call's id; as a rule only in its first delta."""
    code_interpreter: CodeInterpreterDelta | None = None
    """The piece."""


class FileSearchToolCallDelta(Model, kw_only=True, tag_field="type", tag="file_search"):
    """A piece of a call of the file search."""

    file_search: FileSearchCall | None = None
    """As a rule empty, or the ranking options: the results come with the finished step."""
    index: int | None = None
    """The call's place among the step's calls."""
    type: ClassVar[Literal["file_search"]] = "file_search"
    id: str | None = None
    """The call's id; as a rule only in its first delta."""


class FunctionDelta(Model, kw_only=True):
    """A piece of a function call."""

    arguments: str | None = None
    """A piece of the arguments."""
    name: str | None = None
    """The function's name; as a rule only in the call's first delta."""
    output: str | None = None
    """The function's output."""


class FunctionToolCallDelta(Model, kw_only=True, tag_field="type", tag="function"):
    """A piece of a call of one of the caller's functions."""

    index: int | None = None
    """The call's place among the step's calls."""
    type: ClassVar[Literal["function"]] = "function"
    id: str | None = None
    """The call's id; as a rule only in its first delta."""
    function: FunctionDelta | None = None
    """The piece."""


class UnknownToolCallDelta(Unknown, kw_only=True):
    """A piece of a call that the reference does not have."""


ToolCallDelta = (
    CodeInterpreterToolCallDelta
    | FileSearchToolCallDelta
    | FunctionToolCallDelta
    | UnknownToolCallDelta
)


class RunStepDeltaMessageDelta(Model, kw_only=True, tag_field="type", tag="message_creation"):
    """The step writes a message."""

    type: ClassVar[Literal["message_creation"]] = "message_creation"
    message_creation: MessageCreation | None = None
    """Which message."""


class ToolCallDeltaObject(Model, kw_only=True, tag_field="type", tag="tool_calls"):
    """Pieces of the step's tool calls."""

    type: ClassVar[Literal["tool_calls"]] = "tool_calls"
    tool_calls: list[ToolCallDelta] | None = None
    """The pieces, each with the index of its call."""


class UnknownStepDetailsDelta(Unknown, kw_only=True):
    """A piece of a step that the reference does not have."""


StepDetailsDelta = RunStepDeltaMessageDelta | ToolCallDeltaObject | UnknownStepDetailsDelta


class RunStepDelta(Model, kw_only=True):
    """What has changed on a run step."""

    step_details: StepDetailsDelta | None = None
    """The changed details."""


class RunStepDeltaEvent(Model, kw_only=True):
    """A change of a run step, as a stream sends it."""

    id: str
    """The id of the step that has changed."""
    delta: RunStepDelta
    """What has changed."""
    object: Literal["thread.run.step.delta"] | str = "thread.run.step.delta"
    """Always `thread.run.step.delta`."""
