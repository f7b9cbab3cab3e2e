"""Request bodies: bytes to strict structs, and what is wrong with them in the API's words."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, NamedTuple, TypeAlias, TypeVar

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from asyncruns.emulator.errors import ApiError, bad_request

T = TypeVar("T")


class Body(Struct, forbid_unknown_fields=True):
    """A JSON object of a request, in which only the known fields may stand."""


Metadata: TypeAlias = (
    Annotated[
        dict[Annotated[str, Meta(max_length=64)], Annotated[str, Meta(max_length=512)]],
        Meta(max_length=16),
    ]
    | None
)
Name: TypeAlias = Annotated[str, Meta(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
Temperature: TypeAlias = Annotated[float, Meta(ge=0, le=2)] | None
TopP: TypeAlias = Annotated[float, Meta(ge=0, le=1)] | None
TokenLimit: TypeAlias = Annotated[int, Meta(ge=256)] | None
Effort: TypeAlias = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None


class FunctionDefinition(Body, kw_only=True):
    """A function that the client offers; null is taken for what the API itself answers as null."""

    name: Name
    description: str | None = None
    parameters: dict[str, Any] = msgspec.field(
        default_factory=lambda: {"type": "object", "properties": {}}
    )
    strict: bool | None = False


class FunctionTool(Body, kw_only=True, tag_field="type", tag="function"):
    """The tool that calls a function of the client."""

    function: FunctionDefinition


class CodeInterpreterTool(Body, kw_only=True, tag_field="type", tag="code_interpreter"):
    """The tool that runs code."""


class RankingOptions(Body, kw_only=True):
    """How search results are ranked."""

    ranker: Literal["auto", "default_2024_08_21"] = "default_2024_08_21"
    score_threshold: Annotated[float, Meta(ge=0, le=1)]
    hybrid_search: dict[str, Any] | None = None


class FileSearchOptions(Body, kw_only=True):
    """The settings of a file search tool."""

    max_num_results: Annotated[int, Meta(ge=1, le=50)] | UnsetType = UNSET
    ranking_options: RankingOptions = msgspec.field(
        default_factory=lambda: RankingOptions(score_threshold=0.0)
    )


class FileSearchTool(Body, kw_only=True, tag_field="type", tag="file_search"):
    """The tool that searches files."""

    file_search: FileSearchOptions = msgspec.field(default_factory=FileSearchOptions)


Tool: TypeAlias = FunctionTool | CodeInterpreterTool | FileSearchTool
AssistantTools: TypeAlias = Annotated[list[Tool], Meta(max_length=128)]
RunTools: TypeAlias = Annotated[list[Tool], Meta(max_length=20)]


class ToolKind(Body, kw_only=True):
    """The tool that an attachment is for."""

    type: Literal["code_interpreter", "file_search"]


class CodeFiles(Body, kw_only=True):
    """The files that code may read."""

    file_ids: Annotated[list[str], Meta(max_length=20)] = msgspec.field(default_factory=list)


class AutoChunking(Body, kw_only=True, tag_field="type", tag="auto"):
    """Chunks as the server likes them."""


class ChunkSizes(Body, kw_only=True):
    """The size of chunks in tokens."""

    max_chunk_size_tokens: Annotated[int, Meta(ge=100, le=4096)]
    chunk_overlap_tokens: int


class StaticChunking(Body, kw_only=True, tag_field="type", tag="static"):
    """Chunks of a given size."""

    static: ChunkSizes


class NewVectorStore(Body, kw_only=True):
    """A vector store that is made along with its owner."""

    file_ids: list[str] | UnsetType = UNSET
    chunking_strategy: AutoChunking | StaticChunking | UnsetType = UNSET
    metadata: Metadata | UnsetType = UNSET


class SearchStores(Body, kw_only=True):
    """The vector stores that are searched, by id."""

    vector_store_ids: Annotated[list[str], Meta(max_length=1)] | UnsetType = UNSET


class NewSearchStores(SearchStores, kw_only=True):
    """The same for a new assistant or thread, along with which they can be made."""

    vector_stores: Annotated[list[NewVectorStore], Meta(max_length=1)] | UnsetType = UNSET

    def __post_init__(self) -> None:
        if (self.vector_store_ids is UNSET) == (self.vector_stores is UNSET):
            raise ValueError("expected either 'vector_store_ids' or 'vector_stores'.")


class ToolResources(Body, kw_only=True):
    """What the tools work on."""

    code_interpreter: CodeFiles | UnsetType = UNSET
    file_search: SearchStores | UnsetType = UNSET


class NewToolResources(Body, kw_only=True):
    """What the tools of a new assistant or thread work on."""

    code_interpreter: CodeFiles | UnsetType = UNSET
    file_search: NewSearchStores | UnsetType = UNSET


class ImageFileReference(Body, kw_only=True):
    """An image by its file id."""

    file_id: str
    detail: Literal["auto", "low", "high"] = "auto"


class ImageURLReference(Body, kw_only=True):
    """An image by its address."""

    url: str
    detail: Literal["auto", "low", "high"] = "auto"


class TextPart(Body, kw_only=True, tag_field="type", tag="text"):
    """A text in a message."""

    text: str


class ImageFilePart(Body, kw_only=True, tag_field="type", tag="image_file"):
    """An uploaded image in a message."""

    image_file: ImageFileReference


class ImageURLPart(Body, kw_only=True, tag_field="type", tag="image_url"):
    """A linked image in a message."""

    image_url: ImageURLReference


class Attachment(Body, kw_only=True):
    """A file that comes with a message."""

    file_id: str
    tools: list[ToolKind]


class CreateMessage(Body, kw_only=True):
    """A new message."""

    role: Literal["user", "assistant"]
    content: str | Annotated[list[TextPart | ImageFilePart | ImageURLPart], Meta(min_length=1)]
    attachments: list[Attachment] | None = None
    metadata: Metadata = None


class TextFormat(Body, kw_only=True, tag_field="type", tag="text"):
    """Answers in plain text."""


class JsonObjectFormat(Body, kw_only=True, tag_field="type", tag="json_object"):
    """Answers in JSON."""


class JsonSchema(Body, kw_only=True):
    """The schema that an answer follows."""

    name: Name
    description: str | UnsetType = UNSET
    schema: dict[str, Any] | UnsetType = UNSET
    strict: bool | None = False


class JsonSchemaFormat(Body, kw_only=True, tag_field="type", tag="json_schema"):
    """Answers in JSON of a given schema."""

    json_schema: JsonSchema


ResponseFormat: TypeAlias = (
    Literal["auto"] | TextFormat | JsonObjectFormat | JsonSchemaFormat | None
)


class FunctionName(Body, kw_only=True):
    """The function that must be called."""

    name: str


class FunctionChoice(Body, kw_only=True, tag_field="type", tag="function"):
    """Call this function."""

    function: FunctionName


class CodeInterpreterChoice(Body, kw_only=True, tag_field="type", tag="code_interpreter"):
    """Run code."""


class FileSearchChoice(Body, kw_only=True, tag_field="type", tag="file_search"):
    """Search files."""


ToolChoice: TypeAlias = (
    Literal["none", "auto", "required"]
    | FunctionChoice
    | CodeInterpreterChoice
    | FileSearchChoice
    | None
)


class Truncation(Body, kw_only=True):
    """How much of the thread a run looks at."""

    type: Literal["auto", "last_messages"]
    last_messages: Annotated[int, Meta(ge=1)] | None = None


class AssistantSettings(Body, kw_only=True):
    """What creating and modifying an assistant have in common."""

    name: Annotated[str, Meta(max_length=256)] | UnsetType | None = UNSET
    description: Annotated[str, Meta(max_length=512)] | UnsetType | None = UNSET
    instructions: Annotated[str, Meta(max_length=256_000)] | UnsetType | None = UNSET
    reasoning_effort: Effort | UnsetType = UNSET
    tools: AssistantTools | UnsetType = UNSET
    metadata: Metadata | UnsetType = UNSET
    temperature: Temperature | UnsetType = UNSET
    top_p: TopP | UnsetType = UNSET
    response_format: ResponseFormat | UnsetType = UNSET


class CreateAssistant(AssistantSettings, kw_only=True):
    """A new assistant."""

    model: str
    tool_resources: NewToolResources | UnsetType | None = UNSET


class ModifyAssistant(AssistantSettings, kw_only=True):
    """Changes to an assistant; what is left out stays."""

    model: str | UnsetType = UNSET
    tool_resources: ToolResources | UnsetType | None = UNSET


class CreateThread(Body, kw_only=True):
    """A new thread."""

    messages: list[CreateMessage] = msgspec.field(default_factory=list)
    tool_resources: NewToolResources | None = None
    metadata: Metadata = None


class ModifyThread(Body, kw_only=True):
    """Changes to a thread."""

    tool_resources: ToolResources | UnsetType | None = UNSET
    metadata: Metadata | UnsetType = UNSET


class ModifyMetadata(Body, kw_only=True):
    """Changes to a run or a message, of which only the metadata can change."""

    metadata: Metadata | UnsetType = UNSET


class RunSettings(Body, kw_only=True):
    """What both ways of creating a run have in common."""

    assistant_id: str
    model: str | None = None
    instructions: str | None = None
    tools: RunTools | None = None
    metadata: Metadata = None
    temperature: Temperature = None
    top_p: TopP = None
    stream: bool | None = None
    max_prompt_tokens: TokenLimit = None
    max_completion_tokens: TokenLimit = None
    truncation_strategy: Truncation | None = None
    tool_choice: ToolChoice = None
    parallel_tool_calls: bool = True
    response_format: ResponseFormat = None


class CreateRun(RunSettings, kw_only=True):
    """A new run on a thread."""

    reasoning_effort: Effort = None
    additional_instructions: str | None = None
    additional_messages: list[CreateMessage] | None = None


class CreateThreadAndRun(RunSettings, kw_only=True):
    """A new thread and a run on it."""

    thread: CreateThread = msgspec.field(default_factory=CreateThread)
    tool_resources: ToolResources | None = None


class ToolOutput(Body, kw_only=True):
    """What a function has answered."""

    tool_call_id: str
    output: str = ""


class ToolApproval(Body, kw_only=True):
    """Whether a call may be made (Azure)."""

    tool_call_id: str
    approve: bool
    headers: dict[str, str] | None = None


class SubmitToolOutputs(Body, kw_only=True):
    """The answers to all calls of a run that requires action: outputs, or else approvals."""

    tool_outputs: list[ToolOutput] | UnsetType = UNSET
    tool_approvals: list[ToolApproval] | UnsetType = UNSET
    stream: bool | None = None


class Complaint(NamedTuple):
    """How one kind of msgspec's messages is told in the API's words."""

    pattern: re.Pattern[str]
    message: str
    code: str


# Each pattern meets the part of msgspec's message before " - at `$.path`"; `param` is that path,
# with the pattern's `field` at its end where there is one.
_COMPLAINTS = (
    Complaint(
        re.compile(r"Object missing required field `(?P<field>.+)`"),
        "Missing required parameter: '{param}'.",
        "missing_required_parameter",
    ),
    Complaint(
        re.compile(r"Object contains unknown field `(?P<field>.+)`", re.DOTALL),
        "Unknown parameter: '{param}'.",
        "unknown_parameter",
    ),
    Complaint(
        re.compile(r"Expected `(?P<expected>[^`]+)`, got `(?P<got>[^`]+)`"),
        "Invalid type for '{param}': expected {expected}, got {got} instead.",
        "invalid_type",
    ),
    Complaint(
        re.compile(r"Expected `(?P<expected>str|array|object)` of length (?P<bound>[<>]=? \d+)"),
        "Invalid '{param}': expected {expected} of length {bound}.",
        "invalid_length",
    ),
    Complaint(
        re.compile(r"Expected `(?P<expected>int|float)` (?P<bound>[<>]=? [-\d.]+)"),
        "Invalid '{param}': expected {expected} {bound}.",
        "value_out_of_range",
    ),
    Complaint(
        re.compile(r"Expected `str` matching regex (?P<bound>.+)"),
        "Invalid '{param}': expected a string that matches the pattern {bound}.",
        "invalid_value",
    ),
    Complaint(
        re.compile(r"Invalid (?:enum )?value '?(?P<got>.*?)'?", re.DOTALL),
        "Invalid value for '{param}': '{got}' is not supported.",
        "invalid_value",
    ),
    Complaint(
        re.compile(r"Expected `(?P<expected>[^`]+)`"),
        "Invalid type for '{param}': expected {expected}.",
        "invalid_type",
    ),
)
_PLACE = re.compile(r" - at (?:`key` in )?`\$(?P<path>[^`]*)`$")
_TYPE_NAMES = {"str": "string", "int": "integer", "float": "number", "bool": "boolean"}


def decode(body: bytes, kind: type[T]) -> T:
    """Return the body as `kind`; no body at all counts as an empty object.

    Raises ApiError (400) that names the parameter.
    """
    try:
        return msgspec.json.decode(body or b"{}", type=kind)
    except msgspec.ValidationError as error:
        raise _complaint(str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise bad_request(f"We could not parse the JSON body of your request: {error}") from error


def _complaint(text: str) -> ApiError:
    place = _PLACE.search(text)
    what = text[: place.start()] if place else text
    path = place["path"].replace("[...]", "").removeprefix(".") if place else ""
    for pattern, message, code in _COMPLAINTS:
        found = pattern.fullmatch(what)
        if found is not None:
            words = found.groupdict()
            param = ".".join(filter(None, (path, words.pop("field", None))))
            told = {name: _plain(word) for name, word in words.items()}
            return bad_request(
                message.format(param=param or "body", **told), param=param or None, code=code
            )
    place_and_what = f"Invalid '{path}': {what}" if path else what
    return bad_request(place_and_what, param=path or None, code="invalid_value")


def _plain(word: str) -> str:
    """Put msgspec's names of types into JSON's."""
    return " or ".join(_TYPE_NAMES.get(name, name) for name in word.split(" | "))
