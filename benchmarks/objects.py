"""The plain JSON objects of one run, as large and as full as servers send them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping
    from random import Random

__all__ = ["SEARCH_OPTIONS", "Objects", "finished", "finished_citation"]

SEARCH_OPTIONS: Final = {"ranker": "default_2024_08_21", "score_threshold": 0.0}
"""The ranking options of a file search."""

_CREATED_AT: Final = 1_761_861_855
_LIFETIME: Final = 600
_ALPHABET: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


class Objects:
    """Makes the objects of one run; they all name the same parents."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self.file_id = self.id("file")
        """The one file that the run knows."""
        self._parents = {
            "run_id": self.id("run"),
            "assistant_id": self.id("asst"),
            "thread_id": self.id("thread"),
        }

    def id(self, kind: str) -> str:
        """Make an id that no other object has."""
        return f"{kind}_{''.join(self._random.choices(_ALPHABET, k=24))}"

    def run(self, status: str, **changes: Any) -> dict[str, Any]:
        """Make the run, of about 3 KB, in a status."""
        run: dict[str, Any] = {
            "id": self._parents["run_id"],
            "object": "thread.run",
            "created_at": _CREATED_AT,
            "assistant_id": self._parents["assistant_id"],
            "thread_id": self._parents["thread_id"],
            "status": status,
            "started_at": None if status == "queued" else _CREATED_AT + 1,
            "expires_at": _CREATED_AT + _LIFETIME,
            "cancelled_at": None,
            "failed_at": None,
            "completed_at": _CREATED_AT + 9 if status == "completed" else None,
            "required_action": None,
            "last_error": None,
            "model": "gpt-4o",
            "instructions": _INSTRUCTIONS,
            "tools": _TOOLS,
            "tool_resources": {"code_interpreter": {"file_ids": [self.file_id]}},
            "metadata": {"tenant": "weather-desk", "trace": self.file_id},
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
        }
        return run | changes

    def run_wanting(self, arguments: Mapping[str, str]) -> dict[str, Any]:
        """Make the run that waits for the outputs of its calls: call id to arguments."""
        calls = [
            {
                "id": call_id,
                "type": "function",
                "function": {"name": "get_forecast", "arguments": text},
            }
            for call_id, text in arguments.items()
        ]
        wanted = {"type": "submit_tool_outputs", "submit_tool_outputs": {"tool_calls": calls}}
        return self.run("requires_action", required_action=wanted)

    def calls_step(self) -> dict[str, Any]:
        """Make a step that will call tools."""
        return self._step({"type": "tool_calls", "tool_calls": []})

    def message_step(self, message_id: str) -> dict[str, Any]:
        """Make the step that writes a message."""
        creation = {"message_id": message_id}
        return self._step({"type": "message_creation", "message_creation": creation})

    def message(self) -> dict[str, Any]:
        """Make a message with nothing in it."""
        return {
            "id": self.id("msg"),
            "object": "thread.message",
            "created_at": _CREATED_AT + 3,
            **self._parents,
            "status": "in_progress",
            "incomplete_details": None,
            "incomplete_at": None,
            "completed_at": None,
            "role": "assistant",
            "content": [],
            "attachments": [],
            "metadata": {},
        }

    def citation(self, text: str, *, start: int) -> dict[str, Any]:
        """Make the annotation that cites the file, as a delta has it."""
        return {
            "index": 0,
            "type": "file_citation",
            "text": text,
            "start_index": start,
            "end_index": start + len(text),
            "file_citation": {"file_id": self.file_id, "quote": ""},
        }

    def _step(self, details: dict[str, Any]) -> dict[str, Any]:
        return {
            "id": self.id("step"),
            "object": "thread.run.step",
            "created_at": _CREATED_AT + 2,
            **self._parents,
            "type": details["type"],
            "status": "in_progress",
            "cancelled_at": None,
            "completed_at": None,
            "expires_at": _CREATED_AT + _LIFETIME,
            "failed_at": None,
            "last_error": None,
            "step_details": details,
            "usage": None,
        }


def finished(whole: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
    """Give a step or a message as it is when it is completed."""
    end = {"status": "completed", "completed_at": _CREATED_AT + 9, **changes}
    if "usage" in whole:
        end["usage"] = {"prompt_tokens": 830, "completion_tokens": 20, "total_tokens": 850}
    return {**whole, **end}


def finished_citation(citation: Mapping[str, Any]) -> dict[str, Any]:
    """Give a citation as a finished message has it: without index and quote."""
    plain = {name: value for name, value in citation.items() if name != "index"}
    return plain | {"file_citation": {"file_id": citation["file_citation"]["file_id"]}}


def _function(name: str, description: str, *fields: str) -> dict[str, Any]:
    """Make a function tool with a schema as people write them."""
    properties = {
        field: {"type": "string", "description": f"The {field} to {description.lower()} for"}
        for field in fields
    }
    schema = {
        "type": "object",
        "properties": properties,
        "required": list(fields),
        "additionalProperties": False,
    }
    function = {"name": name, "description": description, "parameters": schema, "strict": True}
    return {"type": "function", "function": function}


_INSTRUCTIONS: Final = (
    "You are the assistant of a weather desk. "
    "Answer in the language of the question, in metric units, and name the station. "
    "Look into the attached files before you answer, and cite what you take from them. "
    "Use the forecast functions for anything that lies ahead; call them in parallel. "
    "Run code for every calculation, however small, and show the result with its unit. "
    "Never guess a measurement: say that it is missing, and which station would have it. "
    "Warnings come first: before any forecast, look up whether the region has one. "
    "Round temperatures to whole degrees, wind to whole metres per second, rain to tenths. "
    "When two stations disagree, give both values, the distance between them and the time. "
    "Keep answers under two hundred words, without headings, and end with the data's age."
)
_TOOLS: Final = [
    {"type": "code_interpreter"},
    {
        "type": "file_search",
        "file_search": {"ranking_options": {**SEARCH_OPTIONS, "hybrid_search": None}},
    },
    _function("get_forecast", "Get the forecast", "city", "day", "hour", "language"),
    _function("get_warnings", "Get the warnings", "country", "region", "severity"),
]
