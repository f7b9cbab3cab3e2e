"""JSON to models and back: the reference's objects, and how real ones differ from it."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import pkgutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from asyncruns import models
from asyncruns.models import (
    Assistant,
    AssistantToolChoice,
    CodeInterpreterToolCall,
    ErrorObject,
    FileSearchTool,
    FileSearchToolCall,
    FunctionTool,
    FunctionToolCall,
    ListMessagesResponse,
    ListRunsResponse,
    ListRunStepsResponse,
    Message,
    MessageDeltaEvent,
    ObjectDecoder,
    ResponseFormatJSONSchema,
    Run,
    RunStep,
    RunStepDeltaEvent,
    TextContentBlock,
    Thread,
    ToolCallsStepDetails,
    TruncationStrategy,
    Unknown,
    UnknownAnnotation,
    UnknownAnnotationDelta,
    UnknownCodeOutput,
    UnknownCodeOutputDelta,
    UnknownContentBlock,
    UnknownContentDelta,
    UnknownRequiredAction,
    UnknownResponseFormat,
    UnknownStepDetails,
    UnknownStepDetailsDelta,
    UnknownTool,
    UnknownToolCall,
    UnknownToolCallDelta,
    decode_json,
    remember,
    to_dict,
    to_json,
)
from tests.core.shapes import COPIES, encoded, message, run, step, thread, whole_function

if TYPE_CHECKING:
    from collections.abc import Callable

REFERENCE = {
    # Runs
    "RequiredActionFunctionToolCall": "id function type",
    "RequiredActionFunction": "arguments name",
    "Run": (
        "id assistant_id cancelled_at completed_at created_at expires_at failed_at "
        "incomplete_details instructions last_error max_completion_tokens max_prompt_tokens "
        "metadata model object parallel_tool_calls required_action response_format started_at "
        "status thread_id tool_choice tools truncation_strategy usage temperature top_p"
    ),
    "IncompleteDetails": "reason",
    "LastError": "code message",
    "RequiredActionSubmitToolOutputs": "submit_tool_outputs type",
    "SubmitToolOutputs": "tool_calls",
    "ResponseFormatText": "type",
    "ResponseFormatJSONObject": "type",
    "ResponseFormatJSONSchema": "json_schema type",
    "JSONSchema": "name description schema strict",
    "AssistantToolChoice": "type function",
    "AssistantToolChoiceFunction": "name",
    "CodeInterpreterTool": "type",
    "FileSearchTool": "type file_search",
    "FileSearch": "max_num_results ranking_options",
    "FileSearchRankingOptions": "score_threshold ranker",
    "FunctionTool": "function type",
    "FunctionDefinition": "name description parameters strict",
    "TruncationStrategy": "type last_messages",
    "Usage": "completion_tokens prompt_tokens total_tokens",
    # Steps
    "CodeInterpreterLogs": "index type logs",
    "CodeInterpreterOutputImage": "index type image",
    "CodeOutputImageFileDelta": "file_id",
    "CodeInterpreterToolCall": "id code_interpreter type",
    "CodeInterpreter": "input outputs",
    "CodeOutputLogs": "logs type",
    "CodeOutputImage": "image type",
    "CodeOutputImageFile": "file_id",
    "CodeInterpreterToolCallDelta": "index type id code_interpreter",
    "CodeInterpreterDelta": "input outputs",
    "FileSearchToolCall": "id file_search type",
    "FileSearchCall": "ranking_options results",
    "FileSearchCallRankingOptions": "ranker score_threshold",
    "FileSearchResult": "file_id file_name score content",
    "FileSearchResultContent": "text type",
    "FileSearchToolCallDelta": "file_search index type id",
    "FunctionToolCall": "id function type",
    "Function": "arguments name output",
    "FunctionToolCallDelta": "index type id function",
    "FunctionDelta": "arguments name output",
    "MessageCreationStepDetails": "message_creation type",
    "MessageCreation": "message_id",
    "RunStep": (
        "id assistant_id cancelled_at completed_at created_at expired_at failed_at last_error "
        "metadata object run_id status step_details thread_id type usage"
    ),
    "RunStepDelta": "step_details",
    "RunStepDeltaMessageDelta": "type message_creation",
    "ToolCallDeltaObject": "type tool_calls",
    "RunStepDeltaEvent": "id delta object",
    "ToolCallsStepDetails": "tool_calls type",
}
"""Every object of the reference's two pages, and its fields, in its order."""

LISTS = ("ListRunsResponse", "ListRunStepsResponse")
LIST_FIELDS = "data first_id has_more last_id object"

DESCRIPTION = {
    "Message": (
        "id object created_at thread_id status incomplete_details completed_at incomplete_at role "
        "content assistant_id run_id attachments metadata"
    ),
    "Attachment": "file_id tools",
    "ImageFile": "file_id detail",
    "ImageFileContentBlock": "image_file",
    "ImageURL": "url detail",
    "ImageURLContentBlock": "image_url",
    "TextContentBlock": "text",
    "Text": "value annotations",
    "FileCitationAnnotation": "text file_citation start_index end_index",
    "FileCitation": "file_id",
    "FilePathAnnotation": "text file_path start_index end_index",
    "FilePath": "file_id",
    "RefusalContentBlock": "refusal",
    "MessageDeltaEvent": "id delta object",
    "MessageDelta": "role content",
    "TextDeltaBlock": "index text",
    "TextDelta": "annotations value",
    "RefusalDeltaBlock": "index refusal",
    "ImageFileDeltaBlock": "index image_file",
    "ImageURLDeltaBlock": "index image_url",
    "FileCitationDeltaAnnotation": "index text file_citation start_index end_index",
    "FileCitationDelta": "file_id quote",
    "FilePathDeltaAnnotation": "index text file_path start_index end_index",
    "Thread": "id object created_at tool_resources metadata",
    "ToolResources": "code_interpreter file_search",
    "CodeInterpreterResources": "file_ids",
    "FileSearchResources": "vector_store_ids",
    "Assistant": (
        "id object created_at name description model instructions tools tool_resources metadata "
        "temperature top_p response_format"
    ),
    "ErrorObject": "code message param type",
    "AssistantDeleted": "id deleted object",
    "ThreadDeleted": "id deleted object",
    "MessageDeleted": "id deleted object",
    "ListMessagesResponse": LIST_FIELDS,
    "ListAssistantsResponse": LIST_FIELDS,
}
"""What the OpenAPI description has beyond the reference; a `type` is told by its tag."""

