"""Response objects: what is read of those that are kept, and those that the gateway makes itself."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import msgspec

from gateway.responses.items import items_of
from gateway.wire.sse import data_event, event_data

Fields = dict[str, msgspec.Raw]

FINAL_EVENTS: Final = ("response.completed", "response.incomplete", "response.failed", "response.cancelled")


class _Usage(msgspec.Struct):
    input_tokens: int = 0
    output_tokens: int = 0


class _Response(msgspec.Struct):
    id: str = ""
    status: str | None = None
    usage: _Usage | None = None
    output: msgspec.Raw = msgspec.Raw(b"[]")


class _Event(msgspec.Struct):
    type: str = ""
    sequence_number: int | None = None
    response: msgspec.Raw = msgspec.Raw(b"")


_response = msgspec.json.Decoder(_Response)
_event = msgspec.json.Decoder(_Event)
_fields = msgspec.json.Decoder(Fields)
_encode = msgspec.json.encode
_UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class Answer(NamedTuple):
    """What matters of a response object."""

    id: str
    status: str
    input_tokens: int | None
    """None: it reports no usage."""
    output_tokens: int
    output: list[msgspec.Raw]


def read_response(body: bytes) -> Answer | None:
    """Read a response object; None when it is none."""
    try:
        found = _response.decode(body)
    except _UNREADABLE:
        return None
    usage = found.usage
    return Answer(
        found.id,
        found.status or "completed",
        None if usage is None else max(0, usage.input_tokens),
        0 if usage is None else max(0, usage.output_tokens),
        items_of(found.output),
    )


def with_values(body: bytes, **values: Any) -> bytes:
    """A response object with other values of some fields, the rest as it was. Raises msgspec.DecodeError."""
    return _encode({**_fields.decode(body), **values})


def values_of(body: bytes, *names: str) -> dict[str, msgspec.Raw]:
    """Some fields of a response object, of those that are there. Raises msgspec.DecodeError."""
    fields = _fields.decode(body)
    return {name: fields[name] for name in names if name in fields}


def failed(body: bytes, message: str, code: str = "server_error") -> bytes:
    """A response object that has failed."""
    return with_values(body, status="failed", error={"code": code, "message": message})


class Event(NamedTuple):
    """One event of a response's stream."""

    type: str
    number: int | None
    response: bytes | None
    """The response object in it, if any."""


def read_event(event: bytes) -> Event | None:
    """Read an event as it was sent; None for a comment, `[DONE]` and what cannot be read."""
    try:
        found = _event.decode(event_data(event))
    except _UNREADABLE:
        return None
    response = bytes(found.response)
    return Event(found.type, found.sequence_number, response if response[:1] == b"{" else None)


def as_event(kind: str, number: int, response: bytes) -> bytes:
    """An event with a response object in it."""
    body = _encode({"type": kind, "sequence_number": number, "response": msgspec.Raw(response)})
    return b"event: " + kind.encode() + b"\n" + data_event(body)


def final_event(response: bytes, status: str, number: int) -> bytes:
    """The event that ends the stream of a response which has ended."""
    kind = {"completed": "completed", "incomplete": "incomplete"}.get(status, "failed")
    return as_event(f"response.{kind}", number, response)
