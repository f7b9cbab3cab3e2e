"""What a run is writing: actions to deltas, while the stored object grows with each of them.

A function here takes the draft of a step or message and one action's part; it yields deltas, and
each delta has already been put into the draft's record when it is yielded. Growing strings are
kept as pieces and joined only when somebody reads the record (`settle`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from asyncruns.emulator.actions import (
    Call,
    Citation,
    ImageFile,
    ImageURL,
    Refusal,
    RunCode,
    SearchFiles,
    Text,
    URLCitation,
)
from asyncruns.emulator.records import Json, encode
from asyncruns.emulator.tokens import pieces, whole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from asyncruns.emulator.actions import Annotation, Part, Pieces, ToolCall


class Growing:
    """A string of a record that grows piece by piece."""

    __slots__ = ("_holder", "_key", "_pieces")

    def __init__(self, holder: Json, key: str) -> None:
        self._holder = holder
        self._key = key
        self._pieces: list[str] = []

    def add(self, piece: str) -> None:
        """Put a piece at the end; the record shows it after `settle`."""
        self._pieces.append(piece)

    def settle(self) -> None:
        """Put the whole string into the record."""
        self._pieces = ["".join(self._pieces)]
        self._holder[self._key] = self._pieces[0]


class Draft:
    """A step or a message that a run is writing."""

    def __init__(self, record: Json) -> None:
        self.record = record
        self._growing: list[Growing] = []

    def grow(self, holder: Json, key: str) -> Growing:
        """Return a way to let the string `holder[key]` grow from empty."""
        growing = Growing(holder, key)
        self._growing.append(growing)
        return growing

    def settle(self) -> None:
        """Bring the record up to date with the deltas."""
        for growing in self._growing:
            growing.settle()


def call_deltas(draft: Draft, index: int, call: ToolCall, call_id: str) -> Iterator[Json]:
    """Yield the deltas of one tool call of a step."""
    payload: Json = {}
    record = {"id": call_id, "type": call.type, call.type: payload}
    changes = _CALLS[type(call)](draft, payload, call)
    first = next(changes)
    draft.record["step_details"]["tool_calls"].append(record)
    yield {"index": index, "id": call_id, "type": call.type, call.type: first}
    for change in changes:
        yield {"index": index, "type": call.type, call.type: change}


def _function(draft: Draft, payload: Json, call: Call) -> Iterator[Json]:
    payload.update(name=call.name, arguments="", output=None)
    yield dict(payload)
    arguments = draft.grow(payload, "arguments")
    given = call.arguments
    for piece in pieces(encode(given).decode() if isinstance(given, Mapping) else given):
        arguments.add(piece)
        yield {"arguments": piece}


def _code_interpreter(draft: Draft, payload: Json, call: RunCode) -> Iterator[Json]:
    payload.update(input="", outputs=[])
    yield {"input": "", "outputs": []}
    code = draft.grow(payload, "input")
    for piece in pieces(call.input):
        code.add(piece)
        yield {"input": piece}
    outputs: list[Json] = payload["outputs"]
    if call.logs is not None:
        yield from _logs(draft, outputs, call.logs)
    if call.image is not None:
        output = {"type": "image", "image": {"file_id": call.image}}
        outputs.append(output)
        yield {"outputs": [{"index": len(outputs) - 1, **output}]}


def _logs(draft: Draft, outputs: list[Json], text: Pieces) -> Iterator[Json]:
    output: Json = {"type": "logs", "logs": ""}
    outputs.append(output)
    logs = draft.grow(output, "logs")
    for piece in [text] if isinstance(text, str) else text:
        logs.add(piece)
        yield {"outputs": [{"index": len(outputs) - 1, "type": "logs", "logs": piece}]}


def _file_search(_draft: Draft, payload: Json, call: SearchFiles) -> Iterator[Json]:
    ranking = {"ranker": call.ranker, "score_threshold": call.score_threshold}
    payload.update(ranking_options=ranking, results=[])
    yield {"ranking_options": ranking, "results": []}
    payload["results"] = [
        {
            "file_id": found.file_id,
            "file_name": found.file_name,
            "score": found.score,
            "attributes": {},
            "content": [{"type": "text", "text": found.text}],
        }
        for found in call.results
    ]


_CALLS: Mapping[type[ToolCall], Callable[[Draft, Json, Any], Iterator[Json]]] = {
    Call: _function,
    RunCode: _code_interpreter,
    SearchFiles: _file_search,
}


def part_deltas(draft: Draft, index: int, part: Part) -> Iterator[Json]:
    """Yield the deltas of one part of a message's content."""
    content: list[Json] = draft.record["content"]
    kind, changes = _PARTS[type(part)]
    record: Json = {"type": kind}
    content.append(record)
    for change in changes(draft, record, part):
        yield {"index": index, "type": kind, kind: change}


