"""Items of the past: what a response brought forth, what a request said, and a request with its history written in."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from gateway.wire.native import Native
from gateway.wire.responses.answers import items_of_output, read_body
from gateway.wire.responses.items import WORKINGS, items_of
from gateway.wire.responses.raw import ABSENT, MALFORMED, Fields, encode, first, given, is_null, read_fields, read_list
from gateway.wire.responses.request import ResponsesNative, read

_PREFIXES: Final = {
    "message": "msg",
    "function_call": "fc",
    "function_call_output": "fco",
    "reasoning": "rs",
    "custom_tool_call": "ctc",
    "custom_tool_call_output": "ctco",
}
_USER: Final = msgspec.Raw(b'"user"')
_NAMED: Final = frozenset(_PREFIXES)
"""Items that can be sent without an id."""


class _Item(msgspec.Struct):
    id: str | None = None
    type: str | None = None


_item_decoder = msgspec.json.Decoder(_Item)


def output_items(response: bytes) -> list[msgspec.Raw]:
    """The items of a response's output; none for what is no response."""
    try:
        return items_of_output(read_body(response).output)
    except MALFORMED:
        return []


def input_items(native: Native, seed: str = "") -> list[msgspec.Raw]:
    """A request's own input as items with ids, as `GET /v1/responses/{id}/input_items` lists them.

    Ids that the client did not give are made of the request and `seed`, the response's id, say: with the same seed they
    are the same every time. References to items are left out: they are none of their own.
    """
    raw = native.fields.get("input")
    if raw is None or is_null(raw):
        return []
    base = hashlib.blake2b(native.body, key=seed.encode()[:64], digest_size=12).hexdigest()
    if first(raw) == b'"':
        return [msgspec.Raw(encode(_listed({"role": _USER, "content": raw}, base, 0)))]
    items = [_listed(given(read_fields(item)), base, index) for index, item in enumerate(items_of(raw))]
    return [msgspec.Raw(encode(item)) for item in items if item.get("type") != "item_reference"]


def _listed(item: Fields, base: str, index: int) -> dict[str, Any]:
    """An item as it is listed: with a type, an id, and its content in parts."""
    kind = bytes(item.get("type", b'"message"' if "role" in item else b'"item_reference"'))[1:-1].decode()
    said: dict[str, Any] = {**item, "type": kind}
    if "id" not in item:
        said["id"] = f"{_PREFIXES.get(kind, 'item')}_fbx{base}{index:03x}"
    if kind == "message":
        said.setdefault("status", "completed")
        said["content"] = _content(item.get("content", ABSENT), answer=bytes(item.get("role", b"")) == b'"assistant"')
    elif kind == "reasoning":
        said.setdefault("summary", [])
    elif kind in _NAMED:
        said.setdefault("status", "completed")
    return said


def _content(content: msgspec.Raw, *, answer: bool) -> list[Any]:
    if first(content) == b'"':
        return [_text(content, answer=answer)]
    parts: list[Any] = []
    for raw in read_list(content) if first(content) == b"[" else ():
        part: dict[str, Any] = dict(given(read_fields(raw)))
        kind = bytes(part.get("type", b""))
        if kind == b'"input_image"':
            part.setdefault("detail", "auto")
        elif kind == b'"output_text"':
            part.setdefault("annotations", [])
        parts.append(part)
    return parts


def _text(text: msgspec.Raw, *, answer: bool) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": []} if answer else {"type": "input_text", "text": text}


def rebuilt(native: Native, history: Sequence[msgspec.Raw]) -> ResponsesNative:
    """The request with its history written into `input`: for a deployment that does not hold it.

    Ids are taken out of the history, and thoughts: a provider refuses those that it did not think itself. So are its
    workings, of which only it knows. Raises InvalidField.
    """
    fields = dict(native.fields)
    for name in ("previous_response_id", "conversation"):
        fields.pop(name, None)
    items = [item for item in map(_anonymous, history) if item is not None]
    raw = fields.get("input")
    if raw is not None and not is_null(raw):
        items += [_said(raw)] if first(raw) == b'"' else items_of(raw)
    fields["input"] = msgspec.Raw(encode(items))
    return read(encode(fields))[1]


def _said(text: msgspec.Raw) -> msgspec.Raw:
    return msgspec.Raw(b'{"role":"user","content":' + bytes(text) + b"}")


def _anonymous(raw: msgspec.Raw) -> msgspec.Raw | None:
    fields = read_fields(raw)
    kind = bytes(fields.get("type", b'"message"'))[1:-1].decode()
    if kind == "reasoning" or kind in WORKINGS:
        return None
    if kind in _NAMED:
        fields.pop("id", None)
        fields.pop("status", None)
    return msgspec.Raw(encode(fields))


def resolved(native: ResponsesNative, known: Mapping[str, msgspec.Raw]) -> ResponsesNative:
    """The request with the items of `known`, by id, in the place of references to them. Raises InvalidField."""
    raw = native.fields.get("input")
    if not native.references or raw is None:
        return native
    items = [known.get(_reference(item) or "", item) for item in items_of(raw)]
    return read(encode({**native.fields, "input": items}))[1]


def _reference(raw: msgspec.Raw) -> str | None:
    """The id of the item that one refers to; None when it is an item itself."""
    item = _item_decoder.decode(raw)
    refers = item.type == "item_reference" or (item.type is None and b'"role"' not in bytes(raw))
    return item.id if refers else None


def ids_of(items: Iterable[msgspec.Raw]) -> dict[str, msgspec.Raw]:
    """Items by their ids."""
    found = {}
    for raw in items:
        item_id = _item_decoder.decode(raw).id
        if item_id:
            found[item_id] = raw
    return found
