"""Where the fuzzers begin: streams and objects of every kind, and the words that they are made of."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from asyncruns.events import EVENTS
from tests.core.shapes import (
    DONE,
    RUNS,
    citation,
    code,
    encoded,
    frame,
    function,
    message,
    message_delta,
    placed,
    run,
    step,
    step_delta,
    text,
    thread,
)
from tests.fuzz.harness import DECODERS

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["SEEDS", "WORDS"]

CHUNK = b"\x20"
"""The first byte of a stream: chunks of 33 bytes."""


def _streams() -> Iterator[bytes]:
    for body in RUNS.values():
        yield CHUNK + b"".join(body)
    for name in EVENTS:
        yield CHUNK + frame(name, {"id": "run_1", "status": "queued"}) + DONE
    deltas = [
        step_delta(function(0, "", id="call_1"), function(1, "{", id="call_2")),
        step_delta(function(0, '{"a":')),
        step_delta(code(2, "1+1", placed(0, "logs", logs="2"))),
        step_delta(placed(3, "mcp", id="call_3", server="x")),
        message_delta(text(0, "Hi", citation(0, "a"))),
        message_delta(text(0, " \u00e9\u2028"), placed(1, "refusal", refusal="no")),
        message_delta(placed(2, "image_file", image_file={"file_id": "file_1"})),
    ]
    yield CHUNK + b"".join(deltas)
    yield CHUNK + b"\xef\xbb\xbf" + deltas[0].replace(b"\n", b"\r\n") + b": ping\n\n"
    yield CHUNK + b"data: " + encoded({"event": "thread.run.created", "data": run()}) + b"\n\n"
    yield CHUNK + b'event: error\ndata: {"error": {"message": "no", "code": 7}}\n\n'


def _objects() -> Iterator[bytes]:
    whole: list[Any] = [
        run("requires_action", tools=[{"type": "odd"}], tool_choice={"type": "function"}),
        step(calls=[{"id": "call_1", "type": "function", "function": {"arguments": "\ud800"}}]),
        message("msg_1", "completed", {"type": "text", "text": {"value": "Hi", "annotations": []}}),
        thread(),
        {"error": {"message": "try again in 1m30s", "code": 1}},
        {"object": "list", "data": [run(), None], "has_more": False},
    ]
    for number in range(len(DECODERS)):
        for made in whole:
            # Escaped, for there is half a character among them.
            yield bytes([number]) + json.dumps(made).encode()


SEEDS = {"stream": list(_streams()), "object": list(_objects())}
"""The inputs that a fuzzer begins with, by its name."""

_KEYS = (
    "id", "object", "type", "status", "index", "delta", "content", "step_details", "tool_calls",
    "function", "name", "arguments", "output", "outputs", "code_interpreter", "input", "logs",
    "text", "value", "annotations", "refusal", "image_file", "message_creation", "metadata",
    "required_action", "submit_tool_outputs", "last_error", "usage", "tools", "tool_choice",
    "response_format", "event", "data", "error", "has_more", "raw", "unknown_type",
    "asyncruns.unknown",
)  # fmt: skip

WORDS = [
    *(f"event: {name}\ndata: ".encode() for name in EVENTS),
    *(f'"{key}":'.encode() for key in _KEYS),
    *(f'"{key}"'.encode() for key in ("completed", "in_progress", "function", "text", "logs")),
    b"\n\n", b"\r\n", b"data: ", b"[DONE]", b"null", b"-1", b"65536", b"1e999", b"\\ud800",
    b"\xff", b"\xef\xbb\xbf", b"[[[[[[[[", b"{}", b"[]", b"\xe2\x80\xa8",
]  # fmt: skip
"""What a fuzzer would be long in finding by itself."""
