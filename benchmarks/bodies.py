"""Seeds to stream bodies: what a server sends for one run, and what must come of it.

The shapes and their order are those of recorded streams: plain LF, one data line per frame, steps
and messages sent whole at both ends and in small pieces between. The same call gives the same
bytes. Each body knows its final texts and tool-call inputs, so that whoever consumes it can be
checked.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any, Final

from benchmarks.objects import SEARCH_OPTIONS, Objects, finished, finished_citation

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "READ",
    "Body",
    "Outcome",
    "big_frame",
    "code_interpreter",
    "mixed",
    "parallel_calls",
    "text",
]

READ: Final = 64 * 1024
"""The size of a read, in bytes, as a busy socket gives it."""

_SEED: Final = 20_250_829
_WORDS: Final = (
    *(" the", " of", " and", " a", " to", " in", " is", " that", " it", " for", " was", " on"),
    *(" temperature", " forecast", " report", " station", " measured", " average", " between"),
    *(" Ångström", " São", " Paulo", " 東京", " naïve", " “quoted”", ' "plain"', " C:\\temp"),
    *(",", ".", ":\n\n", "\n", "-", " 42", " 3.14", "°C", "ing", "ed", "ly", "s"),
)
_CODE: Final = (
    *("import", " numpy", " as", " np", "\r\n", "# ", "values", " =", " [", "1", ",", " ", "2.5"),
    *("]", "print", "(", ")", "np", ".mean", "'", "result", "\r\n\r\n", "for", " row", " in", ":"),
)


@dataclass(frozen=True)
class Outcome:
    """What a consumer must end with."""

    texts: dict[str, str]
    """The text of each message, by the message's id."""
    inputs: dict[str, str]
    """The arguments of each function call and the code of each code call, by the call's id."""


@dataclass(frozen=True)
class Body:
    """One stream body."""

    data: bytes
    """The bytes as a server sends them."""
    events: int
    """How many events they hold, the final `done` included."""
    expected: Outcome
    """What must come of them."""

    def frames(self) -> list[bytes]:
        """Cut the bytes into the frames of the events."""
        return [block + b"\n\n" for block in self.data.split(b"\n\n")[:-1]]

    def reads(self, size: int = READ) -> list[bytes]:
        """Cut the bytes as reads of one size would."""
        return [self.data[at : at + size] for at in range(0, len(self.data), size)]


def text(deltas: int = 2_000, *, ends: bool = True, words: Sequence[str] = _WORDS) -> Body:
    """Build a run that writes one message of so many deltas, each one of the words.

    Without `ends`, here and below, no finished step or message repeats what the deltas said, so
    that the outcome shows how a consumer folds.
    """
    writer = _Writer(ends=ends)
    writer.message_step(writer.pick(words, deltas))
    return writer.completed()


def parallel_calls(calls: int = 4, deltas: int = 500) -> Body:
    """Build a run that calls functions at once, each with so many pieces of arguments, in turns."""
    writer = _Writer()
    return writer.wanting_outputs(calls, deltas)


def code_interpreter(deltas: int = 500, *, ends: bool = True) -> Body:
    """Build a run that writes code in so many deltas, runs it, and writes a short message."""
    writer = _Writer(ends=ends)
    writer.code_step(deltas)
    writer.message_step(writer.pick(_WORDS, 30))
    return writer.completed()


def mixed(*, ends: bool = True) -> Body:
    """Build a run of 281 events (with its ends) that does everything.

    It runs code, searches files, writes what it found with a citation, and stops at two parallel
    function calls that want their outputs.
    """
    writer = _Writer(ends=ends)
    writer.code_step(60)
    writer.search_step()
    writer.message_step(writer.pick(_WORDS, 136), citation="【4:0†stations.txt】")
    return writer.wanting_outputs(2, 30)