UNIONS = {
    "RunStatus": "",
    "RunStepInclude": "",
    "AssistantToolChoiceOption": "AssistantToolChoice",
    "AssistantTool": "CodeInterpreterTool FileSearchTool FunctionTool UnknownTool",
    "ResponseFormat": (
        "ResponseFormatText ResponseFormatJSONObject ResponseFormatJSONSchema UnknownResponseFormat"
    ),
    "RequiredAction": "RequiredActionSubmitToolOutputs UnknownRequiredAction",
    "StepDetails": "MessageCreationStepDetails ToolCallsStepDetails UnknownStepDetails",
    "ToolCall": "CodeInterpreterToolCall FileSearchToolCall FunctionToolCall UnknownToolCall",
    "CodeOutput": "CodeOutputLogs CodeOutputImage UnknownCodeOutput",
    "StepDetailsDelta": "RunStepDeltaMessageDelta ToolCallDeltaObject UnknownStepDetailsDelta",
    "ToolCallDelta": (
        "CodeInterpreterToolCallDelta FileSearchToolCallDelta FunctionToolCallDelta "
        "UnknownToolCallDelta"
    ),
    "CodeOutputDelta": "CodeInterpreterLogs CodeInterpreterOutputImage UnknownCodeOutputDelta",
    "MessageContent": (
        "ImageFileContentBlock ImageURLContentBlock TextContentBlock RefusalContentBlock "
        "UnknownContentBlock"
    ),
    "MessageContentDelta": (
        "ImageFileDeltaBlock ImageURLDeltaBlock TextDeltaBlock RefusalDeltaBlock "
        "UnknownContentDelta"
    ),
    "Annotation": "FileCitationAnnotation FilePathAnnotation UnknownAnnotation",
    "AnnotationDelta": (
        "FileCitationDeltaAnnotation FilePathDeltaAnnotation UnknownAnnotationDelta"
    ),
}
"""The structs among each union's members."""

TAGS = {
    "ResponseFormatText": "text",
    "ResponseFormatJSONObject": "json_object",
    "ResponseFormatJSONSchema": "json_schema",
    "RequiredActionSubmitToolOutputs": "submit_tool_outputs",
    "CodeInterpreterTool": "code_interpreter",
    "FileSearchTool": "file_search",
    "FunctionTool": "function",
    "CodeInterpreterLogs": "logs",
    "CodeInterpreterOutputImage": "image",
    "CodeOutputLogs": "logs",
    "CodeOutputImage": "image",
    "CodeInterpreterToolCall": "code_interpreter",
    "CodeInterpreterToolCallDelta": "code_interpreter",
    "FileSearchToolCall": "file_search",
    "FileSearchToolCallDelta": "file_search",
    "FunctionToolCall": "function",
    "FunctionToolCallDelta": "function",
    "MessageCreationStepDetails": "message_creation",
    "RunStepDeltaMessageDelta": "message_creation",
    "ToolCallsStepDetails": "tool_calls",
    "ToolCallDeltaObject": "tool_calls",
    "ImageFileContentBlock": "image_file",
    "ImageFileDeltaBlock": "image_file",
    "ImageURLContentBlock": "image_url",
    "ImageURLDeltaBlock": "image_url",
    "TextContentBlock": "text",
    "TextDeltaBlock": "text",
    "RefusalContentBlock": "refusal",
    "RefusalDeltaBlock": "refusal",
    "FileCitationAnnotation": "file_citation",
    "FileCitationDeltaAnnotation": "file_citation",
    "FilePathAnnotation": "file_path",
    "FilePathDeltaAnnotation": "file_path",
}

SHARED = {"Model", "RequestModel", "Unknown", "ListResponse"}


def all_structs() -> dict[str, type[msgspec.Struct]]:
    return {
        name: kind
        for name, kind in inspect.getmembers(models, inspect.isclass)
        if issubclass(kind, msgspec.Struct)
    }


# The reference


@pytest.mark.parametrize("name", REFERENCE)
def test_an_object_of_the_reference_has_its_fields_in_its_order(name: str) -> None:
    assert list(all_structs()[name].__annotations__) == REFERENCE[name].split()


@pytest.mark.parametrize("name", LISTS)
def test_a_list_of_the_reference_has_its_fields_in_its_order(name: str) -> None:
    assert list(all_structs()[name].__struct_fields__) == LIST_FIELDS.split()


@pytest.mark.parametrize("name", DESCRIPTION)
def test_an_object_of_the_description_has_its_fields_in_its_order(name: str) -> None:
    assert list(all_structs()[name].__struct_fields__) == DESCRIPTION[name].split()


def test_there_are_no_other_objects() -> None:
    unknown = {name for name in all_structs() if name.startswith("Unknown")}
    assert set(all_structs()) == {*REFERENCE, *LISTS, *DESCRIPTION, *unknown, *SHARED}


