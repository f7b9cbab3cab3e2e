"""What every model shares: struct settings, the raw JSON beside an answer, unknown variants."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any, Final, Self, TypeVar

import msgspec

__all__ = [
    "Answer",
    "Model",
    "RequestModel",
    "Timestamp",
    "Unknown",
    "remember",
    "to_json",
]

Timestamp = int | float
"""Seconds since the Unix epoch; some servers send fractions."""

UNKNOWN_TAG: Final = "asyncruns.unknown"
"""The reserved `type` under which the lenient decode files a variant that has no struct here."""


class Model(msgspec.Struct, kw_only=True, gc=False):
    """An object of the API.

    Decoding ignores unknown fields; constructors do not validate. A model holds a tree, never a
    cycle, so the garbage collector need not look at it.
    """


class RequestModel(Model, kw_only=True, omit_defaults=True):
    """A model that callers send, too: what they did not set is left out of the body."""


class Answer:
    """A mixin for objects that are an answer, or an item of one: what came beside the fields.

    Both attributes stand outside equality, `repr` and encoding; copies and pickles keep them.
    Stands before Model among the bases, whose ways to copy know the fields only.
    """

    __slots__ = ("_raw", "_request_id")

    _raw: bytes | None
    _request_id: str | None

    @property
    def raw(self) -> bytes | None:
        """The object's JSON as the server sent it; None where this library put it together."""
        return getattr(self, "_raw", None)

    @property
    def request_id(self) -> str | None:
        """The `x-request-id` of the answer that carried it; None where there was none."""
        return getattr(self, "_request_id", None)

    def __copy__(self) -> Self:
        twin: Self = super().__copy__()  # type: ignore[misc]  # a Struct's own
        return remember(twin, self.raw, self.request_id)

    def __reduce__(self) -> tuple[Any, ...]:
        made = super().__reduce__()
        assert isinstance(made, tuple)  # noqa: S101 -- a Struct's own
        return *made, (self.raw, self.request_id)

    def __setstate__(self, beside: tuple[bytes | None, str | None]) -> None:
        remember(self, *beside)


AnswerT = TypeVar("AnswerT", bound=Answer)


def remember(answer: AnswerT, raw: bytes | None, request_id: str | None = None) -> AnswerT:
    """Put beside an object what it was decoded from, and give the object."""
    answer._raw = raw  # noqa: SLF001 -- the one place that sets what Answer shows
    answer._request_id = request_id  # noqa: SLF001 -- the same
    return answer


class Unknown(Model, kw_only=True, tag_field="type", tag=UNKNOWN_TAG):
    """A variant of a union that this library has no struct for, kept whole.

    Each union has a subclass of its own, so that a `match` over the union stays exact.
    """

    unknown_type: str
    """The `type` that the server sent; empty where it sent none."""
    id: str | None = None
    """The variant's `id`; None where it has none."""
    index: int | None = None
    """The variant's `index` in a delta; None where it has none."""
    raw: bytes
    """The variant's JSON."""

    @property
    def type(self) -> str:
        """The `type` that the server sent."""
        return self.unknown_type

    @property
    def value(self) -> dict[str, Any]:
        """The variant's JSON, decoded afresh at each read."""
        decoded: dict[str, Any] = msgspec.json.decode(self.raw)
        return decoded


_AS_SENT: Final = (Answer, Unknown)
"""What holds the JSON that the server sent."""


def to_json(obj: object) -> bytes:
    """Give an object as JSON: what the server sent where `raw` is there, else the known fields.

    Takes every model, and any mapping or iterable of them. Raises TypeError for other things
    that JSON cannot hold.
    """
    return msgspec.json.encode(_as_sent(obj))


def _as_sent(value: Any) -> Any:
    """The value with JSON in the place of every model: the server's own where it is there."""
    if isinstance(value, str):
        # A str of a class of its own is text, too, but for an Enum, which stands for its value.
        return value if isinstance(value, Enum) else str.__str__(value)
    if isinstance(value, _AS_SENT) and value.raw is not None:
        return msgspec.Raw(value.raw)
    if isinstance(value, msgspec.Struct):
        return _fields_as_sent(value)
    if isinstance(value, Mapping):
        return {name: _as_sent(item) for name, item in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, bytes | bytearray | memoryview):
        return [_as_sent(item) for item in value]
    return value


def _fields_as_sent(model: msgspec.Struct) -> Any:
    encoded = msgspec.json.encode(model)
    if UNKNOWN_TAG.encode() not in encoded:
        return msgspec.Raw(encoded)
    plain = msgspec.to_builtins(model, builtin_types=(bytes,))
    return {name: _as_sent(getattr(model, name)) for name in plain}
