"""Response objects: what is read of those that are kept, and those that the gateway makes itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import msgspec

from gateway.responses.items import items_of
from gateway.wire.sse import data_event, event_data

Fields = dict[str, msgspec.Raw]

FINAL_EVENTS: Final = ("response.completed", "response.incomplete", "response.failed", "response.cancelled")
_ECHOED: Final = (
    *("instructions", "max_output_tokens", "max_tool_calls", "metadata", "model", "parallel_tool_calls", "prompt"),
    *("previous_response_id", "prompt_cache_key", "reasoning", "safety_identifier", "service_tier", "temperature"),
    *("text", "tool_choice", "tools", "top_logprobs", "top_p", "truncation", "user"),
)
"""What a response says of its request."""
_DEFAULTS: Final[dict[str, Any]] = {
    "instructions": None,
    "max_output_tokens": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "temperature": 1.0,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_p": 1.0,
    "truncation": "disabled",
    "user": None,
}


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


def begun(name: str, created_at_s: float, asked: Mapping[str, msgspec.Raw]) -> bytes:
    """The response object of a request in the background that has just been taken."""
    echoed = {key: asked[key] for key in _ECHOED if key in asked and bytes(asked[key]) != b"null"}
    return _encode(
        {
            "id": name,
            "object": "response",
            "created_at": int(created_at_s),
            "status": "queued",
            "background": True,
            "error": None,
            "incomplete_details": None,
            **_DEFAULTS,
            **echoed,
            **_conversation(asked.get("conversation")),
            "output": [],
            "store": True,
            "usage": None,
        }
    )


def _conversation(written: msgspec.Raw | None) -> dict[str, Any]:
    if written is None or bytes(written) == b"null":
        return {}
    return {"conversation": {"id": written} if bytes(written)[:1] == b'"' else written}


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