@pytest.mark.parametrize("name", UNIONS)
def test_a_union_has_the_references_members_and_one_for_the_unknown(name: str) -> None:
    shape = msgspec.inspect.type_info(getattr(models, name))
    assert isinstance(shape, msgspec.inspect.UnionType)
    members = {t.cls.__name__ for t in shape.types if isinstance(t, msgspec.inspect.StructType)}
    assert members == set(UNIONS[name].split())


def test_a_type_is_told_by_a_tag_that_is_an_attribute_too() -> None:
    structs = {name: kind for name, kind in all_structs().items() if kind.__struct_config__.tag}
    known = {name: kind for name, kind in structs.items() if not issubclass(kind, Unknown)}
    assert {name: kind.__struct_config__.tag for name, kind in known.items()} == TAGS
    assert {name: getattr(kind, "type", None) for name, kind in known.items()} == TAGS
    assert {kind.__struct_config__.tag_field for kind in known.values()} == {"type"}


def test_models_are_left_alone_by_the_garbage_collector_and_built_by_keywords() -> None:
    for kind in all_structs().values():
        assert not kind.__struct_config__.gc
        with pytest.raises(TypeError):
            kind("positional")


def test_every_public_field_and_class_has_a_docstring() -> None:
    missing = [
        f"{path.stem}.{owner.name}.{name}"
        for path in Path(models.__file__).parent.glob("*.py")
        for owner in ast.parse(path.read_text("utf-8")).body
        if isinstance(owner, ast.ClassDef)
        for name in undocumented(owner)
    ]
    assert missing == []


def undocumented(owner: ast.ClassDef) -> list[str]:
    """The class, if it says nothing of itself, and its fields without a string beneath."""
    names = [] if ast.get_docstring(owner) else ["(class)"]
    for line, below in zip(owner.body, [*owner.body[1:], None], strict=True):
        if not isinstance(line, ast.AnnAssign) or "ClassVar" in ast.unparse(line.annotation):
            continue
        told = isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)
        name = ast.unparse(line.target)
        if not told and not name.startswith("_"):
            names.append(name)
    return names


def test_a_field_without_a_docstring_is_found() -> None:
    source = 'class Odd:\n    """Odd."""\n    a: int\n    """An a."""\n    b: int\n    c: int = 0\n'
    (owner,) = ast.parse(source).body
    assert isinstance(owner, ast.ClassDef)
    assert undocumented(owner) == ["b", "c"]


def test_the_package_exports_what_its_modules_export() -> None:
    names = [module.name for module in pkgutil.iter_modules(models.__path__, "asyncruns.models.")]
    exported = {name for module in names for name in importlib.import_module(module).__all__}
    assert sorted(models.__all__) == sorted(exported)
    assert all(hasattr(models, name) for name in exported)


# What the reference says decodes, by the typed decode alone


class Counted(ObjectDecoder[Any]):
    """A decoder that counts its typed decodes: two of them mean that the lenient one ran."""

    __slots__ = ("typed",)

    def __init__(self, kind: Any) -> None:
        super().__init__(kind)
        self.typed = 0
        strict = self.strict

        def counted(raw: bytes) -> Any:
            self.typed += 1
            return strict(raw)

        self.strict = counted


def full(shape: Any) -> Any:
    """A JSON value with everything that a type may hold."""
    match shape:
        case msgspec.inspect.StructType():
            value = {field.encode_name: full(field.type) for field in shape.fields}
            return value | ({"type": shape.tag} if shape.tag else {})
        case msgspec.inspect.UnionType():
            structs = [t for t in shape.types if isinstance(t, msgspec.inspect.StructType)]
            known = [t for t in structs if not issubclass(t.cls, Unknown)]
            return full(known[0] if known else shape.types[0])
        case msgspec.inspect.ListType(item_type=msgspec.inspect.UnionType(types=members)):
            return [full(t) for t in members if not issubclass(t.cls, Unknown)]  # type: ignore[attr-defined]
        case msgspec.inspect.ListType():
            return [full(shape.item_type)]
        case msgspec.inspect.LiteralType():
            return shape.values[0]
        case msgspec.inspect.DictType():
            return {"key": "value"}
        case msgspec.inspect.BoolType():
            return True
        case msgspec.inspect.StrType():
            return "text"
        case _:
            return 1


WHOLES = [Run, RunStep, Message, Thread, Assistant, ListRunsResponse, ListRunStepsResponse]
DELTAS = [RunStepDeltaEvent, MessageDeltaEvent]


@pytest.mark.parametrize("kind", [*WHOLES, *DELTAS, ErrorObject, ListMessagesResponse])
def test_an_object_with_every_field_decodes_in_one_go_and_encodes_to_the_same(kind: Any) -> None:
    sent = full(msgspec.inspect.type_info(kind))
    decode = Counted(kind)
    decoded = decode(encoded(sent))
    assert decode.typed == 1
    assert to_dict(decoded) == sent


@pytest.mark.parametrize(
    ("kind", "sent"),
    [
        (Run, run(truncation_strategy={"type": "auto"})),
        (RunStep, step()),
        (Message, message()),
        (Thread, thread()),
    ],
)
def test_a_recorded_shape_decodes_in_one_go(kind: Any, sent: dict[str, Any]) -> None:
    decode = Counted(kind)
    decoded = decode(encoded(sent))
    assert decode.typed == 1
    assert {name: to_dict(decoded)[name] for name in sent if hasattr(decoded, name)} == {
        name: value for name, value in sent.items() if hasattr(decoded, name)
    }


def test_the_lenient_decode_runs_only_after_the_typed_one_has_failed() -> None:
    decode = Counted(Run)
    decode(encoded(run(tools=[{"type": "retrieval"}])))
    assert decode.typed == 2


