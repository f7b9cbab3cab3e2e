"""Example values of JSON schemas."""

from __future__ import annotations

from typing import Any

import pytest

from asyncruns.emulator.schemas import example

NODE = {
    "type": "object",
    "properties": {"next": {"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]}},
    "required": ["next"],
}


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({}, "text"),
        ({"type": "object"}, {}),
        ({"properties": {"a": {}}}, {"a": "a"}),
        ({"type": "object", "required": ["a"]}, {"a": "a"}),
        ({"const": None, "type": "string"}, None),
        ({"enum": ["b", "a"]}, "b"),
        ({"type": "integer", "default": 7}, 7),
        ({"type": ["null", "boolean"]}, True),
        ({"type": ["null"]}, None),
        ({"type": "null"}, None),
        ({"type": "string", "minLength": 6}, "textxx"),
        ({"type": "string", "maxLength": 2}, "te"),
        ({"type": "string", "format": "date-time"}, "2025-06-15T12:00:00Z"),
        ({"type": "string", "format": "odd"}, "text"),
        ({"type": "integer"}, 1),
        ({"type": "integer", "minimum": 5}, 5),
        ({"type": "integer", "maximum": -5}, -5),
        ({"type": "integer", "exclusiveMinimum": 5}, 6),
        ({"type": "integer", "exclusiveMaximum": 0}, -1),
        ({"type": "integer", "multipleOf": 5}, 5),
        ({"type": "integer", "minimum": 7, "multipleOf": 5}, 10),
        ({"type": "integer", "maximum": 4, "multipleOf": 5}, 0),
        ({"type": "number"}, 1.5),
        ({"type": "number", "minimum": 2}, 2.5),
        ({"type": "number", "exclusiveMaximum": 1}, 0.5),
        ({"type": "number", "minimum": 0, "exclusiveMaximum": 1}, 0.5),
        ({"type": "number", "multipleOf": 0.5, "minimum": 0, "maximum": 0.7}, 0.5),
        ({"type": "array", "items": {"type": "integer"}}, [1]),
        ({"type": "array", "items": {"type": "integer"}, "minItems": 3}, [1, 1, 1]),
        ({"type": "array", "maxItems": 0}, []),
        ({"type": "array", "prefixItems": [{"const": 1}, {"type": "boolean"}]}, [1, True]),
        ({"anyOf": [{"type": "null"}, {"type": "integer"}]}, 1),
        ({"oneOf": [{"const": 1}, {"const": 2}]}, 1),
        (
            {"allOf": [{"$ref": "#/$defs/A"}, {"required": ["b"]}], "$defs": {"A": {"required": ["a"], "type": "object"}}},
            {"a": "a", "b": "b"},
        ),
        ({"allOf": [{"properties": {"a": {"const": 1}}}, {"properties": {"b": {"const": 2}}}]}, {"a": 1, "b": 2}),
        ({"$ref": "#/$defs/a~1b~0", "$defs": {"a/b~": {"const": 1}}}, 1),
        ({"$ref": "#/$defs/missing"}, "text"),
        ({"$ref": "#/$defs/Node", "$defs": {"Node": NODE}}, {"next": None}),
        ({"type": "object", "properties": {"self": {"$ref": "#"}, "a": {"const": 1}}}, {"self": {"a": 1}, "a": 1}),
        ({"type": "array", "items": {"$ref": "#"}}, [[]]),
        ({"type": "object", "properties": {"self": {"$ref": "#"}}, "required": ["self"]}, {}),
        ({"type": "object", "properties": {"a": True}}, {"a": "a"}),
    ],
)  # fmt: skip
def test_an_example_is_what_its_schema_allows(schema: dict[str, Any], expected: Any) -> None:
    assert example(schema) == expected
