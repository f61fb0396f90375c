"""The chat form of a request, for deployments that know OpenAI's words only.

`read` keeps what another provider's models gave and want back (thoughts with their signatures, marks for caches) in
fields that Farebox's own dialects take up. OpenAI refuses requests with fields that it does not know. So for every
dialect that does not:

    thinking_blocks, content_blocks, cache_control      left out
    reasoning_content             left out where the provider is strict: others want their models' thoughts back
    pictures in a tool's result   in the user's message behind the results: tools answer in text
    max_output_tokens             in the field that the deployment wants it in
    metadata                      left out: it labels the response, which is the gateway's
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from gateway.wire.requests import CHAT, ModelRequest, read_request
from gateway.wire.responses.raw import ABSENT, Fields, encode, first, is_null, read_objects

_KEPT: Final = ("role", "content", "refusal", "tool_calls", "tool_call_id", "name")
_BOUND: Final = "max_completion_tokens"
_NEXT: Final = "What it gave is in the next message."
_TEXT: Final = msgspec.Raw(b'"text"')
_AUTO: Final = b'"auto"'


def plain(request: ModelRequest, upstream_model: str, max_tokens_field: str, *, strict: bool) -> ModelRequest:
    """The request in OpenAI's words, for a deployment that wants the bound on its answers in `max_tokens_field`.

    `request` is the chat form that `read` gave. `strict`: the provider refuses fields that it does not know.
    """
    fields: dict[str, Any] = {name: raw for name, raw in request.fields.items() if name != "metadata"}
    fields["messages"] = _messages(request.fields["messages"], strict=strict)
    if "tools" in fields:
        fields["tools"] = [_unmarked(tool) for tool in read_objects(fields["tools"])]
    if _BOUND in fields:
        fields[max_tokens_field] = fields.pop(_BOUND)
    if bytes(request.fields.get("service_tier", b"")) == _AUTO:  # what it means where it is not said
        del fields["service_tier"]
    said = read_request(CHAT, encode(fields))
    said.native = request.native
    return said


def _messages(raw: msgspec.Raw, *, strict: bool) -> list[dict[str, Any]]:
    out: list[dict[str, Any]] = []
    shown: list[Fields] = []
    """Parts of tools' results that tools cannot give: they wait for the last of the results."""
    for message in read_objects(raw):
        said: dict[str, Any] = {name: message[name] for name in _KEPT if name in message}
        if not strict and "reasoning_content" in message:
            said["reasoning_content"] = message["reasoning_content"]
        role, parts = bytes(message["role"]), _parts(message.get("content", ABSENT))
        if role == b'"tool"':
            if parts is not None:
                said["content"] = _text_of(part["text"] for part in parts if "text" in part) or _NEXT
                shown += [part for part in parts if "text" not in part]
            out.append(said)
            continue
        if role == b'"user"' and shown:  # not every server takes two messages of one side
            parts, shown = [*shown, *(_as_parts(message["content"]) if parts is None else parts)], []
        elif shown:
            out.append({"role": "user", "content": shown})
            shown = []
        if parts is not None:
            said["content"] = _text_of(part["text"] for part in parts) if _is_text(parts) else parts
        elif is_null(message.get("content")) and "tool_calls" not in said and "refusal" not in said:
            said["content"] = ""
        out.append(said)
    return [*out, {"role": "user", "content": shown}] if shown else out


def _parts(content: msgspec.Raw) -> list[Fields] | None:
    """The parts of a content that is a list; None for any other."""
    return [_unmarked(part) for part in read_objects(content)] if first(content) == b"[" else None


def _is_text(parts: list[Fields]) -> bool:
    return len(parts) == 1 and "text" in parts[0]


def _text_of(texts: Iterable[msgspec.Raw]) -> msgspec.Raw | None:
    """Texts as one, which every server takes; None without any."""
    insides = [bytes(text)[1:-1] for text in texts]
    return msgspec.Raw(b'"' + b"\\n".join(insides) + b'"') if insides else None


def _as_parts(content: msgspec.Raw) -> list[Fields]:
    return [{"type": _TEXT, "text": content}]


def _unmarked(fields: Fields) -> Fields:
    return {name: raw for name, raw in fields.items() if name != "cache_control"}
