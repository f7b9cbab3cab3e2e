"""Raw JSON objects and stream bodies in the shapes that servers send, made by hand."""

from __future__ import annotations

import copy
import json
import pickle
from typing import TYPE_CHECKING, Any

from asyncruns.accumulator import Accumulator
from asyncruns.events import Event, EventDecoder

if TYPE_CHECKING:
    from collections.abc import Callable

ASSISTANT = "asst_garden"
THREAD = "thread_rain"
RUN = "run_one"
PARENTS = {"run_id": RUN, "assistant_id": ASSISTANT, "thread_id": THREAD}

JSONObject = dict[str, Any]

COPIES: list[Callable[[Any], Any]] = [
    copy.copy,
    copy.deepcopy,
    lambda original: pickle.loads(pickle.dumps(original)),  # noqa: S301 -- our own bytes
]
"""The ways to get an object's twin."""


def encoded(value: Any) -> bytes:
    """JSON as the servers write it: compact, and not escaped."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def frame(name: str, data: Any) -> bytes:
    """The ordinary frame: an event line and a data line."""
    return b"event: " + name.encode() + b"\ndata: " + encoded(data) + b"\n\n"


DONE = b"event: done\ndata: [DONE]\n\n"


def decode(*chunks: bytes) -> list[Event]:
    """Every event of a stream that was read in these chunks."""
    decoder = EventDecoder()
    events = [event for chunk in chunks for event in decoder.feed(chunk)]
    return events + list(decoder.close())


def fold(*chunks: bytes) -> Accumulator:
    """What the events of a stream make."""
    accumulator = Accumulator()
    for event in decode(*chunks):
        accumulator.apply(event)
    return accumulator


def thread(**fields: Any) -> JSONObject:
    return {
        "id": THREAD,
        "object": "thread",
        "created_at": 1800000000,
        "metadata": {},
        "tool_resources": {"code_interpreter": {"file_ids": []}},
        **fields,
    }


def run(status: str = "queued", **fields: Any) -> JSONObject:
    return {
        "id": RUN,
        "object": "thread.run",
        "created_at": 1800000000,
        "assistant_id": ASSISTANT,
        "thread_id": THREAD,
        "status": status,
        "started_at": None,
        "expires_at": 1800000600,
        "cancelled_at": None,
        "failed_at": None,
        "completed_at": None,
        "required_action": None,
        "last_error": None,
        "model": "gpt-4o-mini",
        "instructions": "Talk about the weather.",
        "tools": [{"type": "code_interpreter"}],
        "tool_resources": {"code_interpreter": {"file_ids": []}},
        "metadata": {},
        "temperature": 1.0,
        "top_p": 1.0,
        "reasoning_effort": None,
        "max_completion_tokens": None,
        "max_prompt_tokens": None,
        "truncation_strategy": {"type": "auto", "last_messages": None},
        "incomplete_details": None,
        "usage": None,
        "response_format": "auto",
        "tool_choice": "auto",
        "parallel_tool_calls": True,
        **fields,
    }


def step(
    step_id: str = "step_1",
    status: str = "in_progress",
    *,
    calls: list[JSONObject] | None = None,
    message_id: str | None = None,
    **fields: Any,
) -> JSONObject:
    kind = "tool_calls" if message_id is None else "message_creation"
    payload = (calls or []) if message_id is None else {"message_id": message_id}
    return {
        "id": step_id,
        "object": "thread.run.step",
        "created_at": 1800000001,
        **PARENTS,
        "type": kind,
        "status": status,
        "cancelled_at": None,
        "completed_at": 1800000009 if status == "completed" else None,
        "expires_at": 1800000600,
        "failed_at": None,
        "last_error": None,
        "step_details": {"type": kind, kind: payload},
        "usage": USAGE if status == "completed" else None,
        **fields,
    }


USAGE = {"prompt_tokens": 21, "completion_tokens": 13, "total_tokens": 34}


def message(
    message_id: str = "msg_1",
    status: str = "in_progress",
    *content: JSONObject,
    **fields: Any,
) -> JSONObject:
    return {
        "id": message_id,
        "object": "thread.message",
        "created_at": 1800000002,
        **PARENTS,
        "status": status,
        "incomplete_details": None,
        "incomplete_at": None,
        "completed_at": 1800000008 if status == "completed" else None,
        "role": "assistant",
        "content": list(content),
        "attachments": [],
        "metadata": {},
        **fields,
    }


def step_delta(*calls: JSONObject, step_id: str = "step_1") -> bytes:
    details = {"type": "tool_calls", "tool_calls": list(calls)}
    return details_delta(details, step_id=step_id)


def details_delta(details: JSONObject | None, step_id: str = "step_1") -> bytes:
    change = {
        "id": step_id,
        "object": "thread.run.step.delta",
        "delta": {"step_details": details},
    }
    return frame("thread.run.step.delta", change)


def message_delta(*parts: JSONObject, message_id: str = "msg_1", **fields: Any) -> bytes:
    change = {
        "id": message_id,
        "object": "thread.message.delta",
        "delta": {"content": list(parts), **fields},
    }
    return frame("thread.message.delta", change)


def placed(index: int | None, kind: str, **fields: Any) -> JSONObject:
    """A piece with its index (None: without), its type and its payload."""
    return ({} if index is None else {"index": index}) | {"type": kind, **fields}


def function(index: int | None = 0, arguments: str | None = None, **fields: Any) -> JSONObject:
    """A piece of a function call; `id` goes beside the function, all else into it."""
    beside = {"id": fields.pop("id")} if "id" in fields else {}
    inside = fields if arguments is None else {"arguments": arguments, **fields}
    return placed(index, "function", **beside, function=inside)


def code(
    index: int | None = 0, text: str | None = None, *outputs: JSONObject, **beside: Any
) -> JSONObject:
    """A piece of a code interpreter call."""
    inside: JSONObject = {} if text is None else {"input": text}
    if outputs:
        inside["outputs"] = list(outputs)
    return placed(index, "code_interpreter", **beside, code_interpreter=inside)


def text(index: int | None = 0, value: str | None = None, *annotations: JSONObject) -> JSONObject:
    """A piece of a text."""
    inside: JSONObject = {} if value is None else {"value": value}
    if annotations:
        inside["annotations"] = list(annotations)
    return placed(index, "text", text=inside)


def citation(index: int | None = 0, file_id: str = "file_moss", **fields: Any) -> JSONObject:
    """An annotation, as a delta has it."""
    return placed(
        index,
        "file_citation",
        text="[0:0†moss.txt]",
        start_index=5,
        end_index=19,
        file_citation={"file_id": file_id, "quote": ""},
    ) | dict(fields)


def whole_text(value: str, *annotations: JSONObject) -> JSONObject:
    """A text, as a finished message has it."""
    return {"type": "text", "text": {"value": value, "annotations": list(annotations)}}


def whole_function(call_id: str, name: str, arguments: str, output: str | None) -> JSONObject:
    """A function call, as a finished step has it."""
    inside = {"name": name, "arguments": arguments, "output": output}
    return {"id": call_id, "type": "function", "function": inside}


TEXT_PIECES = ("It", " will", " rain", " im", " M\u00e4rz", "", " \U0001f327")
TEXT = "".join(TEXT_PIECES)

TEXT_RUN = [
    frame("thread.run.created", run()),
    frame("thread.run.queued", run()),
    frame("thread.run.in_progress", run("in_progress", started_at=1800000001)),
    frame("thread.run.step.created", step("step_text", message_id="msg_1")),
    frame("thread.run.step.in_progress", step("step_text", message_id="msg_1")),
    frame("thread.message.created", message()),
    frame("thread.message.in_progress", message()),
    message_delta(text(0, TEXT_PIECES[0]) | {"text": {"value": TEXT_PIECES[0], "annotations": []}}),
    *[message_delta(text(0, piece)) for piece in TEXT_PIECES[1:]],
    frame("thread.message.completed", message("msg_1", "completed", whole_text(TEXT))),
    frame("thread.run.step.completed", step("step_text", "completed", message_id="msg_1")),
    frame("thread.run.completed", run("completed", completed_at=1800000009, usage=USAGE)),
    DONE,
]
"""A run that answers with a text."""

ARGUMENTS = '{"city":"Lund"}'
ACTION = {
    "type": "submit_tool_outputs",
    "submit_tool_outputs": {
        "tool_calls": [
            {
                "id": "call_1",
                "type": "function",
                "function": {"name": "weather", "arguments": ARGUMENTS},
            }
        ]
    },
}

CALLING_RUN = [
    frame("thread.created", thread()),
    frame("thread.run.created", run()),
    frame("thread.run.queued", run()),
    frame("thread.run.in_progress", run("in_progress")),
    frame("thread.run.step.created", step()),
    frame("thread.run.step.in_progress", step()),
    step_delta(function(0, "", id="call_1", name="weather", output=None)),
    *[step_delta(function(0, piece)) for piece in ('{"', "city", '":"', "Lu", 'nd"}')],
    frame("thread.run.requires_action", run("requires_action", required_action=ACTION)),
    DONE,
]
"""A run that stops for the output of a function."""

ANSWERED_RUN = [
    frame(
        "thread.run.step.completed",
        step("step_1", "completed", calls=[whole_function("call_1", "weather", ARGUMENTS, "wet")]),
    ),
    frame("thread.run.queued", run()),
    frame("thread.run.in_progress", run("in_progress")),
    *TEXT_RUN[3:],
]
"""The stream that follows the submitted output."""

CODE_PIECES = ("x", " =", " ", "6", "\r\n", "print", "(x * 7)")
CODE = "".join(CODE_PIECES)

CODE_RUN = [
    frame("thread.run.created", run()),
    frame("thread.run.in_progress", run("in_progress")),
    frame("thread.run.step.created", step()),
    step_delta(
        placed(0, "code_interpreter", id="call_1", code_interpreter={"input": "", "outputs": []})
    ),
    *[step_delta(code(0, piece)) for piece in CODE_PIECES],
    step_delta(code(0, None, {"index": 0, "type": "logs", "logs": "42\n"})),
    frame(
        "thread.run.step.completed",
        step(
            "step_1",
            "completed",
            calls=[
                {
                    "id": "call_1",
                    "type": "code_interpreter",
                    "code_interpreter": {
                        "input": CODE,
                        "outputs": [{"type": "logs", "logs": "42\n"}],
                    },
                }
            ],
        ),
    ),
    frame("thread.run.completed", run("completed", usage=USAGE)),
    DONE,
]
"""A run that runs code."""

RANKING = {"ranker": "default_2024_08_21", "score_threshold": 0.0}
RESULT = {
    "file_id": "file_moss",
    "file_name": "moss.txt",
    "score": 0.625,
    "attributes": {},
    "content": [{"type": "text", "text": "Moss likes rain."}],
}

SEARCH_RUN = [
    frame("thread.run.created", run(instructions=None)),
    frame("thread.run.step.created", step()),
    step_delta(
        placed(
            0, "file_search", id="call_1", file_search={"ranking_options": RANKING, "results": []}
        )
    ),
    frame(
        "thread.run.step.completed",
        step(
            "step_1",
            "completed",
            calls=[
                {
                    "id": "call_1",
                    "type": "file_search",
                    "file_search": {"ranking_options": RANKING, "results": [RESULT]},
                }
            ],
        ),
    ),
    frame("thread.message.created", message()),
    message_delta(text(0, "Moss.")),
    message_delta(text(0, "[0:0†moss.txt]", citation())),
    frame(
        "thread.message.completed",
        message(
            "msg_1",
            "completed",
            whole_text(
                "Moss.[0:0†moss.txt]",
                {
                    "type": "file_citation",
                    "text": "[0:0†moss.txt]",
                    "start_index": 5,
                    "end_index": 19,
                    "file_citation": {"file_id": "file_moss"},
                },
            ),
        ),
    ),
    frame("thread.run.completed", run("completed", usage=USAGE)),
    DONE,
]
"""A run that searches files and cites one."""

RUNS = {
    "text": TEXT_RUN,
    "calling": CALLING_RUN,
    "answered": ANSWERED_RUN,
    "code": CODE_RUN,
    "search": SEARCH_RUN,
}
