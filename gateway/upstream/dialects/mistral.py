"""Mistral, which refuses every field that it does not know ("Extra inputs are not permitted", 422).

What differs (mistralai 3.7, `ChatCompletionRequest` and its messages):

- `seed` is `random_seed`, `max_completion_tokens` is `max_tokens`, `service_tier: default` is `standard_only`; for
  embeddings `dimensions` is `output_dimension`.
- Left out, as hints: `stream_options` (usage always comes in a stream's last chunk; dnakov/anon-kode/issues/53),
  `store`, `user`, `safety_identifier`, `prompt_cache_retention`, `verbosity`.
- The role `developer` is `system`. Messages lose what Mistral has no field for: a name, other providers' `refusal`,
  `reasoning_content` (charmbracelet/crush/issues/1590) and the like.
- Ids of tool calls are nine letters or digits (anomalyco/opencode/issues/1680): others get one made from them, the
  same for a call and for its result.
- Contents in parts become texts: `thinking` parts go to `reasoning_content`. `model_length` is `length`.
- Errors have OpenAI's shape given to them.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any

import msgspec

from gateway.upstream.dialects.events import EventTranslation
from gateway.upstream.dialects.protocol import Translation, Wish
from gateway.upstream.dialects.variant import MAX_TOKENS_ONLY, Variant, read_messages, write_messages
from gateway.wire.requests import CHAT, EMBEDDINGS, Fields, ModelRequest
from gateway.wire.sse import event_data, with_data

_KNOWN = {
    b'"assistant"': frozenset(("role", "content", "tool_calls", "prefix")),
    b'"system"': frozenset(("role", "content")),
    b'"tool"': frozenset(("role", "content", "tool_call_id", "name")),
    b'"user"': frozenset(("role", "content")),
}
"""What a message may hold, by its role."""
_ID = re.compile(r"[A-Za-z0-9]{9}")
_ID_CHARS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_PARTS = re.compile(rb'"content":\s*\[')
_CUT = re.compile(rb'("finish_reason":\s*)"model_length"')
"""Neither is ever inside of a text: quotes are escaped there."""

_encode = msgspec.json.encode
_decode = msgspec.json.decode
_calls_decoder = msgspec.json.Decoder(list[Fields])
_MALFORMED = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class Mistral(Variant):
    """OpenAI's wire, strictly."""

    name = "mistral"
    apis = frozenset((CHAT, EMBEDDINGS))
    renames = {**MAX_TOKENS_ONLY, "seed": "random_seed", "dimensions": "output_dimension"}
    drops = frozenset(("stream_options", "store", "user", "safety_identifier", "prompt_cache_retention", "verbosity"))

    def differs(self, request: ModelRequest, wish: Wish) -> bool:
        """Always for a chat: its messages have to be looked at."""
        return request.api == CHAT or super().differs(request, wish)

    def revise(self, fields: Fields, request: ModelRequest) -> None:
        """Say it all as Mistral does."""
        super().revise(fields, request)
        if bytes(fields.get("service_tier", b"")) == b'"default"':
            fields["service_tier"] = msgspec.Raw(b'"standard_only"')
        if request.api != CHAT:
            return
        messages = read_messages(fields)
        for message in messages:
            _revise_message(message)
        write_messages(fields, messages)

    def translation(self, request: ModelRequest, wish: Wish) -> Translation | None:
        """Makes texts of contents in parts, and errors of errors."""
        return _Answer()


def _revise_message(message: Fields) -> None:
    if bytes(message.get("role", b"")) == b'"developer"':
        message["role"] = msgspec.Raw(b'"system"')
    known = _KNOWN.get(bytes(message.get("role", b"")))
    for name in [name for name in message if known is not None and name not in known]:
        del message[name]
    if "tool_call_id" in message:
        message["tool_call_id"] = _tool_id(message["tool_call_id"])
    calls = message.get("tool_calls")
    if calls is None:
        return
    if bytes(calls) in (b"null", b"[]"):
        del message["tool_calls"]
        return
    try:
        revised = _calls_decoder.decode(calls)
    except msgspec.ValidationError:
        return  # no calls at all: Mistral says so
    for call in revised:
        if "id" in call:
            call["id"] = _tool_id(call["id"])
    message["tool_calls"] = msgspec.Raw(_encode(revised))


def _tool_id(raw: msgspec.Raw) -> msgspec.Raw:
    try:
        written = _decode(raw, type=str)
    except _MALFORMED:
        return raw
    if _ID.fullmatch(written):
        return raw
    number = int.from_bytes(hashlib.sha256(written.encode("utf-8", "surrogatepass")).digest()[:8])
    made = ""
    for _ in range(9):
        number, index = divmod(number, len(_ID_CHARS))
        made += _ID_CHARS[index]
    return msgspec.Raw(_encode(made))


class _Answer(EventTranslation):
    __slots__ = ()

    def whole(self, body: bytes) -> bytes:
        return _in_texts(body)

    def event(self, event: bytes) -> bytes:
        data = event_data(event)
        revised = _in_texts(data)
        return event if revised is data else with_data(event, revised)

    def error(self, status: int, body: bytes) -> bytes:
        return _error(body)


def _in_texts(data: bytes) -> bytes:
    """An answer, or an event of one, with its contents as texts."""
    if b'"model_length"' in data:
        data = _CUT.sub(rb'\1"length"', data)
    if _PARTS.search(data) is None:
        return data
    try:
        answer = _decode(data)
        for choice in answer["choices"]:
            _flatten(choice.get("delta") or choice["message"])
    except (*_MALFORMED, LookupError, TypeError, AttributeError):
        return data  # not what an answer looks like: passed on for the exchange to judge
    return _encode(answer)


def _flatten(message: dict[str, Any]) -> None:
    parts = message.get("content")
    if not isinstance(parts, list):
        return
    texts = [_text(part) for part in parts if part.get("type") == "text"]
    thoughts = [_text(inner) for part in parts if part.get("type") == "thinking" for inner in part["thinking"]]
    message["content"] = "".join(texts) if texts or not thoughts else None
    if thoughts:
        message["reasoning_content"] = "".join(thoughts)


def _text(part: dict[str, Any]) -> str:
    text = part.get("text", "")
    return text if isinstance(text, str) else ""


def _error(body: bytes) -> bytes:
    """`{"object": "error", "message": ..., "type", "code"}` or `{"detail": [...]}` as OpenAI's `{"error": {...}}`."""
    try:
        told = _decode(body, type=dict[str, Any])
    except _MALFORMED:
        return body
    if "error" in told:
        return body
    message, param = told.get("message"), told.get("param")
    details = told.get("detail") or (message.get("detail") if isinstance(message, dict) else None)
    if isinstance(details, list):
        found = [detail for detail in details if isinstance(detail, dict)]
        message = "; ".join(f"{_place(detail)}: {detail.get('msg')}" for detail in found)
        param = _place(found[0]) if found else None
    elif not isinstance(message, str):
        message = str(details or message)
    code = told.get("code")
    error = {
        "message": message,
        "type": told.get("type") or "invalid_request_error",
        "param": param,
        "code": None if code is None else str(code),
    }
    return _encode({"error": error})


def _place(detail: dict[str, Any]) -> str:
    place = detail.get("loc")
    return ".".join(str(part) for part in place if part != "body") if isinstance(place, list) else ""


DIALECT = Mistral()
