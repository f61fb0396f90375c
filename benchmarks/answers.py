"""The fixed requests and answers of the benchmark: the sizes that agents send and get."""

from __future__ import annotations

import json
from typing import Any

PATH = "/v1/chat/completions"
PLAIN_MODEL = "bench"
STREAM_MODEL = "bench-stream"

_HEAD = {"id": "chatcmpl-B9MHDbslfkBeAs8l4bebGdFOJ6PeG", "created": 1764547200, "model": "fixed-2026-11-01"}
_USAGE = {
    "prompt_tokens": 312,
    "completion_tokens": 164,
    "total_tokens": 476,
    "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
}
_SENTENCE = "The trip from the depot to the harbour takes forty minutes and costs two fares, one for each zone. "


def request_body(model: str, *, stream: bool) -> bytes:
    """A chat completion request of about 1.4 kB."""
    body: dict[str, Any] = {
        "model": model,
        "messages": [
            {"role": "system", "content": "You are a careful assistant that answers from what it is given. " * 8},
            {"role": "user", "content": "How long does it take, and what does it cost? " + _SENTENCE * 7},
        ],
        "temperature": 0.2,
        "max_tokens": 256,
    }
    if stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    return json.dumps(body, separators=(",", ":")).encode()


def plain_answer() -> bytes:
    """A chat completion of about 1.4 kB, with usage."""
    message: dict[str, Any] = {"role": "assistant", "content": _SENTENCE * 9, "refusal": None, "annotations": []}
    answer = {
        **_HEAD,
        "object": "chat.completion",
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
        "usage": _USAGE,
        "service_tier": "default",
        "system_fingerprint": "fp_44709d6fcb",
    }
    return json.dumps(answer, separators=(",", ":")).encode()


def stream_events(count: int) -> list[bytes]:
    """A streamed answer of `count` SSE events: text, the finish, the usage and `[DONE]`."""
    text = [_event({"index": 0, "delta": {"content": " harbour"}, "logprobs": None, "finish_reason": None})]
    finish = _event({"index": 0, "delta": {}, "logprobs": None, "finish_reason": "stop"})
    return [*text * max(0, count - 3), finish, _event(None), b"data: [DONE]\n\n"]


def _event(choice: dict[str, Any] | None) -> bytes:
    chunk = {**_HEAD, "object": "chat.completion.chunk", "system_fingerprint": "fp_44709d6fcb"}
    chunk |= {"choices": [] if choice is None else [choice], "usage": _USAGE if choice is None else None}
    return b"data: " + json.dumps(chunk, separators=(",", ":")).encode() + b"\n\n"
