"""Streams written by hand, for what the emulator never sends."""

from __future__ import annotations

import json
from typing import Any

from tests.transport.wires import STREAM_HEAD, chunk

RUN: dict[str, Any] = {
    "id": "run_1",
    "object": "thread.run",
    "thread_id": "thread_1",
    "assistant_id": "asst_1",
    "status": "in_progress",
}


def frame(name: str, data: object) -> bytes:
    """One event."""
    text = data if isinstance(data, str) else json.dumps(data)
    return f"event: {name}\ndata: {text}\n\n".encode()


def run_frame(status: str, **fields: Any) -> bytes:
    """An event of the run."""
    return frame(f"thread.run.{status}", {**RUN, "status": status, **fields})


def message_frame(status: str, text: str = "", message_id: str = "msg_1") -> bytes:
    """An event of a message, whole."""
    content = [{"type": "text", "text": {"value": text, "annotations": []}}] if text else []
    message = {
        "id": message_id,
        "object": "thread.message",
        "thread_id": "thread_1",
        "run_id": "run_1",
        "status": status,
        "role": "assistant",
        "content": content,
    }
    name = "created" if status == "in_progress" else status
    return frame(f"thread.message.{name}", message)


def text_frame(text: str, message_id: str = "msg_1") -> bytes:
    """A delta of a message."""
    delta = {"content": [{"index": 0, "type": "text", "text": {"value": text}}]}
    return frame("thread.message.delta", {"id": message_id, "delta": delta})


DONE = frame("done", "[DONE]")


def stream_answer(*frames: bytes) -> bytes:
    """The frames as an HTTP answer."""
    return STREAM_HEAD + b"".join(map(chunk, frames)) + chunk(b"")
