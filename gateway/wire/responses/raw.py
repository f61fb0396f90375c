"""Bits of JSON that several files here read and write."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from gateway.errors import InvalidField

Fields = dict[str, msgspec.Raw]

ABSENT: Final = msgspec.Raw(b"")
NULL: Final = (b"", b"null")
MALFORMED: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

_NULL: Final = b"null"
_QUOTE: Final = ord('"')

encode = msgspec.json.encode
read_fields = msgspec.json.Decoder(Fields).decode
read_list = msgspec.json.Decoder(list[msgspec.Raw]).decode
read_objects = msgspec.json.Decoder(list[Fields]).decode
read_string = msgspec.json.Decoder(str).decode
read_any: Callable[[bytes | msgspec.Raw], Any] = msgspec.json.Decoder().decode


def first(raw: msgspec.Raw) -> bytes:
    """The first byte of a value, which tells its kind."""
    return bytes(memoryview(raw)[:1])


def is_null(raw: msgspec.Raw | None) -> bool:
    """Whether a field is absent, or null, which means the same."""
    return raw is None or bytes(memoryview(raw)[:5]) in NULL


def given(fields: Fields) -> Fields:
    """The fields that say something."""
    return {name: raw for name, raw in fields.items() if bytes(memoryview(raw)[:5]) not in NULL}


def text(value: str) -> msgspec.Raw:
    """A string as JSON."""
    return msgspec.Raw(encode(value))


def string_of(fields: Fields, name: str, field: str, default: str | None = None) -> str:
    """A string of an object that `field` names. Raises InvalidField, naming it, when it is none or missing."""
    raw = fields.get(name)
    if is_null(raw):
        if default is not None:
            return default
        raise InvalidField(f"Missing required parameter: `{field}.{name}`.", param=f"{field}.{name}")
    assert raw is not None  # noqa: S101 -- not null
    try:
        return read_string(raw)
    except MALFORMED:
        raise InvalidField(f"`{field}.{name}` must be a string.", param=f"{field}.{name}") from None


def raw_string(fields: Fields, name: str, field: str) -> msgspec.Raw:
    """As `string_of`, but the string as it is written."""
    raw = fields.get(name)
    if raw is not None and memoryview(raw)[0] == _QUOTE:
        return raw
    return text(string_of(fields, name, field))  # raises


def objects_of(raw: msgspec.Raw, field: str, shape: str) -> list[Fields]:
    """The objects of a list, without nulls. Raises InvalidField, naming the one that is none, or `field`."""
    try:
        objects = read_objects(raw)
    except MALFORMED:
        try:
            items = read_list(raw)
        except MALFORMED:
            raise InvalidField(f"`{field}` must be {shape}.", param=field) from None
        objects = [object_of(item, f"{field}[{index}]") for index, item in enumerate(items)]
    return [given(each) for each in objects] if _NULL in bytes(raw) else objects


def object_of(raw: msgspec.Raw, field: str) -> Fields:
    """An object's fields. Raises InvalidField when it is none."""
    try:
        return read_fields(raw)
    except MALFORMED:
        raise InvalidField(f"`{field}` must be an object.", param=field) from None