def big_frame(size: int = 8 * 1024 * 1024) -> Body:
    """Build a run whose message comes without deltas, in one frame of at least so many bytes."""
    writer = _Writer()
    paragraph = "".join(writer.pick(_WORDS, 5_000))
    writer.message_step([paragraph] * (size // len(paragraph) + 1), streamed=False)
    return writer.completed()


class _Writer:
    """Writes the frames of one run, in order."""

    def __init__(self, *, ends: bool = True) -> None:
        self._ends = ends
        self._random = Random(_SEED)
        self._objects = Objects(self._random)
        self._frames: list[bytes] = []
        self._expected = Outcome({}, {})
        for event, status in (
            ("created", "queued"),
            ("queued", "queued"),
            ("in_progress", "in_progress"),
        ):
            self._send(f"thread.run.{event}", self._objects.run(status))

    def pick(self, pieces: Sequence[str], count: int) -> list[str]:
        """Choose so many pieces, by the seed."""
        return self._random.choices(pieces, k=count)

    def message_step(
        self, pieces: Sequence[str], *, citation: str | None = None, streamed: bool = True
    ) -> None:
        """Write a message in pieces, with a citation as the last one."""
        message = self._objects.message()
        step = self._objects.message_step(message["id"])
        value = "".join(pieces)
        annotations: list[dict[str, Any]] = []
        self._open("thread.run.step", step)
        self._open("thread.message", message)
        if streamed:
            self._text_deltas(message, pieces)
        if citation is not None:
            annotation = self._objects.citation(citation, start=len(value))
            self._text_delta(message, {"value": citation, "annotations": [annotation]})
            annotations.append(finished_citation(annotation))
            value += citation
        self._expected.texts[message["id"]] = value
        content = [{"type": "text", "text": {"value": value, "annotations": annotations}}]
        self._close("thread.message", message, content=content)
        self._close("thread.run.step", step)

    def code_step(self, deltas: int) -> None:
        """Write code in pieces, then what it printed."""
        step, call_id = self._objects.calls_step(), self._objects.id("call")
        self._open("thread.run.step", step)
        self._call_delta(step, {"input": "", "outputs": []}, "code_interpreter", call_id=call_id)
        pieces = self.pick(_CODE, deltas)
        for piece in pieces:
            self._call_delta(step, {"input": piece}, "code_interpreter")
        logs = {"type": "logs", "logs": "".join(self.pick(_WORDS, 20))}
        self._call_delta(step, {"outputs": [{"index": 0, **logs}]}, "code_interpreter")
        code = self._expected.inputs[call_id] = "".join(pieces)
        self._close_call(step, {"input": code, "outputs": [logs]}, "code_interpreter", call_id)

    def search_step(self) -> None:
        """Search files: a delta with the options only; the results come with the end."""
        step, call_id = self._objects.calls_step(), self._objects.id("call")
        self._open("thread.run.step", step)
        options = {"ranking_options": SEARCH_OPTIONS}
        self._call_delta(step, {**options, "results": []}, "file_search", call_id=call_id)
        results = [self._search_result(0.68 - rank / 100) for rank in range(5)]
        self._close_call(step, {**options, "results": results}, "file_search", call_id)

    def wanting_outputs(self, calls: int, deltas: int) -> Body:
        """Call functions, end the stream where it wants their outputs, and give the body."""
        step = self._objects.calls_step()
        self._open("thread.run.step", step)
        pieces = {self._objects.id("call"): self._arguments(deltas) for _ in range(calls)}
        for index, call_id in enumerate(pieces):
            function = {"name": "get_forecast", "arguments": "", "output": None}
            self._call_delta(step, function, "function", index=index, call_id=call_id)
        for turn in zip(*pieces.values(), strict=True):
            for index, piece in enumerate(turn):
                self._call_delta(step, {"arguments": piece}, "function", index=index)
        arguments = {call_id: "".join(parts) for call_id, parts in pieces.items()}
        self._expected.inputs.update(arguments)
        self._send("thread.run.requires_action", self._objects.run_wanting(arguments))
        return self._done()

    def completed(self) -> Body:
        """End the run, and give the body."""
        usage = {"prompt_tokens": 2_030, "completion_tokens": 410, "total_tokens": 2_440}
        run = self._objects.run("completed", usage=usage, expires_at=None)
        self._send("thread.run.completed", run)
        return self._done()

    def _arguments(self, deltas: int) -> list[str]:
        """Make so many pieces (at least two) of one JSON object."""
        words = self.pick(_WORDS, deltas - 2)
        inside = [json.dumps(word, ensure_ascii=False)[1:-1] for word in words]
        return ['{"city":"', *inside, '"}']

    def _search_result(self, score: float) -> dict[str, Any]:
        return {
            "file_id": self._objects.file_id,
            "file_name": "stations.txt",
            "score": score,
            "attributes": {},
            "content": [{"type": "text", "text": "".join(self.pick(_WORDS, 60))}],
        }

    def _text_deltas(self, message: dict[str, Any], pieces: Sequence[str]) -> None:
        for position, piece in enumerate(pieces):
            first: dict[str, Any] = {} if position else {"annotations": []}
            self._text_delta(message, {"value": piece, **first})

    def _text_delta(self, message: dict[str, Any], piece: object) -> None:
        delta = {"content": [{"index": 0, "type": "text", "text": piece}]}
        data = {"id": message["id"], "object": "thread.message.delta", "delta": delta}
        self._send("thread.message.delta", data)

    def _call_delta(
        self,
        step: dict[str, Any],
        piece: object,
        kind: str,
        *,
        index: int = 0,
        call_id: str | None = None,
    ) -> None:
        named = {} if call_id is None else {"id": call_id}
        call = {"index": index, **named, "type": kind, kind: piece}
        delta = {"step_details": {"type": "tool_calls", "tool_calls": [call]}}
        data = {"id": step["id"], "object": "thread.run.step.delta", "delta": delta}
        self._send("thread.run.step.delta", data)

    def _open(self, kind: str, whole: dict[str, Any]) -> None:
        self._send(f"{kind}.created", whole)
        self._send(f"{kind}.in_progress", whole)

    def _close(self, kind: str, whole: dict[str, Any], **changes: Any) -> None:
        if self._ends:
            self._send(f"{kind}.completed", finished(whole, **changes))

    def _close_call(self, step: dict[str, Any], payload: object, kind: str, call_id: str) -> None:
        calls = [{"id": call_id, "type": kind, kind: payload}]
        details = {"type": "tool_calls", "tool_calls": calls}
        self._close("thread.run.step", step, step_details=details)

    def _send(self, event: str, data: object) -> None:
        encoded = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
        self._frames.append(f"event: {event}\ndata: {encoded}\n\n".encode())

    def _done(self) -> Body:
        self._frames.append(b"event: done\ndata: [DONE]\n\n")
        return Body(b"".join(self._frames), len(self._frames), self._expected)
