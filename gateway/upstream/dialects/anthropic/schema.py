"""JSON Schemas for structured outputs, held to what Anthropic's grammar compiler takes.

It refuses objects that are open, bounds on numbers, lengths and most formats. As Anthropic's own SDKs do, what it does
not take is moved into the description, where the model still reads it; objects are closed.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

_FORMATS: Final = frozenset(
    ("date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid")
)
_KEPT: Final = frozenset(("$ref", "type", "title", "enum", "const", "required", "default"))
_MAX_DEPTH: Final = 64


def adapted(schema: msgspec.Raw) -> msgspec.Raw:
    """The schema as Anthropic takes it; as it is when it is no object, which the provider then judges."""
    read = msgspec.json.decode(schema)
    if not isinstance(read, dict):
        return schema
    return msgspec.Raw(msgspec.json.encode(_adapt(read, _MAX_DEPTH)))


def _adapt(schema: Any, depth: int) -> Any:
    if not isinstance(schema, dict) or not depth:
        return schema
    out: dict[str, Any] = {}
    moved: dict[str, Any] = {}
    for name, value in schema.items():
        if name in ("$defs", "definitions", "properties") and isinstance(value, dict):
            out[name] = {key: _adapt(each, depth - 1) for key, each in value.items()}
        elif name in ("anyOf", "oneOf", "allOf") and isinstance(value, list):
            out["anyOf" if name == "oneOf" else name] = [_adapt(each, depth - 1) for each in value]
        elif name == "items" and isinstance(value, dict):
            out[name] = _adapt(value, depth - 1)
        elif name in _KEPT or _is_taken(name, value):
            out[name] = value
        elif name not in ("description", "additionalProperties", "$schema", "$id"):
            moved[name] = value
    if _is_object(schema):
        out.setdefault("properties", {})
        out["additionalProperties"] = False
    _describe(out, schema.get("description"), moved)
    return out


def _is_taken(name: str, value: Any) -> bool:
    return (name == "format" and value in _FORMATS) or (name == "minItems" and value in (0, 1))


def _is_object(schema: dict[str, Any]) -> bool:
    kind = schema.get("type")
    return "properties" in schema or kind == "object" or (isinstance(kind, list) and "object" in kind)


def _describe(out: dict[str, Any], description: Any, moved: dict[str, Any]) -> None:
    """Put back the description, and what was moved behind it."""
    if moved:
        rest = "{" + ", ".join(f"{key}: {_said(value)}" for key, value in moved.items()) + "}"
        description = f"{description}\n\n{rest}" if description else rest
    if description is not None:
        out["description"] = description


def _said(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