# Where recorded objects differ from the reference


def decoded_run(**fields: Any) -> Run:
    result: Run = ObjectDecoder[Run](Run)(encoded(run(**fields)))
    return result


def tools_of(*, tools: list[Any]) -> list[Any]:
    decoded = decoded_run(tools=tools).tools
    assert decoded is not None
    return decoded


def decoded_step(**fields: Any) -> RunStep:
    result: RunStep = ObjectDecoder[RunStep](RunStep)(encoded(step(**fields)))
    return result


def decoded_message(*content: Any, **fields: Any) -> Message:
    decode = ObjectDecoder[Message](Message)
    return decode(encoded(message("msg_1", "completed", *content, **fields)))


def test_a_step_has_expires_at_and_neither_expired_at_nor_metadata() -> None:
    sent = step()
    assert "expires_at" in sent
    decoded = decoded_step()
    assert decoded.expired_at is None
    assert decoded.metadata is None


def test_instructions_are_null() -> None:
    assert decoded_run(instructions=None).instructions is None


def test_a_functions_description_is_null() -> None:
    sent: Any = {"name": "f", "description": None, "parameters": {}, "strict": False}
    (tool,) = tools_of(tools=[{"type": "function", "function": sent}])
    assert isinstance(tool, FunctionTool)
    assert tool.function.description is None
    assert tool.function.name == "f"


def test_the_cursors_of_an_empty_page_are_null() -> None:
    sent: Any = {"object": "list", "data": [], "first_id": None, "last_id": None, "has_more": False}
    page = ObjectDecoder[ListRunsResponse](ListRunsResponse)(encoded(sent))
    assert (page.data, page.first_id, page.last_id, page.has_more) == ([], None, None, False)


def test_a_page_may_leave_out_has_more() -> None:
    page = ObjectDecoder[ListRunsResponse](ListRunsResponse)(b'{"data":[]}')
    assert page.has_more is None


@pytest.mark.parametrize("name", ["created_at", "started_at", "expires_at", "completed_at"])
def test_a_timestamp_is_a_float(name: str) -> None:
    assert getattr(decoded_run(**{name: 1800000000.25}), name) == 1800000000.25
    assert getattr(decoded_run(**{name: 1800000000}), name) == 1800000000
    assert type(getattr(decoded_run(**{name: 1800000000}), name)) is int


OLD_RUN = {
    "id": "run_old",
    "object": "thread.run",
    "created_at": 1699000000,
    "assistant_id": "asst_old",
    "thread_id": "thread_old",
    "status": "completed",
    "started_at": 1699000001,
    "expires_at": None,
    "cancelled_at": None,
    "failed_at": None,
    "completed_at": 1699000002,
    "last_error": None,
    "model": "gpt-4",
    "instructions": None,
    "tools": [{"type": "retrieval"}, {"type": "code_interpreter"}],
    "file_ids": ["file_old"],
    "metadata": {},
}


@pytest.mark.parametrize(
    "name",
    [
        "required_action",
        "usage",
        "incomplete_details",
        "max_completion_tokens",
        "max_prompt_tokens",
        "truncation_strategy",
        "tool_choice",
        "response_format",
        "parallel_tool_calls",
    ],
)
def test_an_old_run_lacks_a_field(name: str) -> None:
    assert name not in OLD_RUN
    assert getattr(ObjectDecoder[Run](Run)(encoded(OLD_RUN)), name) is None


def test_an_old_run_has_file_ids_and_a_retrieval_tool() -> None:
    old = ObjectDecoder[Run](Run)(encoded(OLD_RUN))
    assert old.tools is not None
    retrieval, interpreter = old.tools
    assert isinstance(retrieval, UnknownTool)
    assert retrieval.type == "retrieval"
    assert interpreter.type == "code_interpreter"
    assert to_dict(remember(old, encoded(OLD_RUN)))["file_ids"] == ["file_old"]


def test_a_function_call_comes_without_output() -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    details = decoded_step(calls=[call]).step_details
    assert isinstance(details, ToolCallsStepDetails)
    (function,) = details.tool_calls
    assert isinstance(function, FunctionToolCall)
    assert function.function.output is None


@pytest.mark.parametrize(
    ("kind", "sent", "path"),
    [
        (Run, run(tool_resources={"file_search": {}}), ["tool_resources"]),
        (Run, run(reasoning_effort="low"), ["reasoning_effort"]),
        (
            Run,
            run(usage={"prompt_token_details": {"cached_tokens": 1}}),
            ["usage", "prompt_token_details"],
        ),
        (
            RunStep,
            step(usage={"completion_tokens_details": {"reasoning_tokens": 2}}),
            ["usage", "completion_tokens_details"],
        ),
        (
            Run,
            run(
                tools=[
                    {
                        "type": "file_search",
                        "file_search": {"ranking_options": {"hybrid_search": {"weight": 1}}},
                    }
                ]
            ),
            ["tools", 0, "file_search", "ranking_options", "hybrid_search"],
        ),
        (
            RunStep,
            step(
                calls=[
                    {
                        "id": "call_1",
                        "type": "file_search",
                        "file_search": {"results": [{"attributes": {"a": 1}}]},
                    }
                ]
            ),
            ["step_details", "tool_calls", 0, "file_search", "results", 0, "attributes"],
        ),
    ],
)
def test_an_extra_field_is_ignored_and_not_lost(kind: Any, sent: Any, path: list[Any]) -> None:
    raw = encoded(sent)
    decode = Counted(kind)
    decoded = remember(decode(raw), raw)
    assert decode.typed == 1
    found, expected = to_dict(decoded), sent
    for name in path:
        found, expected = found[name], expected[name]
    assert found == expected


