"""JSON schemas to example values: always the same one for a schema, and one that it allows."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from asyncruns.emulator.records import Json

IMPOSSIBLE = object()
"""In place of a value: the schema needs itself again, so that no finite value fits this way."""

STRINGS = {
    "date": "2025-06-15",
    "date-time": "2025-06-15T12:00:00Z",
    "duration": "P1D",
    "email": "user@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "time": "12:00:00Z",
    "uri": "https://example.com/",
    "uuid": "123e4567-e89b-42d3-a456-426614174000",
}
"""What a string of a format looks like."""


def example(schema: Json) -> Any:
    """Return a value that the schema allows; `{}` where a schema has no finite value.

    Respected are const, enum, default, type, anyOf, oneOf, allOf, $ref, properties, required,
    items, prefixItems, the bounds of numbers, and the lengths and formats of strings. Patterns
    are not.
    """
    value = _Examples(schema).value(schema, "text")
    return {} if value is IMPOSSIBLE else value


class _Examples:
    """One root schema, its definitions, and the references that are being followed."""

    def __init__(self, root: Json) -> None:
        self._root = root
        self._following: list[str] = []

    def value(self, schema: Any, name: str) -> Any:
        """Return a value for a schema; `name` is what it is called where it stands."""
        if not isinstance(schema, dict):
            return name
        for key, build in _KEYWORDS.items():
            if key in schema:
                return build(self, schema, name)
        kind = self._kind(schema)
        return _TYPES.get(kind, _Examples.string)(self, schema, name)

    @staticmethod
    def _kind(schema: Json) -> str:
        kind = schema.get("type")
        if isinstance(kind, list):
            return next((one for one in kind if one != "null"), "null")
        if kind is None and "properties" in schema:
            return "object"
        return str(kind)

    def reference(self, schema: Json, name: str) -> Any:
        """Follow a $ref, but none that is being followed already."""
        pointer = schema["$ref"]
        if pointer in self._following:
            return IMPOSSIBLE
        self._following.append(pointer)
        try:
            return self.value(self._resolve(pointer), name)
        finally:
            self._following.pop()

    def _resolve(self, pointer: str) -> Any:
        target: Any = self._root
        for part in pointer.removeprefix("#").split("/")[1:]:
            key = part.replace("~1", "/").replace("~0", "~")
            target = target.get(key) if isinstance(target, dict) else None
        return target

    def first_possible(self, schema: Json, name: str) -> Any:
        """Take the first option that has a value, null last."""
        options = schema.get("anyOf") or schema.get("oneOf") or []
        ordered = sorted(options, key=lambda option: option == {"type": "null"})
        values = (self.value(option, name) for option in ordered)
        return next((value for value in values if value is not IMPOSSIBLE), IMPOSSIBLE)

    def merged(self, schema: Json, name: str) -> Any:
        """Put the parts of an allOf together."""
        merged: Json = {key: value for key, value in schema.items() if key != "allOf"}
        for part in schema["allOf"]:
            resolved = self._resolve(part["$ref"]) if "$ref" in part else part
            for key, value in resolved.items():
                merged[key] = _both(merged.get(key), value)
        return self.value(merged, name)

    def object(self, schema: Json, _name: str) -> Any:
        """Fill in every property that has a value, and all that are required."""
        required = schema.get("required", [])
        made: Json = {}
        for key, property_ in schema.get("properties", {}).items():
            value = self.value(property_, key)
            if value is not IMPOSSIBLE:
                made[key] = value
            elif key in required:
                return IMPOSSIBLE
        return {**{key: key for key in required}, **made}

    def array(self, schema: Json, name: str) -> Any:
        """Take one item, or as many as the bounds ask for."""
        first = [self.value(one, name) for one in schema.get("prefixItems", [])]
        wanted = max(schema.get("minItems", 0), 0 if first else 1)
        wanted = min(wanted, schema.get("maxItems", wanted))
        item = self.value(schema.get("items", {}), name)
        if item is IMPOSSIBLE:
            return first if schema.get("minItems", 0) <= len(first) else IMPOSSIBLE
        return first + [item] * (wanted - len(first))

    def string(self, schema: Json, name: str) -> str:
        """Look like the format, or take the name in a fitting length."""
        if schema.get("format") in STRINGS:
            return STRINGS[schema["format"]]
        padded = name.ljust(schema.get("minLength", 0), "x")
        return padded[: schema.get("maxLength", len(padded))]

    def integer(self, schema: Json, _name: str) -> int:
        """Stay within the bounds, near 1."""
        low = max(schema.get("minimum", -math.inf), schema.get("exclusiveMinimum", -math.inf) + 1)
        high = min(schema.get("maximum", math.inf), schema.get("exclusiveMaximum", math.inf) - 1)
        return int(_multiple(min(max(1, low), high), high, schema.get("multipleOf", 1)))

    def number(self, schema: Json, _name: str) -> float:
        """Stay within the bounds: in the middle, or near 1.5."""
        low = _bound(schema, ("minimum", "exclusiveMinimum"), -math.inf)
        high = _bound(schema, ("maximum", "exclusiveMaximum"), math.inf)
        value = (low + high) / 2 if math.isfinite(low + high) else _beside(low, high)
        return _multiple(value, high, schema["multipleOf"]) if "multipleOf" in schema else value


_KEYWORDS: Mapping[str, Callable[[_Examples, Json, str], Any]] = {
    "const": lambda _, schema, _name: schema["const"],
    "default": lambda _, schema, _name: schema["default"],
    "enum": lambda _, schema, _name: schema["enum"][0],
    "$ref": _Examples.reference,
    "anyOf": _Examples.first_possible,
    "oneOf": _Examples.first_possible,
    "allOf": _Examples.merged,
}
_TYPES: Mapping[str, Callable[[_Examples, Json, str], Any]] = {
    "object": _Examples.object,
    "array": _Examples.array,
    "string": _Examples.string,
    "integer": _Examples.integer,
    "number": _Examples.number,
    "boolean": lambda _, _schema, _name: True,
    "null": lambda _, _schema, _name: None,
}


def _both(one: Any, other: Any) -> Any:
    """Return what two parts of an allOf say about the same keyword, put together."""
    if isinstance(one, dict) and isinstance(other, dict):
        return {**one, **other}
    if isinstance(one, list) and isinstance(other, list):
        return one + [item for item in other if item not in one]
    return other


def _bound(schema: Json, keys: tuple[str, str], default: float) -> float:
    return next((schema[key] for key in keys if key in schema), default)


def _beside(low: float, high: float) -> float:
    """Return a number above or below the one bound that there is, near 1.5."""
    return max(1.5, low + 0.5) if math.isinf(high) else min(1.5, high - 0.5)


def _multiple(value: float, high: float, step: float) -> float:
    """Return a multiple of `step` next to the value, the one above unless that is too high."""
    above = math.ceil(value / step) * step
    return above if above <= high else math.floor(value / step) * step
