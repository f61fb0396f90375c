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
_MOST_VALUES = 10_000
"""From so many values on, arrays end and optional parts are left out: a schema can ask for more than memory holds."""
_LONGEST_STRING = 10_000
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
        self._made = 0

    def fill(self) -> Any:
        """A value that fits the whole schema."""
        return self._value(self._root, 0)

    def _value(self, schema: Any, depth: int) -> Any:  # noqa: PLR0911 - one return per kind of schema
        self._made += 1
        if not isinstance(schema, dict) or depth > _TOO_DEEP or self._made > 2 * _MOST_VALUES:
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
                if key == "properties" and isinstance(value, dict):
                    merged[key] = {**_object_of(merged, key), **value}
                elif key == "required" and isinstance(value, list):
                    merged[key] = [*_names(merged), *value]
                else:
                    merged.setdefault(key, value)
        return merged

    def _object(self, schema: dict[str, Any], depth: int) -> dict[str, Any]:
        required = _names(schema)
        value: dict[str, Any] = {}
        for name, sub in _object_of(schema, "properties").items():
            if name in required or (self._roomy(depth) and self._dice.random() < 0.5):
                value[name] = self._value(sub, depth + 1)
        for name in required:
            value.setdefault(name, self._string({}))
        return value

    def _array(self, schema: dict[str, Any], depth: int) -> list[Any]:
        least = _count(schema, "minItems") or 0
        most = _count(schema, "maxItems")
        most = least + 3 if most is None else min(most, least + 3)
        count = self._dice.randint(max(least, min(1, most)), max(least, most)) if self._roomy(depth) else least
        values: list[Any] = []
        while len(values) < count and self._made < _MOST_VALUES:
            values.append(self._value(schema.get("items", {}), depth + 1))
        return values

    def _roomy(self, depth: int) -> bool:
        return depth < _DEEP and self._made < _MOST_VALUES

    def _string(self, schema: dict[str, Any]) -> str:
        if isinstance(schema.get("format"), str) and schema["format"] in _FORMATS:
            return _FORMATS[schema["format"]]
        text = " ".join(self._dice.choice(_WORDS) for _ in range(self._dice.randint(1, 3)))
        while len(text) < min(_count(schema, "minLength") or 0, _LONGEST_STRING):
            text += " " + self._dice.choice(_WORDS)
            self._made += 1
        return text[: _count(schema, "maxLength")]

    def _number(self, schema: dict[str, Any], *, whole: bool) -> int | float:
        above, below = _real(schema, "exclusiveMinimum"), _real(schema, "exclusiveMaximum")
        least, most = _real(schema, "minimum"), _real(schema, "maximum")
        least, most = above if least is None else least, below if most is None else most
        if least is None:
            least = 0 if most is None else most - 100
        if most is None:
            most = least + 100
        step = _real(schema, "multipleOf")
        if whole or (step is not None and step > 0):
            step = step if step is not None and step > 0 else 1
            first = math.ceil(least / step) + (above is not None and math.ceil(least / step) * step <= above)
            last = math.floor(most / step) - (below is not None and math.floor(most / step) * step >= below)
            drawn: int | float = self._dice.randint(first, max(first, last)) * step
            return int(drawn) if whole else drawn
        return least + (most - least) * self._dice.uniform(0.25, 0.75)


# A schema's keywords, read so that nonsense counts as absent.


def _object_of(schema: dict[str, Any], key: str) -> dict[str, Any]:
    value = schema.get(key)
    return value if isinstance(value, dict) else {}


def _names(schema: dict[str, Any]) -> list[str]:
    value = schema.get("required")
    return [name for name in value if isinstance(name, str)] if isinstance(value, list) else []


def _count(schema: dict[str, Any], key: str) -> int | None:
    value = schema.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _real(schema: dict[str, Any], key: str) -> int | float | None:
    value = schema.get(key)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None
