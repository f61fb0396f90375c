"""The chat form of a request, for deployments that know nothing of Anthropic: OpenAI's words only.

`read` keeps what only Anthropic's models can use beside what it means in chat, and Farebox's Anthropic dialect takes it
up again. OpenAI refuses requests with fields that it does not know. So for every other dialect:

    thinking, output_config      `reasoning_effort`, for models that are known to take one; else a hint that is left out
    max_tokens                   in the field that the deployment wants it in
    cache_control, citations, thinking_blocks, content_blocks, is_error, a tool's extras, metadata, speed, top_k,
    context_management           left out
    reasoning_content            left out where the provider is strict: others want their models' thoughts back
    texts in parts               one text
    pictures in a tool's result  in the user's message behind the results: tools answer in text
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from gateway.wire.messages.notes import ABSENT, MALFORMED, is_null, starts_with
from gateway.wire.messages.output import is_strict
from gateway.wire.requests import CHAT, ModelRequest, read_request

Fields = dict[str, msgspec.Raw]

_encode = msgspec.json.encode
_DROPPED: Final = ("thinking", "output_config", "cache_control", "metadata", "speed", "context_management", "top_k")
_KEPT: Final = ("role", "content", "tool_call_id", "name")
_FIELDS: Final = {b"text": ("type", "text"), b"image_url": ("type", "image_url"), b"file": ("type", "file")}
_AUTO: Final = b'"auto"'
_NEXT: Final = "What it gave is in the next message."
_FILE_NAME: Final = "document.pdf"
"""OpenAI wants files to have names."""
_TAKES_EFFORT: Final = re.compile(r"(?:^|[/.])(?:o[1-9](?![0-9])|gpt-(?:[5-9]|oss)|codex|gemini-(?:2\.5|[3-9]))")
_EFFORTS: Final = {"low": "low", "medium": "medium", "high": "high", "xhigh": "high", "max": "high"}
_LOW_BUDGET_TOKENS: Final = 4_096
_MEDIUM_BUDGET_TOKENS: Final = 16_384
"""Up to these a budget for thinking is a low effort, a medium one."""


class _Thinking(msgspec.Struct):
    type: str = ""
    budget_tokens: int | None = None


class _OutputConfig(msgspec.Struct):
    effort: str | None = None


_messages_decoder = msgspec.json.Decoder(list[Fields])
_fields_decoder = msgspec.json.Decoder(Fields)
_list_decoder = msgspec.json.Decoder(list[Fields])


def plain(request: ModelRequest, upstream_model: str, max_tokens_field: str, *, strict: bool) -> ModelRequest:
    """The request in OpenAI's words, for the model that a deployment calls `upstream_model`.

    `request` is the chat form that `read` gave. `strict`: the provider refuses fields that it does not know.
    """
    fields: dict[str, Any] = {name: raw for name, raw in request.fields.items() if name not in _DROPPED}
    fields["messages"] = _messages(request.fields["messages"], strict=strict)
    if "tools" in fields:
        fields["tools"] = [_tool(tool) for tool in _list_decoder.decode(fields["tools"])]
    if "max_tokens" in fields:
        fields[max_tokens_field] = fields.pop("max_tokens")
    if bytes(request.fields.get("service_tier", b"")) == _AUTO:
        del fields["service_tier"]
    effort = _effort(request.fields)
    if effort is not None and _TAKES_EFFORT.search(upstream_model.lower()) is not None:
        fields["reasoning_effort"] = effort
    said = read_request(CHAT, _encode(fields))
    said.native = request.native
    return said


def _effort(fields: Fields) -> str | None:
    try:
        config = msgspec.json.decode(fields.get("output_config", b"{}"), type=_OutputConfig)
        thinking = msgspec.json.decode(fields.get("thinking", b"{}"), type=_Thinking)
    except MALFORMED:
        return None
    if config.effort is not None:
        return _EFFORTS.get(config.effort)
    if thinking.type != "enabled" or thinking.budget_tokens is None:
        return None
    budget = thinking.budget_tokens
    return "low" if budget <= _LOW_BUDGET_TOKENS else "medium" if budget <= _MEDIUM_BUDGET_TOKENS else "high"


def _tool(tool: Fields) -> dict[str, Any]:
    """A function, and nothing else; `strict` only where OpenAI takes its schema for it. Other tools as they are."""
    if "function" not in tool:
        return dict(tool)
    function = _fields_decoder.decode(tool["function"])
    if not is_null(function.get("strict", ABSENT)):
        parameters = function.get("parameters", msgspec.Raw(b"{}"))
        if not is_strict(msgspec.json.decode(parameters)):
            del function["strict"]
    return {"type": "function", "function": function}


# --- messages ---


def _messages(raw: msgspec.Raw, *, strict: bool) -> list[dict[str, Any]]:
    out: list[dict[str, Any]] = []
    shown: list[Any] = []
    """Parts of tools' results that tools cannot give: they wait for the last of the results."""
    for message in _messages_decoder.decode(raw):
        role = bytes(message["role"])
        said: dict[str, Any] = {name: message[name] for name in _KEPT if name in message}
        parts = _parts(message.get("content", ABSENT))
        if role == b'"tool"':
            shown += _take_shown(said, parts)
            out.append(said)
            continue
        if role == b'"user"' and shown:
            parts = [*shown, *(_as_parts(message["content"]) if parts is None else parts)]
            shown = []
        elif shown:
            out.append({"role": "user", "content": shown})
            shown = []
        if parts is not None:
            said["content"] = _joined(parts, b"" if role == b'"assistant"' else b"\\n")
        if not strict and "reasoning_content" in message:
            said["reasoning_content"] = message["reasoning_content"]
        if "tool_calls" in message:
            said["tool_calls"] = [_call(call) for call in _list_decoder.decode(message["tool_calls"])]
        elif role == b'"assistant"' and is_null(message.get("content", ABSENT)):
            said["content"] = ""  # there were thoughts, which are not said here
        out.append(said)
    if shown:
        out.append({"role": "user", "content": shown})
    return out


