"""What the LiteLLM SDK gives back, as OpenAI's wire. Pure.

Usage is passed on as the provider gave it. The SDK makes up what a provider did not say (it counts tokens itself, with
a tokenizer that need not be the model's); that is never usage here. Its costs are left out.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterable
from typing import Any

import msgspec

DONE = b"data: [DONE]\n\n"

Fields = dict[str, Any]

_encode = msgspec.json.encode
_NOT_PASSED_ON = frozenset(("cost", "completion_tokens_cost", "prompt_tokens_cost"))


def whole(fields: Fields, *, text: bool = False) -> bytes:
    """An answer in one piece. `text` makes a completion of it."""
    answer = {name: value for name, value in fields.items() if value is not None and name != "usage"}
    answer["choices"] = [_whole_choice(choice, text) for choice in fields.get("choices") or ()]
    if text:
        answer["object"] = "text_completion"
    usage = merged([fields.get("usage")])
    if usage is not None:
        answer["usage"] = usage
    return _encode(answer)


def _whole_choice(choice: Fields, text: bool) -> Fields:
    message = choice.get("message") or {}
    kept = {name: value for name, value in choice.items() if value is not None and name != "message"}
    kept.setdefault("finish_reason", None)
    if text:
        return {**kept, "text": message.get("content") or "", "logprobs": None}
    said = {name: value for name, value in message.items() if value is not None}
    return {**kept, "message": {"role": "assistant", "content": None, **said}}


def embeddings(fields: Fields, *, in_base64: bool) -> bytes:
    """The answer of an embedding."""
    answer = {name: value for name, value in fields.items() if value is not None and name != "usage"}
    if in_base64:
        answer["data"] = [_in_base64(item) for item in fields.get("data") or ()]
    usage = merged([fields.get("usage")])
    if usage is not None:
        answer["usage"] = usage
    return _encode(answer)


def _in_base64(item: Fields) -> Fields:
    vector = item.get("embedding")
    if not isinstance(vector, list):
        return item
    packed = struct.pack(f"<{len(vector)}f", *vector)
    return {**item, "embedding": base64.b64encode(packed).decode("ascii")}


def event(fields: Fields, *, text: bool = False) -> bytes:
    """One event of a stream, without usage: that comes by itself, at the end."""
    chunk = {name: value for name, value in fields.items() if value not in (None, {}) and name != "usage"}
    chunk["choices"] = [_choice(choice, text) for choice in fields.get("choices") or ()]
    if text:
        chunk["object"] = "text_completion"
    return _event(chunk)


def _choice(choice: Fields, text: bool) -> Fields:
    delta = {name: value for name, value in (choice.get("delta") or {}).items() if value is not None}
    kept = {name: value for name, value in choice.items() if value is not None and name != "delta"}
    kept.setdefault("finish_reason", None)
    if text:
        return {**kept, "text": delta.get("content") or "", "logprobs": None}
    return {**kept, "delta": delta}


def usage_event(like: Fields, usage: Fields, *, text: bool = False) -> bytes:
    """The event that carries the usage of a stream whose events are `like` this one."""
    head = {name: like[name] for name in ("id", "object", "created", "model") if like.get(name) is not None}
    if text:
        head["object"] = "text_completion"
    return _event({**head, "choices": [], "usage": usage})


def error_event(body: bytes) -> bytes:
    """An error inside of a stream; `body` as for an error status."""
    return b"data: %b\n\n" % body


def _event(fields: Fields) -> bytes:
    return b"data: %b\n\n" % _encode(fields)


def merged(reports: Iterable[Fields | None]) -> Fields | None:
    """One usage of all that a provider reported on the way; None when it reported nothing, or nothing but zeros.

    Counts only grow, but not every report has all of them: Anthropic tells the input first and the output last.
    """
    usage: Fields = {}
    for report in reports:
        if report is not None:
            _raise_to(usage, report)
    return usage if any(_counts(usage)) else None


def _raise_to(usage: Fields, report: Fields) -> None:
    for name, value in report.items():
        if name in _NOT_PASSED_ON or value is None or isinstance(value, bool | float):
            continue
        if isinstance(value, dict):
            inner = usage.get(name)
            inner = usage[name] = inner if isinstance(inner, dict) else {}
            _raise_to(inner, value)
        elif isinstance(value, int):
            before = usage.get(name)
            usage[name] = max(before, value) if isinstance(before, int) else value
        else:
            usage[name] = value


def _counts(usage: Fields) -> Iterable[int]:
    for value in usage.values():
        if isinstance(value, int):
            yield value
        elif isinstance(value, dict):
            yield from _counts(value)