def test_a_ranker_is_none_of_the_two() -> None:
    options = {"ranker": "default-2024-08-21", "score_threshold": 0.5}
    call = {"id": "c", "type": "file_search", "file_search": {"ranking_options": options}}
    details = decoded_step(calls=[call]).step_details
    assert isinstance(details, ToolCallsStepDetails)
    (search,) = details.tool_calls
    assert isinstance(search, FileSearchToolCall)
    assert search.file_search.ranking_options is not None
    assert search.file_search.ranking_options.ranker == "default-2024-08-21"
    tool = {"type": "file_search", "file_search": {"ranking_options": options}}
    (file_search,) = tools_of(tools=[tool])
    assert isinstance(file_search, FileSearchTool)
    assert file_search.file_search is not None
    assert file_search.file_search.ranking_options is not None
    assert file_search.file_search.ranking_options.ranker == "default-2024-08-21"


def test_a_limit_of_tokens_is_lower_than_the_documentation_allows() -> None:
    assert decoded_run(max_completion_tokens=16).max_completion_tokens == 16


def test_a_last_errors_code_is_none_of_the_three() -> None:
    last_error = decoded_run(last_error={"code": "tool_user_error", "message": "no"}).last_error
    assert last_error is not None
    assert last_error.code == "tool_user_error"


def test_an_incomplete_reason_is_none_of_the_two() -> None:
    details = decoded_run(incomplete_details={"reason": "content_filter"}).incomplete_details
    assert details is not None
    assert details.reason == "content_filter"


def test_a_status_is_none_of_the_nine() -> None:
    assert decoded_run(status="generating").status == "generating"
    assert "generating" not in models.ENDED_RUN


def test_the_ends_are_those_that_are_never_left() -> None:
    assert {"completed", "incomplete", "failed", "cancelled", "expired"} == models.ENDED_RUN
    assert {"completed", "failed", "cancelled", "expired"} == models.ENDED_STEP
    assert {"completed", "incomplete"} == models.ENDED_MESSAGE


def test_azures_activities_are_unknown_step_details() -> None:
    activities = {"type": "activities", "activities": [{"type": "mcp_list_tools", "id": "a"}]}
    decoded = decoded_step(type="activities", step_details=activities)
    assert isinstance(decoded.step_details, UnknownStepDetails)
    assert decoded.type == decoded.step_details.type == "activities"
    assert decoded.step_details.value == activities


AZURE_TOOLS = ["mcp", "openapi", "bing_grounding", "azure_ai_search", "connected_agent"]


@pytest.mark.parametrize("kind", AZURE_TOOLS)
def test_azures_tools_are_unknown_tools(kind: str) -> None:
    (tool,) = tools_of(tools=[{"type": kind, kind: {"name": "x"}}])
    assert isinstance(tool, UnknownTool)
    assert tool.type == kind
    assert tool.value == {"type": kind, kind: {"name": "x"}}


@pytest.mark.parametrize("kind", AZURE_TOOLS)
def test_azures_calls_are_unknown_calls(kind: str) -> None:
    sent = {"id": "call_1", "type": kind, "function": {"name": "f", "arguments": "{}"}}
    details = decoded_step(calls=[sent]).step_details
    assert isinstance(details, ToolCallsStepDetails)
    (call,) = details.tool_calls
    assert isinstance(call, UnknownToolCall)
    assert (call.type, call.id, call.value) == (kind, "call_1", sent)


def test_azures_url_citation_is_an_unknown_annotation() -> None:
    sent = {"type": "url_citation", "text": "[1]", "url_citation": {"url": "https://x.example"}}
    part = {"type": "text", "text": {"value": "[1]", "annotations": [sent]}}
    (content,) = decoded_message(part).content
    assert isinstance(content, TextContentBlock)
    (annotation,) = content.text.annotations
    assert isinstance(annotation, UnknownAnnotation)
    assert annotation.value == sent


def test_azures_tool_approval_is_an_unknown_action() -> None:
    sent = {
        "type": "submit_tool_approval",
        "submit_tool_approval": {"tool_calls": [{"id": "call_1", "type": "mcp"}]},
    }
    action = decoded_run(required_action=sent).required_action
    assert isinstance(action, UnknownRequiredAction)
    assert action.value == sent


# Unknown members of unions

FOREIGN = b'{ "type":"foreign","id":"part_1", "index": 3,"x":[1,2.50,{"y":null}],\t"z":"\\u00e9"}'
"""A variant with spaces, numbers and escapes that only its own bytes keep."""

MARK = '"<here>"'


def holding(kind: Any, sent: Any) -> tuple[Any, bytes]:
    """The decoded object that has the foreign variant at its mark, and its JSON."""
    raw = encoded(sent).replace(MARK.encode(), FOREIGN)
    return ObjectDecoder[Any](kind)(raw), raw


def a_code_call(*outputs: Any) -> dict[str, Any]:
    inside = {"input": "", "outputs": list(outputs)}
    return {"type": "code_interpreter", "id": "call_1", "index": 0, "code_interpreter": inside}


def a_step_delta(details: Any) -> dict[str, Any]:
    return {"id": "step_1", "delta": {"step_details": details}}


def a_message_delta(*content: Any) -> dict[str, Any]:
    return {"id": "msg_1", "delta": {"content": list(content)}}


def a_text(*annotations: Any) -> dict[str, Any]:
    return {"type": "text", "index": 0, "text": {"value": "", "annotations": list(annotations)}}


HERE: Any = "<here>"
KNOWN_TOOL = {"type": "code_interpreter"}
KNOWN_CALL = whole_function("call_0", "f", "{}", None)
CALLS = {"type": "tool_calls", "tool_calls": [HERE]}

