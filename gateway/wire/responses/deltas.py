"""What is read of a chat answer, whole or a chunk of a stream, to say it as a response."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.wire.responses.raw import ABSENT, MALFORMED, encode, first, is_null, read_any, read_list


class Function(msgspec.Struct):
    """A call's function: its name, and the next piece of its arguments."""

    name: msgspec.Raw = ABSENT
    arguments: msgspec.Raw = ABSENT


class ToolCall(msgspec.Struct):
    """A call, or a piece of one."""

    index: int | None = None
    id: msgspec.Raw = ABSENT
    function: Function | None = None


class Delta(msgspec.Struct):
    """A message, or a piece of one."""

    content: msgspec.Raw = ABSENT
    reasoning_content: msgspec.Raw = ABSENT
    reasoning: msgspec.Raw = ABSENT
    refusal: msgspec.Raw = ABSENT
    annotations: msgspec.Raw = ABSENT
    tool_calls: list[ToolCall] | None = None
    thinking_blocks: msgspec.Raw = ABSENT
    content_blocks: msgspec.Raw = ABSENT


class Choice(msgspec.Struct):
    """An answer of several; the Responses API has only one."""

    index: int = 0
    delta: Delta | None = None
    message: Delta | None = None
    logprobs: msgspec.Raw = ABSENT
    finish_reason: str | None = None


class Chunk(msgspec.Struct):
    """A chunk of a stream, or a whole answer."""

    choices: list[Choice] | None = None
    model: msgspec.Raw = ABSENT
    created: msgspec.Raw = ABSENT
    service_tier: msgspec.Raw = ABSENT
    usage: msgspec.Raw = ABSENT
    error: msgspec.Raw = ABSENT


read_chunk = msgspec.json.Decoder(Chunk).decode


def spoken(raw: msgspec.Raw) -> bytes:
    """A text as a JSON string; empty when there is nothing in it. Texts in a list of parts are joined."""
    if len(memoryview(raw)) <= 2:
        return b""
    if first(raw) == b'"':
        return bytes(raw)
    if first(raw) != b"[":
        return b""
    try:
        parts = read_any(raw)
    except MALFORMED:
        return b""
    texts = [part.get("text") for part in parts if isinstance(part, dict) and part.get("type") == "text"]
    joined = "".join(text for text in texts if isinstance(text, str))
    return encode(joined) if joined else b""


def arguments(raw: msgspec.Raw) -> bytes:
    """A call's arguments as a JSON string; some servers send them as an object."""
    return encode(bytes(raw).decode()) if first(raw) == b"{" else spoken(raw)


def thought(delta: Delta) -> bytes:
    """What was thought, under whichever name its provider has for it."""
    return spoken(delta.reasoning_content) or spoken(delta.reasoning)


def blocks(raw: msgspec.Raw) -> list[msgspec.Raw]:
    """The items of a list; none for anything else."""
    if first(raw) != b"[":
        return []
    try:
        return read_list(raw)
    except MALFORMED:
        return []


def annotations_of(raw: msgspec.Raw) -> list[dict[str, Any]]:
    """Sources: chat says them an object deeper."""
    found = []
    for each in blocks(raw):
        said = read_any(each)
        if isinstance(said, dict) and said.get("type") == "url_citation" and isinstance(said.get("url_citation"), dict):
            found.append({"type": "url_citation", **said["url_citation"]})
    return found


def logprobs_of(raw: msgspec.Raw) -> list[Any]:
    """The log probabilities of a text's tokens."""
    if is_null(raw):
        return []
    try:
        said = read_any(raw)
    except MALFORMED:
        return []
    tokens = said.get("content") if isinstance(said, dict) else None
    return [_logprob(token) for token in tokens if isinstance(token, dict)] if isinstance(tokens, list) else []


def _logprob(token: dict[str, Any]) -> dict[str, Any]:
    """A token, in the fields that the Responses API has for it; `bytes` has to be there."""
    tops = token.get("top_logprobs")
    said = {**token, "bytes": token.get("bytes") or []}
    said["top_logprobs"] = (
        [{**top, "bytes": top.get("bytes") or []} for top in tops if isinstance(top, dict)]
        if isinstance(tops, list)
        else []
    )
    return said
