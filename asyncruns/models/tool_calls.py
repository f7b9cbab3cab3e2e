"""Finished tool calls, as a run step holds them (reference: Steps, Tool Call)."""

from typing import ClassVar, Literal

from msgspec import field

from asyncruns.models._base import Model, Unknown

__all__ = [
    "CodeInterpreter",
    "CodeInterpreterToolCall",
    "CodeOutput",
    "CodeOutputImage",
    "CodeOutputImageFile",
    "CodeOutputLogs",
    "FileSearchCall",
    "FileSearchCallRankingOptions",
    "FileSearchResult",
    "FileSearchResultContent",
    "FileSearchToolCall",
    "Function",
    "FunctionToolCall",
    "ToolCall",
    "UnknownCodeOutput",
    "UnknownToolCall",
]


class CodeOutputLogs(Model, kw_only=True, tag_field="type", tag="logs"):
    """Text that code has written."""

    logs: str = ""
    """The text."""
    type: ClassVar[Literal["logs"]] = "logs"


class CodeOutputImageFile(Model, kw_only=True):
    """An image, by its file."""

    file_id: str | None = None
    """The id of the image's file."""


class CodeOutputImage(Model, kw_only=True, tag_field="type", tag="image"):
    """An image that code has drawn."""

    image: CodeOutputImageFile = field(default_factory=CodeOutputImageFile)
    """Where the image is."""
    type: ClassVar[Literal["image"]] = "image"


class UnknownCodeOutput(Unknown, kw_only=True):
    """An output of code that the reference does not have."""


CodeOutput = CodeOutputLogs | CodeOutputImage | UnknownCodeOutput


class CodeInterpreter(Model, kw_only=True):
    """Code that was run, and what came of it."""

    input: str = ""
    """The code."""
    outputs: list[CodeOutput] = []
    """Its outputs, in their order."""


class CodeInterpreterToolCall(Model, kw_only=True, tag_field="type", tag="code_interpreter"):
    """A call of the code interpreter."""

    id: str = ""
    """The call's id; empty while only deltas without it have come."""
    code_interpreter: CodeInterpreter = field(default_factory=CodeInterpreter)
    """The code and its outputs."""
    type: ClassVar[Literal["code_interpreter"]] = "code_interpreter"


class FileSearchCallRankingOptions(Model, kw_only=True):
    """How the results of this search were ranked."""

    ranker: Literal["auto", "default_2024_08_21"] | str | None = None
    """The ranker that was used."""
    score_threshold: float | None = None
    """The lowest score that a result could have, 0 to 1."""


class FileSearchResultContent(Model, kw_only=True):
    """A piece of a file that was found."""

    text: str | None = None
    """The piece's text."""
    type: Literal["text"] | str | None = None
    """What kind of content it is."""


class FileSearchResult(Model, kw_only=True):
    """A file that was found."""

    file_id: str | None = None
    """The file's id."""
    file_name: str | None = None
    """The file's name."""
    score: float | None = None
    """How well it fits, 0 to 1."""
    content: list[FileSearchResultContent] | None = None
    """What was found; None unless it was asked for with `include`."""


class FileSearchCall(Model, kw_only=True):
    """A search and what it found."""

    ranking_options: FileSearchCallRankingOptions | None = None
    """How results were ranked; None where the server does not say."""
    results: list[FileSearchResult] | None = None
    """What was found; None where the server does not say."""


class FileSearchToolCall(Model, kw_only=True, tag_field="type", tag="file_search"):
    """A call of the file search."""

    id: str = ""
    """The call's id; empty while only deltas without it have come."""
    file_search: FileSearchCall = field(default_factory=FileSearchCall)
    """The search and its results."""
    type: ClassVar[Literal["file_search"]] = "file_search"


class Function(Model, kw_only=True):
    """A function that the model wants called, and its output."""

    arguments: str = ""
    """The arguments, as the JSON text that the model wrote: it may be invalid."""
    name: str | None = None
    """The function's name."""
    output: str | None = None
    """The output; None until it has been submitted."""


class FunctionToolCall(Model, kw_only=True, tag_field="type", tag="function"):
    """A call of one of the caller's functions."""

    id: str = ""
    """The call's id; empty while only deltas without it have come."""
    function: Function = field(default_factory=Function)
    """The function, its arguments and its output."""
    type: ClassVar[Literal["function"]] = "function"


class UnknownToolCall(Unknown, kw_only=True):
    """A tool call of a kind that the reference does not have, such as Azure's `mcp`."""


ToolCall = CodeInterpreterToolCall | FileSearchToolCall | FunctionToolCall | UnknownToolCall