PLACES: dict[str, tuple[Any, type[Unknown], Any, str]] = {
    "tool": (Run, UnknownTool, run(tools=[KNOWN_TOOL, HERE]), "tools.1"),
    "tool of an assistant": (Assistant, UnknownTool, {"id": "a", "tools": [HERE]}, "tools.0"),
    "tool of an attachment": (
        Message,
        UnknownTool,
        message(attachments=[{"file_id": "f", "tools": [HERE]}]),
        "attachments.0.tools.0",
    ),
    "response format": (
        Run,
        UnknownResponseFormat,
        run(response_format=HERE),
        "response_format",
    ),
    "required action": (
        Run,
        UnknownRequiredAction,
        run(required_action=HERE),
        "required_action",
    ),
    "step details": (RunStep, UnknownStepDetails, step(step_details=HERE), "step_details"),
    "tool call": (
        RunStep,
        UnknownToolCall,
        step(calls=[KNOWN_CALL, HERE]),
        "step_details.tool_calls.1",
    ),
    "code output": (
        RunStep,
        UnknownCodeOutput,
        step(calls=[a_code_call({"type": "logs", "logs": "1"}, HERE)]),
        "step_details.tool_calls.0.code_interpreter.outputs.1",
    ),
    "step details delta": (
        RunStepDeltaEvent,
        UnknownStepDetailsDelta,
        a_step_delta(HERE),
        "delta.step_details",
    ),
    "tool call delta": (
        RunStepDeltaEvent,
        UnknownToolCallDelta,
        a_step_delta(CALLS),
        "delta.step_details.tool_calls.0",
    ),
    "code output delta": (
        RunStepDeltaEvent,
        UnknownCodeOutputDelta,
        a_step_delta({"type": "tool_calls", "tool_calls": [a_code_call(HERE)]}),
        "delta.step_details.tool_calls.0.code_interpreter.outputs.0",
    ),
    "content": (
        Message,
        UnknownContentBlock,
        message("m", "completed", a_text(), HERE),
        "content.1",
    ),
    "annotation": (
        Message,
        UnknownAnnotation,
        message("m", "completed", a_text(HERE)),
        "content.0.text.annotations.0",
    ),
    "content delta": (
        MessageDeltaEvent,
        UnknownContentDelta,
        a_message_delta(a_text(), HERE),
        "delta.content.1",
    ),
    "annotation delta": (
        MessageDeltaEvent,
        UnknownAnnotationDelta,
        a_message_delta(a_text(HERE)),
        "delta.content.0.text.annotations.0",
    ),
}


def at(value: Any, path: str) -> Any:
    for name in path.split("."):
        value = value[int(name)] if name.isdigit() else getattr(value, name)
    return value


@pytest.mark.parametrize("place", PLACES)
def test_an_unknown_member_keeps_its_type_its_id_and_its_exact_json(place: str) -> None:
    kind, unknown, sent, path = PLACES[place]
    decoded, _ = holding(kind, sent)
    variant = at(decoded, path)
    assert type(variant) is unknown
    assert variant.type == "foreign"
    assert variant.id == "part_1"
    assert variant.index == 3
    assert variant.raw == FOREIGN
    assert variant.value == json.loads(FOREIGN)


@pytest.mark.parametrize("place", PLACES)
def test_an_unknown_member_encodes_to_what_was_sent(place: str) -> None:
    kind, _, sent, path = PLACES[place]
    decoded, raw = holding(kind, sent)
    again = to_dict(decoded)
    original = json.loads(raw)
    for name in path.split("."):
        again = again[int(name) if name.isdigit() else name]
        original = original[int(name) if name.isdigit() else name]
    assert again == original == json.loads(FOREIGN)
    assert FOREIGN in to_json(decoded)
    assert to_json(at(decoded, path)) == FOREIGN
    assert b"asyncruns.unknown" not in to_json(decoded)


@pytest.mark.parametrize("place", PLACES)
def test_an_unknown_member_encodes_within_lists_and_dicts(place: str) -> None:
    kind, _, sent, path = PLACES[place]
    decoded, _ = holding(kind, sent)
    variant = at(decoded, path)
    assert to_json([variant, (variant,)]) == b"[" + FOREIGN + b",[" + FOREIGN + b"]]"
    assert to_dict({"key": {"deep": [decoded]}}) == {"key": {"deep": [to_dict(decoded)]}}


def test_every_union_with_an_unknown_member_has_a_place_in_the_tests() -> None:
    tested = {unknown.__name__ for _, unknown, _, _ in PLACES.values()}
    assert tested == {name for name in all_structs() if name.startswith("Unknown")} - {"Unknown"}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    ("sent_type", "expected"),
    [
        (b'"type":"foreign",', "foreign"),
        (b"", ""),
        (b'"type":null,', ""),
        (b'"type":7,', ""),
        (b'"type":[],', ""),
        (b'"type":{},', ""),
        (b'"type":"asyncruns.unknown",', "asyncruns.unknown"),
        (b'"type":"\\ud800",', "\ufffd"),
    ],
)
def test_a_type_may_be_anything(place: str, sent_type: bytes, expected: str) -> None:
    kind, unknown, sent, path = PLACES[place]
    variant = b"{" + sent_type + b'"id":7,"index":"no"}'
    decoded = ObjectDecoder[Any](kind)(encoded(sent).replace(MARK.encode(), variant))
    found = at(decoded, path)
    assert type(found) is unknown
    assert found.type == expected
    assert found.id is None
    assert found.index is None
    assert found.raw == variant.replace(b"\\ud800", b"\\ufffd")


