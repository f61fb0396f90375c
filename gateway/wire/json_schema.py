"""Whether a value fits a JSON schema, as far as providers take schemas for structured outputs and tools. Pure.

https://json-schema.org/draft/2020-12: types, enums, properties, items, bounds, combinations and references within the
document. What is not known here (formats, patterns, conditionals) counts as fulfilled: an answer is turned down only
for what is certainly wrong. Work is bounded, because schemas come from clients and values from models.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

MAX_STEPS: Final = 100_000
"""So many comparisons, and the rest counts as fulfilled."""
MAX_DEPTH: Final = 64

_TYPES: Final[dict[str, Callable[[Any], bool]]] = {
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "integer": lambda value: not isinstance(value, bool) and (isinstance(value, int) or _is_whole(value)),
}


def fits(value: Any, schema: Any) -> bool:
    """Whether a decoded JSON value fits a decoded schema."""
    return _Check(schema).fits(value, schema, 0)


def _is_whole(value: Any) -> bool:
    return isinstance(value, float) and value.is_integer()


class _Check:
    """One check of one value."""

    def __init__(self, root: Any) -> None:
        self._root = root
        self._steps = 0

    def fits(self, value: Any, schema: Any, depth: int) -> bool:
        self._steps += 1
        if isinstance(schema, bool):
            return schema
        if not isinstance(schema, dict) or depth > MAX_DEPTH or self._steps > MAX_STEPS:
            return True
        depth += 1
        reference = schema.get("$ref")
        if isinstance(reference, str) and not self.fits(value, self._resolve(reference), depth):
            return False
        return (
            _has_type(value, schema)
            and _is_allowed(value, schema)
            and self._combines(value, schema, depth)
            and (not isinstance(value, dict) or self._object(value, schema, depth))
            and (not isinstance(value, list) or self._array(value, schema, depth))
        )

    def _resolve(self, reference: str) -> Any:
        """What a reference within the document stands for; anything fits another one."""
        if not reference.startswith("#"):
            return True
        found = self._root
        for part in filter(None, reference[1:].split("/")):
            if not isinstance(found, dict):
                return True
            found = found.get(part.replace("~1", "/").replace("~0", "~"), True)
        return found

    def _combines(self, value: Any, schema: dict[str, Any], depth: int) -> bool:
        for word, enough in (("anyOf", any), ("allOf", all)):
            options = schema.get(word)
            if isinstance(options, list) and options and not enough(self.fits(value, each, depth) for each in options):
                return False
        options = schema.get("oneOf")
        if isinstance(options, list) and options:
            return sum(self.fits(value, each, depth) for each in options) == 1
        return True

    def _object(self, value: dict[str, Any], schema: dict[str, Any], depth: int) -> bool:
        properties = schema.get("properties")
        known = properties if isinstance(properties, dict) else {}
        required = schema.get("required")
        if isinstance(required, list) and any(isinstance(name, str) and name not in value for name in required):
            return False
        others = True if "patternProperties" in schema else schema.get("additionalProperties", True)
        return all(self.fits(each, known.get(name, others), depth) for name, each in value.items())

    def _array(self, value: list[Any], schema: dict[str, Any], depth: int) -> bool:
        if not _within(len(value), schema, "minItems", "maxItems"):
            return False
        first = schema.get("prefixItems")
        first = first if isinstance(first, list) else []
        rest = schema.get("items", True)
        return all(
            self.fits(each, first[place] if place < len(first) else rest, depth) for place, each in enumerate(value)
        )


def _has_type(value: Any, schema: dict[str, Any]) -> bool:
    named = schema.get("type")
    names = named if isinstance(named, list) else [named]
    tests = [_TYPES[name] for name in names if isinstance(name, str) and name in _TYPES]
    return len(tests) < len(names) or any(test(value) for test in tests)


def _is_allowed(value: Any, schema: dict[str, Any]) -> bool:
    options = schema.get("enum")
    if isinstance(options, list) and not any(_same(value, each) for each in options):
        return False
    if "const" in schema and not _same(value, schema["const"]):
        return False
    if isinstance(value, str):
        return _within(len(value), schema, "minLength", "maxLength")
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _within(value, schema, "minimum", "maximum")
    return True


def _same(value: Any, other: Any) -> bool:
    return bool(value == other) and isinstance(value, bool) == isinstance(other, bool)


def _within(size: float, schema: dict[str, Any], least: str, most: str) -> bool:
    low, high = schema.get(least), schema.get(most)
    if isinstance(low, int | float) and size < low:
        return False
    return not (isinstance(high, int | float) and size > high)
