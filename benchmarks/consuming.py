"""Events to outcomes: what every consuming loop here does with what it is given.

The events of asyncruns, of openai and of azure-ai-agents have the same shape, so that all pay the
same for being looked at.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

import msgspec

from asyncruns.events import EVENTS, DoneEvent
from benchmarks.bodies import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["Floor", "Sums", "add_up", "outcome_of", "piece_of"]


def piece_of(name: str, data: Any) -> str | None:
    """Look at an event as every consuming loop here does: at its data, and its text or arguments.

    None where it has neither.
    """
    piece: str | None = None
    if name == "thread.message.delta":
        for part in data.delta.content:
            if part.type == "text":
                piece = part.text.value
    elif name == "thread.run.step.delta":
        for call in data.delta.step_details.tool_calls:
            piece = _input_of(call)
    return piece


def outcome_of(messages: Iterable[Any], steps: Iterable[Any]) -> Outcome:
    """What snapshots say; asyncruns' and openai's have the same shape."""
    texts = {
        message.id: "".join(part.text.value for part in message.content) for message in messages
    }
    inputs: dict[str, str] = {}
    for step in steps:
        if step.step_details.type == "tool_calls":
            for call in step.step_details.tool_calls:
                if text := _input_of(call):
                    inputs[call.id] = text
    return Outcome(texts, inputs)


class Sums:
    """Adds the pieces of events up, for those peers that give events and no snapshots."""

    def __init__(self) -> None:
        self._texts: defaultdict[str, str] = defaultdict(str)
        self._inputs: defaultdict[tuple[str, int], str] = defaultdict(str)
        self._ids: dict[tuple[str, int], str] = {}

    def take(self, name: str, data: Any) -> str | None:
        """Look at one event, add its piece up, and give the piece."""
        piece: str | None = None
        if name == "thread.message.delta":
            for part in data.delta.content:
                if part.type == "text":
                    piece = part.text.value
                    self._texts[data.id] += piece or ""
        elif name == "thread.run.step.delta":
            for call in data.delta.step_details.tool_calls:
                key = data.id, call.index
                if call.id:
                    self._ids[key] = call.id
                if piece := _input_of(call):
                    self._inputs[key] += piece
        elif name == "thread.message.completed":
            self._texts[data.id] = "".join(part.text.value for part in data.content)
        return piece

    def outcome(self) -> Outcome:
        """Give what it all came to."""
        inputs = {self._ids[key]: text for key, text in self._inputs.items()}
        return Outcome(dict(self._texts), inputs)


class Floor:
    """The least that can be done: typed decode and append, in one plain loop over blocks.

    `look` stands for a consuming loop, where there is to be one.
    """

    def __init__(self, look: Callable[[str, Any], object] | None = None) -> None:
        self._look = look
        self._texts: defaultdict[str, list[str]] = defaultdict(list)
        self._calls: defaultdict[tuple[str, int], list[str]] = defaultdict(list)
        self._ids: dict[tuple[str, int], str] = {}

    def take(self, blocks: Iterable[bytes]) -> None:  # noqa: C901 -- one loop: calls would cost
        """Decode and append the events of blocks."""
        texts, calls, ids, look = self._texts, self._calls, self._ids, self._look
        for block in blocks:
            head, _, data = block.partition(b"\ndata: ")
            decode = _DECODERS.get(head)
            if decode is None:
                continue
            change = decode(data)
            if look is not None:
                look(_NAMES[head], change)
            if head == _MESSAGE_DELTA:
                for part in change.delta.content:
                    texts[change.id].append(part.text.value)
            elif head == _STEP_DELTA:
                for call in change.delta.step_details.tool_calls:
                    key = change.id, call.index
                    if call.id is not None:
                        ids[key] = call.id
                    if piece := _input_of(call):
                        calls[key].append(piece)
            elif head == _MESSAGE_COMPLETED:
                texts[change.id] = [part.text.value for part in change.content]

    def outcome(self) -> Outcome:
        """Join what was appended."""
        return Outcome(
            {message_id: "".join(pieces) for message_id, pieces in self._texts.items()},
            {self._ids[key]: "".join(pieces) for key, pieces in self._calls.items()},
        )


def add_up(
    name: str, data: Any, texts: dict[str, str], calls: dict[tuple[str, int], dict[str, str]]
) -> str:
    """Fold one event that is plain dicts, as the naive loops do, and give its piece."""
    piece = ""
    if name == "thread.message.delta":
        for part in data["delta"]["content"]:
            if part["type"] == "text":
                piece = part["text"]["value"]
                texts[data["id"]] = texts.get(data["id"], "") + piece
    elif name == "thread.run.step.delta":
        for change in data["delta"]["step_details"]["tool_calls"]:
            kind = change["type"]
            if kind != "file_search":
                key = data["id"], change["index"]
                call = calls.setdefault(key, {"id": change.get("id", ""), "input": ""})
                field = "arguments" if kind == "function" else "input"
                piece = change[kind].get(field, "")
                call["input"] += piece
    elif name == "thread.message.completed":
        texts[data["id"]] = "".join(part["text"]["value"] for part in data["content"])
    return piece


def _input_of(call: Any) -> str | None:
    """The arguments or the code in a tool call, or in a piece of one; None where it has neither."""
    text: str | None = None
    if call.type == "function":
        text = call.function.arguments
    elif call.type == "code_interpreter":
        text = call.code_interpreter.input
    return text


_MESSAGE_DELTA: Final = b"event: thread.message.delta"
_MESSAGE_COMPLETED: Final = b"event: thread.message.completed"
_STEP_DELTA: Final = b"event: thread.run.step.delta"
_NAMES: Final = {b"event: " + name.encode(): name for name in EVENTS}
_DECODERS: Final[dict[bytes, Callable[[bytes], Any]]] = {
    b"event: " + name.encode(): msgspec.json.Decoder(msgspec.structs.fields(kind)[0].type).decode
    for name, kind in EVENTS.items()
    if kind is not DoneEvent
}
