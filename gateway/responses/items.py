"""Items of the Responses API: what clients say and models answer, one by one, each with an id."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from gateway.errors import InvalidField

Raw = msgspec.Raw
Fields = dict[str, msgspec.Raw]

MAX_PAGE: Final = 100
DEFAULT_PAGE: Final = 20

_PREFIXES: Final = {
    "message": "msg",
    "reasoning": "rs",
    "function_call": "fc",
    "custom_tool_call": "ctc",
    "web_search_call": "ws",
    "file_search_call": "fs",
    "code_interpreter_call": "ci",
    "computer_call": "cu",
    "image_generation_call": "ig",
    "mcp_call": "mcp",
}
_fields = msgspec.json.Decoder(Fields)
_raws = msgspec.json.Decoder(list[msgspec.Raw])
_encode = msgspec.json.encode


class _Named(msgspec.Struct):
    id: str | None = None


_named = msgspec.json.Decoder(_Named)


class Slice(NamedTuple):
    """Which part of a list is asked for."""

    limit: int = DEFAULT_PAGE
    ascending: bool = False
    after: str | None = None
    before: str | None = None


def new_id(prefix: str) -> str:
    """An id that nobody guesses: `resp_`, and 48 hex digits."""
    return f"{prefix}_{secrets.token_hex(24)}"


def id_of(item: msgspec.Raw) -> str:
    """An item's id; empty when it has none."""
    try:
        return _named.decode(item).id or ""
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""


def items_of(array: bytes | msgspec.Raw) -> list[msgspec.Raw]:
    """The items of a JSON array; none for anything else."""
    try:
        return _raws.decode(array)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return []


def array_of(items: Iterable[msgspec.Raw]) -> bytes:
    """Items as a JSON array."""
    return b"[" + b",".join(bytes(item) for item in items) + b"]"


def listed(item: msgspec.Raw, param: str) -> msgspec.Raw:
    """An item as lists show it: with a type and an id; a message's content in parts. Raises InvalidField."""
    try:
        fields = _fields.decode(item)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise InvalidField(f"`{param}` must be an object.", param=param) from None
    role = text_of(fields.get("role"))
    kind = text_of(fields.get("type")) or ("message" if role else "")
    if not kind:
        raise InvalidField(f"`{param}` needs a `type`, or a `role` if it is a message.", param=param)
    changed: dict[str, Any] = {}
    if not text_of(fields.get("id")):
        changed["id"] = new_id(_PREFIXES.get(kind, "item"))
    if "type" not in fields:
        changed["type"] = kind
    if kind == "message":
        if bytes(fields.get("content", b""))[:1] == b'"':
            changed["content"] = [_part(role, fields["content"])]
        if bytes(fields.get("status", b"null")) == b"null":
            changed["status"] = "completed"
    return Raw(_encode({**fields, **changed})) if changed else item


def _part(role: str, text: msgspec.Raw) -> dict[str, Any]:
    if role == "assistant":
        return {"type": "output_text", "text": text, "annotations": []}
    return {"type": "input_text", "text": text}


def text_of(value: msgspec.Raw | None) -> str:
    """A JSON text; empty for anything else."""
    if value is None or bytes(value)[:1] != b'"':
        return ""
    found: str = msgspec.json.decode(value)
    return found


def part_of(items: Sequence[msgspec.Raw], wanted: Slice) -> tuple[list[msgspec.Raw], bool]:
    """The part of a list (oldest first) that is asked for, and whether there is more. Raises InvalidField."""
    ordered = list(items) if wanted.ascending else list(reversed(items))
    if wanted.after is not None:
        ordered = ordered[_place(ordered, wanted.after, "after") + 1 :]
    if wanted.before is not None:
        ordered = ordered[: _place(ordered, wanted.before, "before")]
    return ordered[: wanted.limit], len(ordered) > wanted.limit


def _place(items: Sequence[msgspec.Raw], name: str, param: str) -> int:
    for number, item in enumerate(items):
        if id_of(item) == name:
            return number
    raise InvalidField(f"`{param}` is the id of no item of this list.", param=param)


def list_object(items: Sequence[msgspec.Raw], *, more: bool) -> dict[str, Any]:
    """A page of a list as clients get it."""
    first, last = (id_of(items[0]), id_of(items[-1])) if items else (None, None)
    return {"object": "list", "data": list(items), "first_id": first, "last_id": last, "has_more": more}