def test_a_known_member_beside_an_unknown_one_keeps_its_type() -> None:
    decoded, _ = holding(RunStep, step(calls=[KNOWN_CALL, HERE]))
    known, _ = decoded.step_details.tool_calls
    assert to_dict(known) == KNOWN_CALL


def test_an_unknown_member_within_a_page_is_found() -> None:
    page, _ = holding(ListRunStepsResponse, {"data": [step(), step(step_details=HERE)]})
    assert isinstance(page.data[0].step_details, ToolCallsStepDetails)
    assert isinstance(page.data[1].step_details, UnknownStepDetails)


def test_a_string_that_names_the_reserved_tag_is_only_a_string() -> None:
    decoded = decoded_run(instructions="asyncruns.unknown")
    assert to_dict(decoded)["instructions"] == "asyncruns.unknown"


def test_response_formats_and_choices_may_be_words_or_objects() -> None:
    assert decoded_run(response_format="auto").response_format == "auto"
    assert decoded_run(response_format={"type": "text"}).response_format is not None
    schema = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}}
    response_format = decoded_run(response_format=schema).response_format
    assert isinstance(response_format, ResponseFormatJSONSchema)
    assert response_format.json_schema.schema == {"type": "object"}
    assert decoded_run(tool_choice="none").tool_choice == "none"
    choice = decoded_run(tool_choice={"type": "function", "function": {"name": "f"}}).tool_choice
    assert isinstance(choice, AssistantToolChoice)
    assert choice.function is not None
    assert choice.function.name == "f"
    assert decoded_run(tool_choice={"type": "mcp"}).tool_choice == AssistantToolChoice(type="mcp")


# What came beside an answer


def test_raw_and_request_id_stand_outside_equality_repr_and_encoding() -> None:
    plain = Run(id="run_1", status="queued")
    answer = remember(Run(id="run_1", status="queued"), b'{"id":"run_1","x":1}', "req_1")
    assert answer.raw == b'{"id":"run_1","x":1}'
    assert answer.request_id == "req_1"
    assert (plain.raw, plain.request_id) == (None, None)
    assert answer == plain
    assert repr(answer) == repr(plain)
    assert msgspec.json.encode(answer) == msgspec.json.encode(plain)


@pytest.mark.parametrize("copied", COPIES)
def test_copies_and_pickles_keep_what_came_beside(copied: Callable[[Any], Any]) -> None:
    page = ListRunsResponse(data=[remember(Run(id="run_1", status="queued"), b"{}", "req_1")])
    twin = copied(remember(page, b"[]", "req_1"))
    assert twin == page
    assert (twin.raw, twin.request_id) == (b"[]", "req_1")
    assert (twin.data[0].raw, twin.data[0].request_id) == (b"{}", "req_1")
    assert copied(Thread(id="thread_1")).raw is None


def test_an_answer_encodes_to_what_the_server_sent_within_lists_and_dicts_too() -> None:
    answer = remember(Run(id="run_1", status="queued"), b'{"id":"run_1", "x":1}')
    assert to_json(answer) == b'{"id":"run_1", "x":1}'
    assert to_json([answer]) == b'[{"id":"run_1", "x":1}]'
    assert to_json({"run": (answer, 1)}) == b'{"run":[{"id":"run_1", "x":1},1]}'
    assert to_dict([answer]) == [{"id": "run_1", "x": 1}]


def test_an_object_of_our_own_encodes_to_its_known_fields() -> None:
    assert to_dict(Thread(id="thread_1")) == {
        "id": "thread_1",
        "object": "thread",
        "created_at": None,
        "tool_resources": None,
        "metadata": None,
    }


def test_a_model_that_callers_send_leaves_out_what_was_not_set() -> None:
    tool = FunctionTool(function=models.FunctionDefinition(name="f", strict=True))
    assert to_dict(tool) == {"type": "function", "function": {"name": "f", "strict": True}}
    assert to_dict(TruncationStrategy(type="auto")) == {"type": "auto"}


def test_a_model_that_callers_send_has_what_must_stand_in_a_body() -> None:
    assert to_dict(models.FileSearchResources()) == {"vector_store_ids": []}
    assert to_dict(models.FileSearchRankingOptions()) == {"score_threshold": 0.0}


def test_a_thing_that_json_cannot_hold_is_a_type_error() -> None:
    with pytest.raises(TypeError):
        to_json([object()])


def test_the_json_of_an_answer_with_lone_surrogates_can_be_read() -> None:
    raw = b'{"id":"run_1","status":"queued","instructions":"\\udc00","extra":"\xff"}'
    answer = remember(ObjectDecoder[Run](Run)(raw), raw)
    assert to_json(answer) == raw
    assert to_dict(answer)["instructions"] == to_dict(answer)["extra"] == "\ufffd"


def test_half_an_escape_and_half_a_character_together_are_no_json() -> None:
    details = b'{"type": "odd", "x": "\\ud8\xd00"}'
    raw = b'{"id": "step_1", "status": "completed", "step_details": ' + details + b"}"
    with pytest.raises(ValueError, match="invalid character in unicode escape"):
        ObjectDecoder[RunStep](RunStep)(raw)


# Nulls