def _text(draft: Draft, record: Json, part: Text) -> Iterator[Json]:
    text: Json = {"value": "", "annotations": []}
    record["text"] = text
    value = draft.grow(text, "value")
    marks = _marks(part)
    end = 0
    for number, piece in enumerate(_cut(part.value, marks) or [""]):
        end += len(piece)
        reached = [mark for mark in marks if end - len(piece) < mark["end_index"] <= end]
        value.add(piece)
        change: Json = {"value": piece}
        if number == 0 or reached:
            first = len(text["annotations"])
            change["annotations"] = [
                {"index": first + nth, **mark} for nth, mark in enumerate(reached)
            ]
            text["annotations"] += [_finished(mark) for mark in reached]
        yield change


def _marks(part: Text) -> list[Json]:
    """Return the annotations of a text as the deltas carry them, save their index."""
    text = whole(part.value)
    marks: list[Json] = []
    start = 0
    for annotation in part.annotations:
        start = text.index(annotation.text, start)
        end = start + len(annotation.text)
        kind, payload = _annotation(annotation)
        marks.append(
            {
                "type": kind,
                "text": annotation.text,
                "start_index": start,
                "end_index": end,
                kind: payload,
            }
        )
        start = end
    return marks


def _annotation(annotation: Annotation) -> tuple[str, Json]:
    if isinstance(annotation, URLCitation):
        return "url_citation", {"url": annotation.url, "title": annotation.title}
    if isinstance(annotation, Citation):
        return "file_citation", {"file_id": annotation.file_id, "quote": annotation.quote}
    return "file_path", {"file_id": annotation.file_id}


def _finished(mark: Json) -> Json:
    """Return an annotation as the finished message has it: a citation loses its quote."""
    if mark["type"] != "file_citation":
        return mark
    return {**mark, "file_citation": {"file_id": mark["file_citation"]["file_id"]}}


def _cut(value: Pieces, marks: Sequence[Json]) -> list[str]:
    """Cut a text into pieces, with the words of each annotation in a piece of their own."""
    if not isinstance(value, str):
        return list(value)
    cut: list[str] = []
    end = 0
    for mark in marks:
        cut += pieces(value[end : mark["start_index"]])
        cut.append(mark["text"])
        end = mark["end_index"]
    return cut + pieces(value[end:])


def _refusal(draft: Draft, record: Json, part: Refusal) -> Iterator[str]:
    refusal = draft.grow(record, "refusal")
    record["refusal"] = ""
    for piece in pieces(part.refusal):
        refusal.add(piece)
        yield piece


def _image_file(_draft: Draft, record: Json, part: ImageFile) -> Iterator[Json]:
    record["image_file"] = {"file_id": part.file_id, "detail": part.detail}
    yield record["image_file"]


def _image_url(_draft: Draft, record: Json, part: ImageURL) -> Iterator[Json]:
    record["image_url"] = {"url": part.url, "detail": part.detail}
    yield record["image_url"]


_PARTS: Mapping[type[Part], tuple[str, Callable[[Draft, Json, Any], Iterator[Any]]]] = {
    Text: ("text", _text),
    Refusal: ("refusal", _refusal),
    ImageFile: ("image_file", _image_file),
    ImageURL: ("image_url", _image_url),
}
