"""What a script can do: the actions that it yields to the emulator."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Pieces: TypeAlias = "str | Sequence[str]"
"""A text that the emulator cuts into deltas, or the deltas themselves."""


@dataclass(frozen=True, slots=True)
class Citation:
    """An annotation: these words of the text come from a file that was searched."""

    text: str
    file_id: str
    quote: str = ""


@dataclass(frozen=True, slots=True)
class FilePath:
    """An annotation: these words of the text name a file that the code has made."""

    text: str
    file_id: str


@dataclass(frozen=True, slots=True)
class URLCitation:
    """An annotation that Azure's agents make: these words of the text come from an address."""

    text: str
    url: str
    title: str = ""


Annotation: TypeAlias = Citation | FilePath | URLCitation


@dataclass(frozen=True, slots=True)
class Text:
    """A text part of a message. Each annotation's words must occur in the text, in this order."""

    value: Pieces
    annotations: Sequence[Annotation] = ()


@dataclass(frozen=True, slots=True)
class Refusal:
    """A part that says why the model will not answer."""

    refusal: Pieces


@dataclass(frozen=True, slots=True)
class ImageFile:
    """A part that shows an image by its file id."""

    file_id: str
    detail: str = "auto"


@dataclass(frozen=True, slots=True)
class ImageURL:
    """A part that shows an image by its address."""

    url: str
    detail: str = "auto"


Part: TypeAlias = Text | Refusal | ImageFile | ImageURL


@dataclass(frozen=True, slots=True)
class Fail:
    """End the run as failed, and whatever step is open with it."""

    code: str = "server_error"
    message: str = "Sorry, something went wrong."


@dataclass(frozen=True, slots=True)
class Incomplete:
    """End the run as incomplete."""

    reason: str = "max_completion_tokens"


@dataclass(frozen=True, slots=True)
class Wait:
    """Do nothing for so many seconds of the emulator's clock."""

    seconds: float


class Say:
    """A message of one or more parts; strings stand for text parts.

    With `ending` the message is broken off after its last piece and the run ends so.
    `id` and `step_id` take the place of the generated ids.
    """

    def __init__(
        self,
        *parts: Part | Pieces,
        ending: Fail | Incomplete | None = None,
        id: str | None = None,  # noqa: A002 - the reference's word
        step_id: str | None = None,
    ) -> None:
        self.parts: list[Part] = [part if isinstance(part, Part) else Text(part) for part in parts]
        self.ending = ending
        self.id = id
        self.step_id = step_id


@dataclass(frozen=True, slots=True)
class Call:
    """A call of one of the client's functions; the script receives its output, a string.

    `arguments` is encoded as JSON, unless it is a string (or pieces of one): that is sent as it is.
    """

    name: str
    arguments: Mapping[str, Any] | Pieces = field(default_factory=dict)
    id: str | None = None
    type: Literal["function"] = field(default="function", init=False)


@dataclass(frozen=True, slots=True)
class RunCode:
    """A run of the code interpreter: its input, then what it prints and an image's file id."""

    input: Pieces
    logs: Pieces | None = None
    image: str | None = None
    id: str | None = None
    type: Literal["code_interpreter"] = field(default="code_interpreter", init=False)


@dataclass(frozen=True, slots=True)
class Found:
    """One result of a file search; its `text` is shown to requests that include the content."""

    file_id: str
    file_name: str
    score: float = 0.5
    text: str = ""


@dataclass(frozen=True, slots=True)
class SearchFiles:
    """A file search and its results."""

    results: Sequence[Found] = ()
    ranker: str = "default_2024_08_21"
    score_threshold: float = 0.0
    id: str | None = None
    type: Literal["file_search"] = field(default="file_search", init=False)


@dataclass(frozen=True, slots=True)
class CallMcp:
    """A call that an Azure agent makes itself, of an MCP server's tool.

    Its output comes in a delta after the step's end. With `approval` the run first waits for the
    client to approve the call; the script receives whether it was made.
    """

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    output: str = ""
    server_label: str = "docs"
    approval: bool = False
    id: str | None = None


@dataclass(frozen=True, slots=True)
class Activities:
    """A step of Azure's agents that shows what they do beside the run, as plain JSON."""

    activities: Sequence[Mapping[str, Any]]


ToolCall: TypeAlias = Call | RunCode | SearchFiles


class Parallel:
    """Several tool calls in one step; the script receives the outputs of its `Call`s, in order.

    With `interleave` the deltas of the calls take turns. `ending` and `step_id` as for `Say`.
    """

    def __init__(
        self,
        *calls: ToolCall,
        interleave: bool = False,
        ending: Fail | Incomplete | None = None,
        step_id: str | None = None,
    ) -> None:
        self.calls = calls
        self.interleave = interleave
        self.ending = ending
        self.step_id = step_id


Action: TypeAlias = (
    Say | Parallel | Call | RunCode | SearchFiles | CallMcp | Activities | Fail | Incomplete | Wait
)
"""Anything that a script may yield."""