@pytest.mark.parametrize(
    ("kind", "sent", "path", "default"),
    [
        (Run, run(thread_id=None), "thread_id", ""),
        (Run, run(assistant_id=None), "assistant_id", ""),
        (Run, run(object=None), "object", "thread.run"),
        (RunStep, step(type=None), "type", ""),
        (RunStep, step(calls=None, step_details={"type": "tool_calls", "tool_calls": None}),
         "step_details.tool_calls", []),
        (RunStep, step(calls=[a_code_call()], run_id=None), "run_id", ""),
        (Message, message(role=None), "role", "assistant"),
        (Message, {**message(), "status": None}, "status", "completed"),
        (Message, message(content=None), "content", []),
        (Message, message("m", "completed", {"type": "text", "text": {"value": "", "annotations": None}}),
         "content.0.text.annotations", []),
        (Message, message("m", "completed", {"type": "text", "text": None}), "content.0.text.value", ""),
        (ListRunsResponse, {"data": None}, "data", []),
    ],
)  # fmt: skip
def test_a_null_where_the_type_has_none_becomes_the_default(
    kind: Any, sent: Any, path: str, default: Any
) -> None:
    assert at(ObjectDecoder[Any](kind)(encoded(sent)), path) == default


@pytest.mark.parametrize(
    "sent", [run(id=None), {**run(), "status": None}, run(tools=[None]), run(tools={})]
)
def test_a_null_where_something_must_stand_is_an_error(sent: Any) -> None:
    with pytest.raises(ValueError, match="Expected"):
        ObjectDecoder[Run](Run)(encoded(sent))


def test_a_list_where_no_list_can_stand_is_an_error() -> None:
    with pytest.raises(ValueError, match="Expected"):
        decoded_run(status=[1])
    with pytest.raises(ValueError, match="Expected"):
        decoded_run(required_action=[1])


def test_an_object_where_no_object_can_stand_is_an_error() -> None:
    with pytest.raises(ValueError, match="Expected"):
        decoded_run(model={"name": "m"})


# Foreign bytes


@pytest.mark.parametrize(
    ("text", "decoded"),
    [
        (b'"a\xffb"', "a\ufffdb"),
        (b'"\xc3"', "\ufffd"),
        (b'"\xed\xa0\x80"', "\ufffd\ufffd\ufffd"),
        (rb'"\ud800"', "\ufffd"),
        (rb'"\uDC00x"', "\ufffdx"),
        (rb'"a\ud83db"', "a\ufffdb"),
        (rb'"\ud83d\ude00"', "\U0001f600"),
        (rb'"\ud83d\ud83d\ude00"', "\ufffd\U0001f600"),
        (rb'"\ud83d\u0041"', "\ufffdA"),
        (rb'"\ude00\ud83d"', "\ufffd\ufffd"),
        (rb'"\\ud800"', "\\ud800"),
        (rb'"\\\ud800"', "\\\ufffd"),
        (rb'"\\\\ud800\n"', "\\\\ud800\n"),
        (rb'"\ud800\\ud83d\ude00"', "\ufffd\\ud83d\ufffd"),
        ('"\ufeff\u2028\x7f"'.encode(), "\ufeff\u2028\x7f"),
    ],
)
def test_text_that_is_none_is_replaced_and_all_else_is_kept(text: bytes, decoded: str) -> None:
    raw = b'{"id":"run_1","status":"queued","instructions":' + text + b"}"
    assert ObjectDecoder[Run](Run)(raw).instructions == decoded
    assert decode_json(text) == decoded


DEEP = 200_000


@pytest.mark.parametrize(
    "value",
    [
        b"[" * DEEP + b"]" * DEEP,
        b'{"a":' * DEEP + b"1" + b"}" * DEEP,
        b"NaN",
        b"Infinity",
        b"1e999",
        b"-1e999",
        b"1" * 5000,
        b"1" * 400 + b".0",
        b'"cut',
        b"{",
        b"'x'",
        b"\xff",
        b"",
    ],
)
@pytest.mark.parametrize("field", ["temperature", "max_prompt_tokens", "created_at", "tools"])
def test_a_value_that_cannot_be_read_is_a_value_error(field: str, value: bytes) -> None:
    raw = b'{"id":"run_1","status":"queued","' + field.encode() + b'":' + value + b"}"
    with pytest.raises(ValueError, match=r".") as caught:
        ObjectDecoder[Run](Run)(raw)
    assert type(caught.value) is ValueError
    assert caught.value.__cause__ is not None


@pytest.mark.parametrize(
    "raw", [b"", b" ", b"[", b"{", b"[" * DEEP, b"NaN", b"1e999", b"1" * 5000, b"tru", b"\xff"]
)
def test_json_that_is_none_is_a_value_error(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        decode_json(raw)
    with pytest.raises(ValueError, match=r"."):
        ObjectDecoder[Run](Run)(raw)


@pytest.mark.parametrize("raw", [b"1", b'"text"', b"[]", b"null", b"true", b"{}"])
def test_json_of_another_kind_is_a_value_error(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r"Object missing|Expected"):
        ObjectDecoder[Run](Run)(raw)


def test_deep_nesting_in_a_field_that_nobody_reads_is_a_value_error() -> None:
    raw = encoded(run()).replace(b'"metadata":{}', b'"other":' + b"[" * DEEP + b"]" * DEEP)
    with pytest.raises(ValueError, match="recursion"):
        ObjectDecoder[Run](Run)(raw)


def test_a_huge_whole_number_is_kept() -> None:
    assert decoded_run(created_at=10**300).created_at == 10**300


def test_a_code_call_with_text_that_is_none_keeps_its_outputs() -> None:
    sent = encoded(step(calls=[a_code_call({"type": "logs", "logs": "<bytes>"})]))
    decoded = ObjectDecoder[RunStep](RunStep)(sent.replace(b"<bytes>", b"\xf0\x9f"))
    assert isinstance(decoded.step_details, ToolCallsStepDetails)
    (call,) = decoded.step_details.tool_calls
    assert isinstance(call, CodeInterpreterToolCall)
    assert to_dict(call.code_interpreter.outputs) == [{"type": "logs", "logs": "\ufffd"}]
