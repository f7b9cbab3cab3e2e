"""JSON to models: the typed decode, and the lenient one that runs only where it failed.

The lenient decode works on the JSON's text, guided by the target type, and changes three things:

- a member of a union whose `type` no struct has becomes the union's `Unknown…` struct;
- a null where the type has no None is dropped, so that the field takes its default;
- invalid UTF-8 and lone surrogates become U+FFFD.

Then the typed decode runs again and has the last word.
"""

from __future__ import annotations

import re
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

import msgspec
from msgspec import Raw, inspect

from asyncruns.models._base import UNKNOWN_TAG, to_json

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["DECODE_FAILURES", "ObjectDecoder", "decode_json", "to_dict"]

T = TypeVar("T")

DECODE_FAILURES: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""Everything that a decode of foreign bytes can raise."""

_decode_members: Final = msgspec.json.Decoder(dict[str, Raw]).decode
_decode_items: Final = msgspec.json.Decoder(list[Raw]).decode
_decode_any: Final = msgspec.json.Decoder().decode

_NOTHING: Final = Raw(b"")
_NO_TYPE: Final = Raw(b"null")

_HEX: Final = rb"[0-9a-fA-F]"
_SURROGATES: Final = (
    rb"(?s)\\(?:(u[dD][89abAB]%b{2}\\u[dD][c-fC-F]%b{2})|(u[dD][89a-fA-F]%b{2})|.)" % ((_HEX,) * 3)
)


class ObjectDecoder(Generic[T]):
    """Decodes JSON to one type; costs what msgspec costs unless the typed decode fails.

    Calling it raises ValueError, with the reason, for what is not JSON or not of the type. Making
    one costs nothing: msgspec's decoder, which takes up to 2 ms, is made when it is first used.
    """

    def __init__(self, kind: Any) -> None:
        self._kind = kind

    @cached_property
    def strict(self) -> Callable[[bytes], T]:
        """The typed decode alone; raises what msgspec raises."""
        return msgspec.json.Decoder(self._kind).decode

    def __call__(self, raw: bytes) -> T:
        try:
            return self.strict(raw)
        except DECODE_FAILURES:
            return self.lenient(raw)

    def lenient(self, raw: bytes) -> T:
        """Decode what the typed decode refused; raises ValueError where that cannot be done."""
        try:
            return self.strict(_relaxed(_readable(raw), _shape(self._kind)))
        except DECODE_FAILURES as exc:
            raise ValueError(str(exc)) from exc


def decode_json(raw: bytes) -> Any:
    """Decode any JSON to dicts, lists, strings and numbers; raises ValueError with the reason."""
    try:
        return _decode_any(_readable(raw))
    except DECODE_FAILURES as exc:
        raise ValueError(str(exc)) from exc


def to_dict(obj: object) -> Any:
    """Give an object as dicts, lists, strings and numbers: `to_json`, decoded."""
    return decode_json(to_json(obj))


def _readable(raw: bytes) -> bytes:
    """The JSON with everything that is no valid text replaced by U+FFFD."""
    text = raw.decode("utf-8", "replace").encode()
    return re.sub(_SURROGATES, lambda escape: rb"\ufffd" if escape[2] else escape[0], text)


@cache
def _shape(kind: Any) -> inspect.Type:
    return inspect.type_info(kind)


def _relaxed(raw: bytes, shape: inspect.Type) -> bytes:
    """The JSON as the typed decode takes it; unchanged where the shape says nothing about it."""
    match raw.lstrip()[:1], shape:
        case b"{", inspect.StructType():
            return _relaxed_object(raw, shape)
        case b"{", inspect.UnionType():
            return _relaxed_variant(raw, shape)
        case b"[", inspect.ListType():
            items = [Raw(_relaxed(bytes(item), shape.item_type)) for item in _decode_items(raw)]
            return msgspec.json.encode(items)
        case b"[", inspect.UnionType():
            lists = [member for member in shape.types if isinstance(member, inspect.ListType)]
            return _relaxed(raw, lists[0]) if lists else raw
        case _:
            return raw


def _relaxed_object(raw: bytes, shape: inspect.StructType) -> bytes:
    members = _decode_members(raw)
    for field in shape.fields:
        value = members.get(field.encode_name)
        if value is None:
            continue
        if bytes(value) == b"null" and not field.required and not _takes_null(field.type):
            del members[field.encode_name]
        else:
            members[field.encode_name] = Raw(_relaxed(bytes(value), field.type))
    return msgspec.json.encode(members)


def _relaxed_variant(raw: bytes, shape: inspect.UnionType) -> bytes:
    structs = {t.tag: t for t in shape.types if isinstance(t, inspect.StructType)}
    if UNKNOWN_TAG not in structs:
        return _relaxed(raw, next(iter(structs.values()))) if len(structs) == 1 else raw
    members = _decode_members(raw)
    sent = _decode_any(members.get("type", _NO_TYPE))
    tag = sent if isinstance(sent, str) else ""
    if tag in structs and tag != UNKNOWN_TAG:
        return _relaxed_object(raw, structs[tag])
    unknown: dict[str, Any] = {"type": UNKNOWN_TAG, "unknown_type": tag, "raw": raw}
    if (part_id := bytes(members.get("id", _NOTHING))).startswith(b'"'):
        unknown["id"] = Raw(part_id)
    if (index := bytes(members.get("index", _NOTHING))).removeprefix(b"-").isdigit():
        unknown["index"] = Raw(index)
    return msgspec.json.encode(unknown)


def _takes_null(shape: inspect.Type) -> bool:
    if isinstance(shape, inspect.UnionType):
        return shape.includes_none
    return isinstance(shape, inspect.NoneType | inspect.AnyType | inspect.RawType)