def _call(call: Fields) -> Fields:
    return {name: value for name, value in call.items() if name != "cache_control"}


def _as_parts(content: msgspec.Raw) -> list[Any]:
    return [{"type": "text", "text": content}] if len(memoryview(content)) > 2 else []


def _parts(content: msgspec.Raw) -> list[Fields] | None:
    """The parts of a content that is a list, without what is Anthropic's; None for any other."""
    if not starts_with(content, b"["):
        return None
    return [_part(part) for part in _list_decoder.decode(content)]


def _part(part: Fields) -> Fields:
    kept = _FIELDS.get(bytes(part.get("type", b""))[1:-1])
    if kept is None:
        return part
    said = {name: part[name] for name in kept if name in part}
    if "file" in said:
        file = _fields_decoder.decode(said["file"])
        if "filename" not in file:
            said["file"] = msgspec.Raw(_encode({"filename": _FILE_NAME, **file}))
    return said


def _is_text(part: Any) -> bool:
    return bytes(part.get("text", b""))[:1] == b'"'


def _joined(parts: list[Any], between: bytes) -> Any:
    """Parts that are all text as one text: not every server takes parts."""
    if not all(_is_text(part) for part in parts):
        return parts
    return msgspec.Raw(b'"' + between.join(bytes(part["text"])[1:-1] for part in parts) + b'"')


def _take_shown(said: dict[str, Any], parts: list[Fields] | None) -> list[Any]:
    """Leave a result's text to it, and give its other parts."""
    if parts is None:
        return []
    texts = [part for part in parts if _is_text(part)]
    others = [part for part in parts if not _is_text(part)]
    said["content"] = _joined(texts, b"\\n") if texts else _NEXT
    return others
