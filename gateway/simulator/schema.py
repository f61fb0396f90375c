"""A value that fits a JSON Schema: arguments of tool calls, structured answers.

Covers what structured outputs of real providers accept: objects, arrays, strings with formats, numbers with bounds,
enum, const, anyOf, oneOf, allOf, references into the schema itself. Patterns are not honoured.
"""

from __future__ import annotations

import math
from random import Random
from typing import Any

_DEEP = 6
"""From this depth on, optional parts are left out, so that recursive schemas end."""
_TOO_DEEP = 40
_WORDS = (
    "alpha",
    "river",
    "market",
    "summary",
    "north",
    "report",
    "signal",
    "garden",
    "budget",
    "violet",
    "harbour",
    "answer",
)
_FORMATS = {
    "date": "2026-03-14",
    "date-time": "2026-03-14T09:26:53Z",
    "time": "09:26:53Z",
    "duration": "PT15M",
    "email": "ada@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.7",
    "ipv6": "2001:db8::7",
    "uri": "https://example.com/path",
    "uuid": "3f2b8f3e-6f0a-4d5c-9b1e-2a7c4d5e6f70",
}


class SchemaFiller:
    """Fills a schema with seeded values."""

    def __init__(self, root: dict[str, Any], dice: Random) -> None:
        self._root = root
        self._dice = dice

    def fill(self) -> Any:
        """A value that fits the whole schema."""
        return self._value(self._root, 0)

    def _value(self, schema: Any, depth: int) -> Any:  # noqa: PLR0911 - one return per kind of schema
        if not isinstance(schema, dict) or depth > _TOO_DEEP:
            return None
        if "$ref" in schema:
            return self._value(self._resolve(schema["$ref"]), depth + 1)
        if "const" in schema:
            return schema["const"]
        if isinstance(schema.get("enum"), list) and schema["enum"]:
            return self._dice.choice(schema["enum"])
        for key in ("anyOf", "oneOf"):
            if isinstance(schema.get(key), list) and schema[key]:
                return self._value(self._branch(schema[key], depth), depth + 1)
        if isinstance(schema.get("allOf"), list):
            return self._value(self._merged(schema), depth + 1)
        kind = schema.get("type")
        if isinstance(kind, list):
            kind = self._dice.choice([k for k in kind if k != "null"] or ["null"])
        if kind is None:
            kind = "object" if "properties" in schema else "array" if "items" in schema else "string"
        return self._of_kind(str(kind), schema, depth)

    def _of_kind(self, kind: str, schema: dict[str, Any], depth: int) -> Any:
        if kind == "object":
            return self._object(schema, depth)
        if kind == "array":
            return self._array(schema, depth)
        if kind == "string":
            return self._string(schema)
        if kind in {"integer", "number"}:
            return self._number(schema, whole=kind == "integer")
        if kind == "boolean":
            return self._dice.random() < 0.5
        return None

    def _resolve(self, reference: Any) -> Any:
        found: Any = self._root
        for part in str(reference).lstrip("#").strip("/").split("/"):
            if part:
                found = found.get(part.replace("~1", "/").replace("~0", "~")) if isinstance(found, dict) else None
        return found

    def _branch(self, branches: list[Any], depth: int) -> Any:
        """One alternative; deep down one that ends the recursion if there is any."""
        if depth >= _DEEP:
            flat = [b for b in branches if isinstance(b, dict) and b.get("type") not in {None, "object", "array"}]
            return (flat or branches)[0]
        return self._dice.choice(branches)

    def _merged(self, schema: dict[str, Any]) -> dict[str, Any]:
        merged: dict[str, Any] = {key: value for key, value in schema.items() if key != "allOf"}
        for part in schema["allOf"]:
            resolved = self._resolve(part["$ref"]) if isinstance(part, dict) and "$ref" in part else part
            for key, value in (resolved if isinstance(resolved, dict) else {}).items():
                if key == "properties":
                    merged[key] = {**merged.get(key, {}), **value}
                elif key == "required":
                    merged[key] = [*merged.get(key, []), *value]
                else:
                    merged.setdefault(key, value)
        return merged

    def _object(self, schema: dict[str, Any], depth: int) -> dict[str, Any]:
        properties = schema.get("properties")
        required = schema.get("required") or ()
        value: dict[str, Any] = {}
        for name, sub in (properties if isinstance(properties, dict) else {}).items():
            if name in required or (depth < _DEEP and self._dice.random() < 0.5):
                value[name] = self._value(sub, depth + 1)
        for name in required:
            value.setdefault(name, self._string({}))
        return value

    def _array(self, schema: dict[str, Any], depth: int) -> list[Any]:
        least = int(schema.get("minItems") or 0)
        most = int(schema.get("maxItems", max(least, 3)))
        count = (
            least if depth >= _DEEP else self._dice.randint(max(least, min(1, most)), max(least, min(most, least + 3)))
        )
        return [self._value(schema.get("items", {}), depth + 1) for _ in range(count)]

    def _string(self, schema: dict[str, Any]) -> str:
        if schema.get("format") in _FORMATS:
            return _FORMATS[schema["format"]]
        text = " ".join(self._dice.choice(_WORDS) for _ in range(self._dice.randint(1, 3)))
        while len(text) < int(schema.get("minLength") or 0):
            text += " " + self._dice.choice(_WORDS)
        return text[: schema.get("maxLength")]

    def _number(self, schema: dict[str, Any], *, whole: bool) -> int | float:
        least = schema.get("minimum", schema.get("exclusiveMinimum"))
        most = schema.get("maximum", schema.get("exclusiveMaximum"))
        if least is None:
            least = 0 if most is None else most - 100
        if most is None:
            most = least + 100
        step = schema.get("multipleOf")
        if whole or step:
            step = step or 1
            first = math.floor(least / step) + 1 if "exclusiveMinimum" in schema else math.ceil(least / step)
            last = math.ceil(most / step) - 1 if "exclusiveMaximum" in schema else math.floor(most / step)
            drawn: int | float = self._dice.randint(first, max(first, last)) * step
            return int(drawn) if whole else drawn
        return round(least + (most - least) * self._dice.uniform(0.25, 0.75), 6)
