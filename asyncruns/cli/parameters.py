"""The endpoints' flags, each written once: those of the reference, by its names.

Lists have a flag in the singular that is given once for each item, as the reference has it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from asyncruns.cli.flags import Flag
from asyncruns.cli.values import (
    BOOLEAN,
    CONTENT,
    ID,
    INTEGER,
    NUMBER,
    OBJECT,
    OBJECTS,
    PAIRS,
    SECONDS,
    TEXT,
    TEXTS,
    choice,
    word_or_object,
)

__all__ = [
    "ASSISTANT_CREATE",
    "ASSISTANT_ID",
    "ASSISTANT_UPDATE",
    "LISTING",
    "MESSAGE_CREATE",
    "MESSAGE_ID",
    "MESSAGE_LISTING",
    "METADATA",
    "RUN_CREATE",
    "RUN_ID",
    "STEP_ID",
    "STEP_INCLUDE",
    "THREAD_AND_RUN",
    "THREAD_CREATE",
    "THREAD_ID",
    "THREAD_UPDATE",
    "TOOL_OUTPUT",
]

THREAD_ID: Final = Flag("thread-id", ID, "The thread.", required=True)
RUN_ID: Final = Flag("run-id", ID, "The run.", required=True)
STEP_ID: Final = Flag("step-id", ID, "The step of the run.", required=True)
MESSAGE_ID: Final = Flag("message-id", ID, "The message of the thread.", required=True)
ASSISTANT_ID: Final = Flag("assistant-id", ID, "The assistant.", required=True)

METADATA: Final = Flag(
    "metadata",
    PAIRS,
    "Up to 16 pairs of your own: keys of up to 64 characters, values of up to 512.",
    open=True,
)

_CONTENT_OF_SEARCHES: Final = "step_details.tool_calls[*].file_search.results[*].content"

STEP_INCLUDE: Final = Flag(
    "include",
    TEXTS,
    "What to send beside the usual; the reference knows one value, the text that file searches "
    f"have found: '{_CONTENT_OF_SEARCHES}'.",
)

LISTING: Final = (
    Flag("after", ID, "Begin after the object with this id."),
    Flag("before", ID, "Give what stands before the object with this id."),
    Flag("limit", INTEGER, "How many objects of a page at most, 1 to 100; 20 unless given."),
    Flag(
        "order",
        choice("asc", "desc"),
        "By the time of creation: 'asc' is oldest first; 'desc' unless given.",
    ),
)

MESSAGE_LISTING: Final = (*LISTING, Flag("run-id", ID, "Only what this run has written."))

_CONTENT: Final = Flag(
    "content",
    CONTENT,
    "Its text; or its parts, as JSON that begins with '[{'. '@@' stands for a leading '@'.",
)

_ROLE: Final = Flag("role", choice("user", "assistant"), "Who speaks: 'user' or 'assistant'.")

_TOOL_KIND: Final = Flag("type", TEXT, "'function', 'code_interpreter' or 'file_search'.")

_ATTACHMENT: Final = Flag(
    "attachment",
    OBJECTS,
    "A file that comes with it, and the tools that may use it.",
    "attachments",
    inner=(
        Flag("file-id", ID, "The file."),
        Flag("tools", OBJECTS, "A tool that may use it."),
    ),
)

_MESSAGE: Final = (_CONTENT, _ROLE, _ATTACHMENT, METADATA)


def _messages(name: str, what: str, parameter: str) -> Flag:
    return Flag(name, OBJECTS, what, parameter, inner=_MESSAGE)


_FUNCTION_NAME: Final = Flag("name", TEXT, "The function's name.")

_TOOL_FIELDS: Final = (
    _TOOL_KIND,
    Flag(
        "function",
        OBJECT,
        "The function that may be called.",
        inner=(
            _FUNCTION_NAME,
            Flag("description", TEXT, "What it does, for the model."),
            Flag("parameters", OBJECT, "Its parameters, as a JSON Schema."),
            Flag(
                "strict",
                BOOLEAN,
                "Whether arguments follow them exactly; false unless given.",
            ),
        ),
    ),
    Flag(
        "file-search",
        OBJECT,
        "Settings of the search.",
        inner=(
            Flag(
                "max-num-results",
                INTEGER,
                "How many results at most, 1 to 50.",
            ),
            Flag(
                "ranking-options",
                OBJECT,
                "How results are ranked.",
                inner=(
                    Flag("score-threshold", NUMBER, "The least score of a result, 0 to 1."),
                    Flag("ranker", TEXT, "'auto', the default, or 'default_2024_08_21'."),
                ),
            ),
        ),
    ),
)


def _tool(what: str) -> Flag:
    return Flag("tool", OBJECTS, what, "tools", inner=_TOOL_FIELDS)


TOOL_OUTPUT: Final = Flag(
    "tool-output",
    OBJECTS,
    "What one of the tool calls has given. All calls that the run waits for are answered at once.",
    "tool_outputs",
    required=True,
    inner=(
        Flag("tool-call-id", TEXT, "The call's id, as in the run's required_action."),
        Flag("output", TEXT, "The output, a text."),
    ),
)

_TOOL_RESOURCES: Final = (
    Flag(
        "code-interpreter",
        OBJECT,
        "What code may read.",
        inner=(Flag("file-ids", TEXTS, "A file."),),
    ),
    Flag(
        "file-search",
        OBJECT,
        "What may be searched.",
        inner=(
            Flag("vector-store-ids", TEXTS, "A vector store."),
            Flag("vector-stores", OBJECTS, "A vector store to make."),
        ),
    ),
)


def _resources(what: str) -> Flag:
    return Flag("tool-resources", OBJECT, what, inner=_TOOL_RESOURCES)


_RESPONSE_FORMAT: Final = Flag(
    "response-format",
    word_or_object("auto"),
    "The format of the answer: 'auto', the default, or an object of the type 'text', "
    "'json_object' or 'json_schema'.",
    inner=(
        Flag("type", TEXT, "'text', 'json_object' or 'json_schema'."),
        Flag(
            "json-schema",
            OBJECT,
            "The schema to follow.",
            inner=(
                Flag("name", TEXT, "The schema's name."),
                Flag("description", TEXT, "What the format is for."),
                Flag("schema", OBJECT, "The JSON Schema itself."),
                Flag("strict", BOOLEAN, "Whether it is followed exactly; false unless given."),
            ),
        ),
    ),
)

_REASONING_EFFORT: Final = Flag(
    "reasoning-effort",
    TEXT,
    "How much a reasoning model thinks before it answers: 'none', 'minimal', 'low', 'medium', "
    "'high' or 'xhigh'; the default is the model's own.",
)

_SAMPLING: Final = (
    Flag(
        "temperature",
        NUMBER,
        "The sampling temperature, 0 to 2; 1 unless given.",
    ),
    Flag("top-p", NUMBER, "The probability mass of tokens to sample from, 0 to 1; 1 unless given."),
)

_RUN_SETTINGS: Final = (
    Flag("assistant-id", ID, "The assistant that is executed.", required=True),
    Flag("instructions", TEXT, "What to do, in place of the assistant's own."),
    Flag(
        "max-completion-tokens",
        INTEGER,
        "The most tokens that the run may write, 256 or more; beyond them it ends incomplete.",
    ),
    Flag(
        "max-prompt-tokens",
        INTEGER,
        "The most tokens that the run may read, 256 or more; beyond them it ends incomplete.",
    ),
    METADATA,
    Flag("model", TEXT, "The model, in place of the assistant's own."),
    Flag(
        "parallel-tool-calls",
        BOOLEAN,
        "Whether the model may ask for several calls at once; true unless given.",
    ),
    _RESPONSE_FORMAT,
    *_SAMPLING,
    Flag(
        "tool-choice",
        word_or_object("none", "auto", "required"),
        "Which tool the model uses: 'none' of them, 'auto' for its own choice, the default, "
        "'required' for at least one, or an object that names one.",
        inner=(
            _TOOL_KIND,
            Flag("function", OBJECT, "The function to call.", inner=(_FUNCTION_NAME,)),
        ),
    ),
    _tool("A tool, in place of the assistant's own."),
    Flag(
        "truncation-strategy",
        OBJECT,
        "How the thread is cut to fit: of the type 'auto', the default, or 'last_messages'.",
        inner=(
            Flag("type", TEXT, "'auto' or 'last_messages'."),
            Flag("last-messages", INTEGER, "How many of the newest messages are read."),
        ),
    ),
)

_WHILE_ACTIVE: Final = (
    Flag(
        "on-active-run",
        choice("raise", "wait", "cancel"),
        "While another run holds the thread: fail ('raise', the default), 'wait', or 'cancel' it.",
    ),
    Flag("active-run-deadline", SECONDS, "Seconds to wait for that run at most; 600 unless given."),
)

RUN_CREATE: Final = (
    THREAD_ID,
    *_RUN_SETTINGS,
    STEP_INCLUDE,
    Flag("additional-instructions", TEXT, "Added to the end of the instructions."),
    _messages(
        "additional-message",
        "A message that is added to the thread before the run.",
        "additional_messages",
    ),
    _REASONING_EFFORT,
    *_WHILE_ACTIVE,
    Flag("dedupe-key", TEXT, "A name of yours for this run: sent twice, it is created once."),
)

MESSAGE_CREATE: Final = (
    THREAD_ID,
    replace(_CONTENT, required=True),
    replace(_ROLE, required=True),
    _ATTACHMENT,
    METADATA,
    *_WHILE_ACTIVE,
)

THREAD_UPDATE: Final = (METADATA, _resources("The files that tools may use in the thread."))

THREAD_CREATE: Final = (
    *THREAD_UPDATE,
    _messages("message", "A message that the thread begins with.", "messages"),
)

THREAD_AND_RUN: Final = (
    *_RUN_SETTINGS,
    Flag("thread", OBJECT, "The thread to create; an empty one unless given.", inner=THREAD_CREATE),
    _resources("The files that the run's tools may use, in place of the assistant's own."),
)

_ASSISTANT_SETTINGS: Final = (
    Flag("description", TEXT, "What it is for, in up to 512 characters."),
    Flag("instructions", TEXT, "What it is told to do, in up to 256,000 characters."),
    METADATA,
    Flag("name", TEXT, "Its name, of up to 256 characters."),
    _REASONING_EFFORT,
    _RESPONSE_FORMAT,
    *_SAMPLING,
    _resources("The files that its tools may use."),
    _tool("One of its tools, of which there may be 128."),
)

ASSISTANT_CREATE: Final = (
    Flag("model", TEXT, "The model that it uses.", required=True),
    *_ASSISTANT_SETTINGS,
)

ASSISTANT_UPDATE: Final = (
    ASSISTANT_ID,
    Flag("model", TEXT, "The model that it uses."),
    *_ASSISTANT_SETTINGS,
)
