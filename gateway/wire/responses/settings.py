"""The response object: what a request asked for, said back with its answer, as OpenAI does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from gateway.wire.native import Native
from gateway.wire.responses.raw import MALFORMED, Fields, encode, first, is_null, read_fields

_DEFAULTS: Final[dict[str, Any]] = {
    "background": False,
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "prompt_cache_key": None,
    "safety_identifier": None,
    "store": True,
    "temperature": 1.0,
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": 1.0,
    "truncation": "disabled",
    "user": None,
    "metadata": {},
}
_OBJECTS: Final[dict[str, dict[str, Any]]] = {
    "reasoning": {"effort": None, "summary": None},
    "text": {"format": {"type": "text"}, "verbosity": "medium"},
}
_ECHOED: Final = ("prompt_cache_retention", "prompt_cache_options", "prompt", "moderation")
"""Said back where they were sent."""


def response_object(
    asked: Fields, response_id: str, model: str | msgspec.Raw, created_s: int | msgspec.Raw
) -> dict[str, Any]:
    """The response to a request with the fields `asked`, as long as nothing has come of it. It lacks a `status`."""
    return {
        "id": response_id,
        "object": "response",
        "created_at": created_s,
        "completed_at": None,
        "error": None,
        "incomplete_details": None,
        "model": model,
        "output": [],
        **settings_of(asked),
        "usage": None,
    }


def pending(request: Native, response_id: str, *, model: str, created_s: int, status: str) -> bytes:
    """The response to a request that is not answered yet (`queued`, `in_progress`), or never will (`cancelled`)."""
    return encode({**response_object(request.fields, response_id, model, created_s), "status": status})


def settings_of(fields: Fields) -> dict[str, Any]:
    """The settings of a request, as a response says them."""
    said: dict[str, Any] = {}
    for name, default in _DEFAULTS.items():
        said[name] = default if is_null(fields.get(name)) else fields[name]
    for name, defaults in _OBJECTS.items():
        said[name] = {**defaults, **_object(fields.get(name))}
    for name in _ECHOED:
        if not is_null(fields.get(name)):
            said[name] = fields[name]
    conversation = fields.get("conversation")
    if conversation is not None and not is_null(conversation):
        said["conversation"] = {"id": conversation} if first(conversation) == b'"' else conversation
    return said


def _object(raw: msgspec.Raw | None) -> Fields:
    if raw is None or is_null(raw):
        return {}
    try:
        return {name: value for name, value in read_fields(raw).items() if not is_null(value)}
    except MALFORMED:  # pragma: no cover -- the request was read
        return {}


def error_of(error_object: Any) -> dict[str, Any]:
    """An error in OpenAI's shape as a response has it. It knows few codes; of what type it was is said beside it."""
    said = error_object if isinstance(error_object, Mapping) else {"message": str(error_object)}
    code = str(said.get("code") or said.get("type") or "")
    known = "rate_limit_exceeded" if "rate_limit" in code else "server_error"
    return {"code": known, "message": str(said.get("message") or "The provider failed."), "type": code or None}


def error_event(error_object: Any) -> dict[str, Any]:
    """The fields of the event `error`, which comes before `response.failed`.

    OpenAI documents them flat and sends them inside of `error`: SDKs look in one place or the other, and several go by
    this event alone (docs/conformance.md).
    """
    said = error_object if isinstance(error_object, Mapping) else {}
    error = error_of(error_object)
    code = str(said.get("code") or error["code"])
    told = {"code": code, "message": error["message"], "param": None}
    return {**told, "error": {"type": str(said.get("type") or error["code"]), **told}}
