"""Instances made from JSON Schemas."""

from typing import Any

import pytest

from asyncapi.emulator.schemas import instance


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"const": 3}, 3),
        ({"enum": ["b", "a"]}, "b"),
        ({"type": "string"}, "text"),
        ({"type": "string", "minLength": 6}, "textxx"),
        ({"type": "string", "maxLength": 2}, "te"),
        ({"type": "string", "format": "date"}, "2026-01-31"),
        ({"type": "boolean"}, True),
        ({"type": "null"}, None),
        ({"type": ["null", "integer"]}, 1),
        ({"type": ["null"]}, None),
        ({"type": "integer"}, 1),
        ({"type": "integer", "minimum": 5}, 5),
        ({"type": "integer", "exclusiveMinimum": 5}, 6),
        ({"type": "integer", "maximum": -3}, -3),
        ({"type": "integer", "exclusiveMaximum": 0}, -1),
        ({"type": "integer", "minimum": 4, "multipleOf": 5}, 5),
        ({"type": "integer", "minimum": 1.5, "maximum": 2.5}, 2),
        ({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}, 0.5),
        ({"type": "number", "multipleOf": 0.5, "maximum": 0.7}, 0.5),
        ({"type": "integer", "minimum": 3, "maximum": 2}, 1),
        ({"type": "array", "items": {"type": "integer"}}, [1]),
        ({"items": {"type": "integer"}, "minItems": 2}, [1, 1]),
        ({"type": "array", "items": {}, "maxItems": 0}, []),
        ({"type": "array", "prefixItems": [{"const": 1}, {"const": "a"}]}, [1, "a"]),
        ({"anyOf": [{"type": "integer"}, {"type": "string"}]}, 1),
        ({"oneOf": [{"$ref": "#/$defs/a"}], "$defs": {"a": {"const": 9}}}, 9),
        ({"$ref": "#/$defs/a~1b", "$defs": {"a/b": {"const": 9}}}, 9),
        (
            {
                "allOf": [
                    {"properties": {"a": {"const": 1}}, "required": ["a"]},
                    {"properties": {"b": {"const": 2}}, "required": ["b"]},
                ]
            },
            {"a": 1, "b": 2},
        ),
        ({"type": "object", "required": ["x"]}, {"x": "text"}),
        ({"required": ["x"], "properties": {}, "additionalProperties": {"const": 1}}, {"x": 1}),
        (True, "text"),
        ({}, "text"),
    ],
)
def test_an_instance_satisfies_its_schema(schema: Any, value: Any) -> None:
    """The same value each time, and a valid one."""
    assert instance(schema, "text") == value


def test_recursive_schemas_end() -> None:
    """Optional branches are left out in the depth."""
    tree = {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "children": {"type": "array", "items": {"$ref": "#"}},
            "next": {"$ref": "#"},
        },
        "required": ["name"],
    }

    assert instance(tree, "text")["name"] == "text"
