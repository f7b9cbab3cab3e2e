"""The objects of the API as plain JSON, with the keys and their order as they are on the wire."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec
from msgspec import UNSET

if TYPE_CHECKING:
    from collections.abc import Iterable

    from asyncruns.emulator import requests
    from asyncruns.emulator.ids import Ids

Json: TypeAlias = dict[str, Any]

encode = msgspec.json.Encoder().encode
"""Record to bytes: the one encoder, so that an object has the same bytes wherever it is shown."""


def given(value: object, default: Any = None) -> Any:
    """Return a request's field as plain JSON, or the default where it is left out or null."""
    return default if value is UNSET or value is None else msgspec.to_builtins(value)


def tool_resources(asked: object, ids: Ids) -> Json:
    """Return the resources asked for, with the id of a vector store that is made on the spot."""
    resources: Json = given(asked, {})
    search = resources.get("file_search", {})
    if "vector_stores" in search:
        resources["file_search"] = {"vector_store_ids": [ids.new("vs")]}
    return {"code_interpreter": {"file_ids": []}, **resources}


def assistant(body: requests.CreateAssistant, ids: Ids, now: int) -> Json:
    """Return a new assistant."""
    return {
        "id": ids.new("asst"),
        "object": "assistant",
        "created_at": now,
        "name": given(body.name),
        "description": given(body.description),
        "model": body.model,
        "instructions": given(body.instructions),
        "tools": given(body.tools, []),
        "top_p": given(body.top_p, 1.0),
        "temperature": given(body.temperature, 1.0),
        "reasoning_effort": given(body.reasoning_effort),
        "tool_resources": tool_resources(body.tool_resources, ids),
        "metadata": given(body.metadata, {}),
        "response_format": given(body.response_format, "auto"),
    }


def thread(body: requests.CreateThread, ids: Ids, now: int) -> Json:
    """Return a new thread."""
    return {
        "id": ids.new("thread"),
        "object": "thread",
        "created_at": now,
        "metadata": given(body.metadata, {}),
        "tool_resources": tool_resources(body.tool_resources, ids),
    }


def message(body: requests.CreateMessage, thread_id: str, ids: Ids, now: int) -> Json:
    """Return a message that the client adds to a thread."""
    return {
        "id": ids.new("msg"),
        "object": "thread.message",
        "created_at": now,
        "assistant_id": None,
        "thread_id": thread_id,
        "run_id": None,
        "status": "completed",
        "incomplete_details": None,
        "incomplete_at": None,
        "completed_at": now,
        "role": body.role,
        "content": _content(body.content),
        "attachments": given(body.attachments, []),
        "metadata": given(body.metadata, {}),
    }


def _content(content: str | Iterable[Any]) -> list[Json]:
    parts: list[Json]
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else given(content)
    for part in parts:
        if part["type"] == "text":
            part["text"] = {"value": part["text"], "annotations": []}
    return parts


def run(
    body: requests.CreateRun | requests.CreateThreadAndRun,
    assistant: Json,
    thread: Json,
    ids: Ids,
    *,
    now: int,
    expires_at: float,
) -> Json:
    """Return a new run: the request's settings, and the assistant's where it has none."""
    instructions = given(body.instructions, assistant["instructions"])
    additional = given(getattr(body, "additional_instructions", None))
    return {
        "id": ids.new("run"),
        "object": "thread.run",
        "created_at": now,
        "assistant_id": assistant["id"],
        "thread_id": thread["id"],
        "status": "queued",
        "started_at": None,
        "expires_at": expires_at,
        "cancelled_at": None,
        "failed_at": None,
        "completed_at": None,
        "required_action": None,
        "last_error": None,
        "model": body.model or assistant["model"],
        "instructions": "\n".join(filter(None, (instructions, additional))) or None,
        "tools": given(body.tools, assistant["tools"]),
        "tool_resources": {
            **assistant["tool_resources"],
            **given(getattr(body, "tool_resources", None), {}),
        },
        "metadata": given(body.metadata, {}),
        "temperature": given(body.temperature, assistant["temperature"]),
        "top_p": given(body.top_p, assistant["top_p"]),
        "reasoning_effort": given(
            getattr(body, "reasoning_effort", None), assistant["reasoning_effort"]
        ),
        "max_completion_tokens": body.max_completion_tokens,
        "max_prompt_tokens": body.max_prompt_tokens,
        "truncation_strategy": given(
            body.truncation_strategy, {"type": "auto", "last_messages": None}
        ),
        "incomplete_details": None,
        "usage": None,
        "response_format": given(body.response_format, assistant["response_format"]),
        "tool_choice": given(body.tool_choice, "auto"),
        "parallel_tool_calls": body.parallel_tool_calls,
    }


def step(run: Json, step_id: str, details: Json, now: int) -> Json:
    """Return a step that a run has just begun."""
    return {
        "id": step_id,
        "object": "thread.run.step",
        "created_at": now,
        "run_id": run["id"],
        "assistant_id": run["assistant_id"],
        "thread_id": run["thread_id"],
        "type": details["type"],
        "status": "in_progress",
        "cancelled_at": None,
        "completed_at": None,
        "expires_at": run["expires_at"],
        "failed_at": None,
        "last_error": None,
        "step_details": details,
        "usage": None,
    }


def said(run: Json, message_id: str, now: int) -> Json:
    """Return a message that a run has just begun."""
    return {
        "id": message_id,
        "object": "thread.message",
        "created_at": now,
        "assistant_id": run["assistant_id"],
        "thread_id": run["thread_id"],
        "run_id": run["id"],
        "status": "in_progress",
        "incomplete_details": None,
        "incomplete_at": None,
        "completed_at": None,
        "role": "assistant",
        "content": [],
        "attachments": [],
        "metadata": {},
    }


def usage(prompt_tokens: int, completion_tokens: int) -> Json:
    """Return what a step, or a whole run, has used."""
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
        "prompt_token_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }


def total_usage(steps: Iterable[Json]) -> Json:
    """Return the sum of what the steps have used."""
    used = [step["usage"] for step in steps if step["usage"] is not None]
    return usage(
        sum(one["prompt_tokens"] for one in used),
        sum(one["completion_tokens"] for one in used),
    )


def without_content(step: Json) -> Json:
    """Return the step as it is shown to a request that does not include the search content."""
    details = step["step_details"]
    if not any(call["type"] == "file_search" for call in details.get("tool_calls", ())):
        return step
    calls = [_without_content(call) for call in details["tool_calls"]]
    return {**step, "step_details": {**details, "tool_calls": calls}}


def _without_content(call: Json) -> Json:
    if call["type"] != "file_search":
        return call
    results = [
        {key: value for key, value in result.items() if key != "content"}
        for result in call["file_search"]["results"]
    ]
    return {**call, "file_search": {**call["file_search"], "results": results}}


def text_of(message: Json) -> str:
    """Return the text of a message, its text parts put together."""
    return "".join(part["text"]["value"] for part in message["content"] if part["type"] == "text")


def deleted(record: Json) -> Json:
    """Return the answer to a deletion."""
    return {"id": record["id"], "object": f"{record['object']}.deleted", "deleted": True}
