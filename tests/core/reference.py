"""A slow folder of plain dicts, to hold beside the real one, and the deltas that both are given."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from asyncruns.models import to_dict
from tests.core.shapes import JSONObject, placed

if TYPE_CHECKING:
    from asyncruns.accumulator import Accumulator

STRINGS = {"value", "refusal", "arguments", "input", "logs"}
LISTS = {"outputs", "annotations"}


class Complete(str):
    """A string that an end gave."""

    __slots__ = ()


class SlowFolder:
    """Folds plain JSON by the rules of the protocol, copying and searching as it likes."""

    def __init__(self, key: str, ends: frozenset[str]) -> None:
        self.key = key
        self.ends = ends
        self.status: str | None = None
        self.parts: dict[int, JSONObject] = {}

    def take(self, status: str, wholes: list[JSONObject]) -> None:
        if self.status in self.ends and status not in self.ends:
            return
        self.status = status
        if wholes:
            self.parts = self.indexed(wholes, complete=status in self.ends)

    def indexed(self, wholes: list[JSONObject], *, complete: bool) -> dict[int, JSONObject]:
        return {
            index: {name: self.kept(name, value, complete=complete) for name, value in part.items()}
            for index, part in enumerate(wholes)
        }

    def kept(self, name: str, value: Any, *, complete: bool) -> Any:
        if name in LISTS:
            return self.indexed(value, complete=complete)
        if isinstance(value, dict):
            return {
                inner: self.kept(inner, item, complete=complete) for inner, item in value.items()
            }
        return Complete(value) if complete and name in STRINGS else value

    def change(self, pieces: list[JSONObject]) -> None:
        self.parts = self.changed(self.parts, pieces)

    def changed(
        self, parts: dict[int, JSONObject], pieces: list[JSONObject]
    ) -> dict[int, JSONObject]:
        parts = copy.deepcopy(parts)
        for place, piece in enumerate(pieces):
            index = self.index_of(piece, place, parts)
            part = parts.get(index, {})
            if part.get("type") != piece["type"]:
                part = {}
            parts[index] = self.merged(part, self.news(part, piece))
        return parts

    def index_of(self, piece: JSONObject, place: int, parts: dict[int, JSONObject]) -> int:
        if "index" in piece:
            return int(piece["index"])
        if piece.get("id") is None:
            return place
        found = [index for index, part in parts.items() if part.get("id") == piece["id"]]
        return found[0] if found else max(parts, default=-1) + 1

    def news(self, part: JSONObject, piece: JSONObject) -> JSONObject:
        """The piece without what only repeats the call."""
        if piece.get("id") is None or part.get("id") != piece["id"]:
            return piece
        for payload, string in (("function", "arguments"), ("code_interpreter", "input")):
            known, told = part.get(payload) or {}, piece.get(payload) or {}
            if told.get(string) and known.get(string) == told[string]:
                if told.get("outputs") and not isinstance(known[string], Complete):
                    known.pop("outputs", None)
                rest = {name: value for name, value in told.items() if name != string}
                return piece | {payload: rest}
        return piece

    def merged(self, old: JSONObject, new: JSONObject) -> JSONObject:
        result = dict(old)
        for name, value in new.items():
            before: Any = result.get(name)
            if name in LISTS:
                result[name] = self.changed(before or {}, value or [])
            elif value is None or (before and type(before) is Complete):
                continue
            elif name in STRINGS:
                result[name] = (before or "") + value
            elif isinstance(value, dict):
                result[name] = self.merged(before or {}, value)
            else:
                result[name] = value
        return result

    def listed(self) -> Any:
        return said([self.parts[index] for index in sorted(self.parts)])


def said(value: Any) -> Any:
    """A JSON value without what says nothing: nulls, empty strings, lists and objects."""
    if isinstance(value, dict):
        if value and all(isinstance(key, int) for key in value):
            return said([value[index] for index in sorted(value)])
        kept = {name: said(item) for name, item in value.items() if name not in ("index", "quote")}
        return {name: item for name, item in kept.items() if item not in (None, "", [], {})}
    if isinstance(value, list):
        return [said(item) for item in value]
    return value


some = st.sampled_from
strings = st.none() | some(["", "a", "b", "ab"])
calls_ids = st.none() | some(["call_a", "call_b", "call_c"])
few = st.integers(0, 3)


@st.composite
def call_pieces(draw: st.DrawFn, *, indexed: bool) -> JSONObject:
    index = draw(few) if indexed else None
    call_id = draw(calls_ids)
    beside = {} if call_id is None and draw(st.booleans()) else {"id": call_id}
    kind = draw(some(["function", "function", "code_interpreter", "file_search"]))
    payload: Any = None
    if kind == "function":
        payload = {"name": draw(strings), "arguments": draw(strings), "output": draw(strings)}
    elif kind == "code_interpreter":
        outputs = st.none() | st.lists(output_pieces(indexed=indexed), max_size=2)
        payload = {"input": draw(strings), "outputs": draw(outputs)}
    elif draw(st.booleans()):
        options = {"ranker": draw(strings), "score_threshold": draw(st.none() | some([0.5, 1.0]))}
        payload = {"ranking_options": options}
    dropped = draw(st.sets(some(sorted(payload)), max_size=2)) if payload else set[str]()
    if payload:
        payload = {name: value for name, value in payload.items() if name not in dropped}
    return placed(index, kind, **beside, **{kind: payload})


@st.composite
def output_pieces(draw: st.DrawFn, *, indexed: bool) -> JSONObject:
    index = draw(few) if indexed else None
    if draw(st.booleans()):
        return placed(index, "logs", logs=draw(strings))
    return placed(index, "image", image={"file_id": draw(strings)})


@st.composite
def content_pieces(draw: st.DrawFn, *, indexed: bool) -> JSONObject:
    index = draw(few) if indexed else None
    kind = draw(some(["text", "text", "refusal", "image_file", "image_url"]))
    if kind == "text":
        notes = draw(st.none() | st.lists(note_pieces(indexed=indexed), max_size=2))
        return placed(index, "text", text={"value": draw(strings), "annotations": notes})
    if kind == "refusal":
        return placed(index, "refusal", refusal=draw(strings))
    name = {"image_file": "file_id", "image_url": "url"}[kind]
    return placed(index, kind, **{kind: {name: draw(strings), "detail": draw(strings)}})


@st.composite
def note_pieces(draw: st.DrawFn, *, indexed: bool) -> JSONObject:
    kind = draw(some(["file_citation", "file_path"]))
    offsets = {"start_index": draw(st.none() | few), "end_index": draw(st.none() | few)}
    index = draw(few) if indexed else None
    return placed(index, kind, text=draw(strings), **offsets, **{kind: {"file_id": draw(strings)}})


def without_index(value: Any) -> Any:
    """A piece as a whole object would have it: no index, and no null where none can stand."""
    if isinstance(value, dict):
        return {
            name: without_index(item)
            for name, item in value.items()
            if name != "index" and item is not None
        }
    return [without_index(item) for item in value] if isinstance(value, list) else value


def with_one_id_each(wholes: list[JSONObject]) -> list[JSONObject]:
    """The calls without ids that another one has: which of two is meant, nobody could tell."""
    ids = [whole.get("id") for whole in wholes]
    return [
        {name: value for name, value in whole.items() if name != "id" or value not in ids[:place]}
        for place, whole in enumerate(wholes)
    ]


def assert_steps_agree(folded: Accumulator, folders: dict[str, SlowFolder]) -> None:
    assert [made.id for made in folded.steps] == list(folders)
    for made in folded.steps:
        details = to_dict(made.step_details) or {}
        assert said(details.get("tool_calls", [])) == folders[made.id].listed()
        assert made.status == folders[made.id].status


def assert_messages_agree(folded: Accumulator, folders: dict[str, SlowFolder]) -> None:
    assert [made.id for made in folded.messages] == list(folders)
    for made in folded.messages:
        assert said(to_dict(made.content)) == folders[made.id].listed()
        assert made.status == folders[made.id].status
