"""The tools of an assistant or a run, how they are chosen, and the format of the answer."""

from typing import Any, ClassVar, Literal

import msgspec

from asyncruns.models._base import RequestModel, Unknown

__all__ = [
    "AssistantTool",
    "AssistantToolChoice",
    "AssistantToolChoiceFunction",
    "AssistantToolChoiceOption",
    "CodeInterpreterTool",
    "FileSearch",
    "FileSearchRankingOptions",
    "FileSearchTool",
    "FunctionDefinition",
    "FunctionTool",
    "JSONSchema",
    "ResponseFormat",
    "ResponseFormatJSONObject",
    "ResponseFormatJSONSchema",
    "ResponseFormatText",
    "TruncationStrategy",
    "UnknownResponseFormat",
    "UnknownTool",
]


class CodeInterpreterTool(RequestModel, tag_field="type", tag="code_interpreter"):
    """Lets the model run code."""

    type: ClassVar[Literal["code_interpreter"]] = "code_interpreter"


class FileSearchRankingOptions(RequestModel, kw_only=True):
    """How the results of a file search are ranked and cut."""

    # Of a factory, because what equals a plain default is left out of a body, where it must stand.
    score_threshold: float | None = msgspec.field(default_factory=float)
    """The lowest score that a result may have, 0 to 1; 0.0, also where nothing was said."""
    ranker: Literal["auto", "default_2024_08_21"] | str | None = None
    """The ranker; None means `auto`."""


class FileSearch(RequestModel, kw_only=True):
    """Overrides of the file search tool."""

    max_num_results: int | None = None
    """The most results to give, 1 to 50; None means the model's default, 20 or 5."""
    ranking_options: FileSearchRankingOptions | None = None
    """How results are ranked; None means the `auto` ranker without a threshold."""


class FileSearchTool(RequestModel, kw_only=True, tag_field="type", tag="file_search"):
    """Lets the model search the files of the thread and the assistant."""

    type: ClassVar[Literal["file_search"]] = "file_search"
    file_search: FileSearch | None = None
    """Overrides of the tool's defaults; None where there are none."""


class FunctionDefinition(RequestModel, kw_only=True):
    """A function of the caller's that the model may ask to have called."""

    name: str = ""
    """The function's name: letters, digits, underscores and dashes, at most 64."""
    description: str | None = None
    """What the function does, for the model to choose by; None where nothing was said."""
    parameters: dict[str, Any] | None = None
    """The parameters as a JSON Schema object; None for a function without parameters."""
    strict: bool | None = None
    """Whether the model must keep to the schema exactly; None means no."""


class FunctionTool(RequestModel, kw_only=True, tag_field="type", tag="function"):
    """Lets the model ask for a call of one function."""

    function: FunctionDefinition
    """The function."""
    type: ClassVar[Literal["function"]] = "function"


class UnknownTool(Unknown, kw_only=True):
    """A tool of a kind that the reference does not have."""


AssistantTool = CodeInterpreterTool | FileSearchTool | FunctionTool | UnknownTool


class AssistantToolChoiceFunction(RequestModel, kw_only=True):
    """The function that the model must call."""

    name: str
    """The function's name."""


class AssistantToolChoice(RequestModel, kw_only=True):
    """Forces the model to use one particular tool."""

    type: Literal["function", "code_interpreter", "file_search"] | str
    """The tool's type."""
    function: AssistantToolChoiceFunction | None = None
    """Which function, where the type is `function`; None otherwise."""


AssistantToolChoiceOption = Literal["none", "auto", "required"] | str | AssistantToolChoice


class ResponseFormatText(RequestModel, tag_field="type", tag="text"):
    """The answer is text: the default."""

    type: ClassVar[Literal["text"]] = "text"


class ResponseFormatJSONObject(RequestModel, tag_field="type", tag="json_object"):
    """The answer is some JSON object; the instructions must ask for JSON, too."""

    type: ClassVar[Literal["json_object"]] = "json_object"


class JSONSchema(RequestModel, kw_only=True):
    """The schema that an answer has to keep to."""

    name: str
    """The format's name: letters, digits, underscores and dashes, at most 64."""
    description: str | None = None
    """What the format is for; None where nothing was said."""
    schema: dict[str, Any] | None = None
    """The format as a JSON Schema object; None where there is none."""
    strict: bool | None = None
    """Whether the answer must keep to the schema exactly; None means no."""


class ResponseFormatJSONSchema(RequestModel, kw_only=True, tag_field="type", tag="json_schema"):
    """The answer is JSON after a schema (structured outputs)."""

    json_schema: JSONSchema
    """The schema and its settings."""
    type: ClassVar[Literal["json_schema"]] = "json_schema"


class UnknownResponseFormat(Unknown, kw_only=True):
    """A response format that the reference does not have."""


ResponseFormat = (
    Literal["auto"]
    | str
    | ResponseFormatText
    | ResponseFormatJSONObject
    | ResponseFormatJSONSchema
    | UnknownResponseFormat
)


class TruncationStrategy(RequestModel, kw_only=True):
    """How a thread is cut to fit the model's context before a run."""

    type: Literal["auto", "last_messages"] | str
    """`auto` drops messages from the middle; `last_messages` keeps the newest ones."""
    last_messages: int | None = None
    """How many messages `last_messages` keeps; None with `auto`."""
