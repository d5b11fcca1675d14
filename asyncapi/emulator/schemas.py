"""A valid value made from a JSON Schema, the same one each time."""

import math
from collections.abc import Sequence
from typing import Any

from asyncapi.emulator.exchange import Json

_DEEPEST = 5
_FORMATS = {
    "date": "2026-01-31",
    "date-time": "2026-01-31T12:00:00Z",
    "time": "12:00:00Z",
    "duration": "PT1H",
    "email": "someone@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/",
    "uuid": "6f1c1f0e-3c5f-4d0b-9a38-0d6f5f0a1b2c",
}


def instance(schema: Any, text: str) -> Any:
    """A value that satisfies the schema.

    Understands type, enum, const, objects, arrays, bounds, formats, anyOf, oneOf, allOf and local ``$ref``;
    not ``pattern``, ``not`` and ``uniqueItems``.

    Args:
        schema: A JSON Schema, as parsed JSON.
        text: What strings without further constraints say.
    """
    return _value(schema, schema, text, 0)


def _value(schema: Any, root: Any, text: str, depth: int) -> Any:
    schema = _resolved(schema, root)
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0]
    kind = _kind(schema)
    if kind == "object":
        return _object(schema, root, text, depth)
    if kind == "array":
        return _array(schema, root, text, depth)
    if kind == "string":
        return _string(schema, text)
    if kind in ("integer", "number"):
        return _number(schema, kind == "integer")
    return True if kind == "boolean" else None


def _resolved(schema: Any, root: Any) -> Json:
    """The schema with references followed, branches chosen and allOf merged."""
    if not isinstance(schema, dict):
        return {"type": "string"} if schema is True else {}
    if "$ref" in schema:
        return _resolved(_referenced(schema["$ref"], root), root)
    for word in ("anyOf", "oneOf"):
        if schema.get(word):
            return _resolved(_merged([{k: v for k, v in schema.items() if k != word}, schema[word][0]]), root)
    if schema.get("allOf"):
        rest = {k: v for k, v in schema.items() if k != "allOf"}
        return _resolved(_merged([rest, *(_resolved(part, root) for part in schema["allOf"])]), root)
    return schema


def _referenced(reference: str, root: Any) -> Any:
    node = root
    for part in reference.removeprefix("#").strip("/").split("/"):
        name = part.replace("~1", "/").replace("~0", "~")
        node = node.get(name, {}) if name else node
    return node


def _merged(parts: Sequence[Json]) -> Json:
    merged: Json = {}
    for part in parts:
        for word, value in part.items():
            if word == "properties":
                value = {**merged.get(word, {}), **value}
            elif word == "required":
                value = [*merged.get(word, []), *value]
            merged[word] = value
    return merged


def _kind(schema: Json) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((name for name in kind if name != "null"), "null")
    if kind is None:
        kind = "object" if "properties" in schema else "array" if "items" in schema else "string"
    return str(kind)


def _object(schema: Json, root: Any, text: str, depth: int) -> Json:
    properties = schema.get("properties") or {}
    required = schema.get("required") or []
    # Optional properties are left out in the depth, which ends recursive schemas.
    names = list(properties) if depth < _DEEPEST else [name for name in properties if name in required]
    value = {name: _value(properties[name], root, text, depth + 1) for name in names}
    extra = schema.get("additionalProperties")
    for name in required:
        if name not in value:
            value[name] = _value(extra if isinstance(extra, dict) else True, root, text, depth + 1)
    return value


def _array(schema: Json, root: Any, text: str, depth: int) -> list[Any]:
    first = schema.get("prefixItems") or []
    value = [_value(item, root, text, depth + 1) for item in first]
    fewest = schema.get("minItems", 0)
    wanted = max(fewest, 1 if depth < _DEEPEST and "items" in schema and not first else 0)
    most = schema.get("maxItems", wanted)
    while len(value) < min(wanted, most):
        value.append(_value(schema.get("items", True), root, text, depth + 1))
    return value


def _string(schema: Json, text: str) -> str:
    value = _FORMATS.get(schema.get("format", ""), text)
    value = value.ljust(schema.get("minLength", 0), "x")
    return value[: schema["maxLength"]] if "maxLength" in schema else value


def _number(schema: Json, whole: bool) -> float:
    """The first of a few likely numbers that every bound allows."""
    low = schema.get("minimum", schema.get("exclusiveMinimum"))
    high = schema.get("maximum", schema.get("exclusiveMaximum"))
    grid = schema.get("multipleOf") or 1
    likely: list[float] = [1, grid]
    if low is not None:
        first = math.ceil(low / grid) * grid
        likely += [low, first, first + grid]
    if high is not None:
        last = math.floor(high / grid) * grid
        likely += [high, last, last - grid]
    if low is not None and high is not None:
        likely.append((low + high) / 2)
    value = next((number for number in likely if _allowed(number, schema, whole)), 1)
    return int(value) if whole else value


def _allowed(number: float, schema: Json, whole: bool) -> bool:
    return (
        number >= schema.get("minimum", number)
        and number <= schema.get("maximum", number)
        and number > schema.get("exclusiveMinimum", -math.inf)
        and number < schema.get("exclusiveMaximum", math.inf)
        and (not whole or number == int(number))
        and math.isclose(math.remainder(number, schema.get("multipleOf") or number or 1), 0, abs_tol=1e-9)
    )
