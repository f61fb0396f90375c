"""The fixed streams of the Messages and Responses APIs, and the requests for them: as long as those of chat."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from benchmarks.answers import PATH, STREAM_MODEL, request_body

MESSAGES_PATH = "/v1/messages"
RESPONSES_PATH = "/v1/responses"
NATIVE_MODEL = "bench-native"
"""The paced upstream again, as a provider that speaks all three APIs."""

_TEXT = " harbour"
_QUESTION = json.loads(request_body(STREAM_MODEL, stream=False))["messages"]
_USAGE = {"input_tokens": 312, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 164}


class Asked(NamedTuple):
    """A request for a stream."""

    path: str
    body: bytes


def messages_request(model: str) -> bytes:
    """A request of about 1.4 kB for a stream of Messages."""
    system, question = _QUESTION
    body = {"model": model, "system": system["content"], "messages": [question], "max_tokens": 256, "stream": True}
    return _compact({**body, "temperature": 0.2})


def responses_request(model: str) -> bytes:
    """A request of about 1.4 kB for a stream of Responses, not to be stored."""
    system, question = _QUESTION
    body = {"model": model, "instructions": system["content"], "input": [question], "max_output_tokens": 256}
    return _compact({**body, "stream": True, "store": False, "temperature": 0.2})


def messages_events(count: int) -> list[bytes]:
    """A streamed message of `count` events, of at least seven."""
    message: dict[str, Any] = {"id": "msg_01XFDUDYJgAACzvnptvVoYEL", "type": "message", "role": "assistant"}
    message |= {"model": "fixed", "content": [], "stop_reason": None, "stop_sequence": None, "usage": _USAGE}
    delta = {"index": 0, "delta": {"type": "text_delta", "text": _TEXT}}
    return [
        _event("message_start", message=message),
        _event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
        _event("ping"),
        *[_event("content_block_delta", **delta)] * max(1, count - 6),
        _event("content_block_stop", index=0),
        _event("message_delta", delta={"stop_reason": "end_turn", "stop_sequence": None}, usage=_USAGE),
        _event("message_stop"),
    ]


def responses_events(count: int) -> list[bytes]:
    """A streamed response of `count` events, of at least nine."""
    texts = max(1, count - 8)
    item: dict[str, Any] = {"id": "msg_68a1", "type": "message", "role": "assistant"}
    part: dict[str, Any] = {"type": "output_text", "annotations": [], "logprobs": [], "text": _TEXT * texts}
    place: dict[str, Any] = {"item_id": item["id"], "output_index": 0, "content_index": 0}
    done = {**item, "status": "completed", "content": [part]}
    said: list[tuple[str, dict[str, Any]]] = [
        ("created", {"response": _response("in_progress", [])}),
        ("in_progress", {"response": _response("in_progress", [])}),
        ("output_item.added", {"output_index": 0, "item": {**item, "status": "in_progress", "content": []}}),
        ("content_part.added", {**place, "part": {**part, "text": ""}}),
        *[("output_text.delta", {**place, "delta": _TEXT, "logprobs": [], "obfuscation": "k3Jd9s0a"})] * texts,
        ("output_text.done", {**place, "text": part["text"], "logprobs": []}),
        ("content_part.done", {**place, "part": part}),
        ("output_item.done", {"output_index": 0, "item": done}),
        ("completed", {"response": _response("completed", [done])}),
    ]
    return [_event(f"response.{kind}", sequence_number=number, **fields) for number, (kind, fields) in enumerate(said)]


def _response(status: str, output: list[dict[str, Any]]) -> dict[str, Any]:
    usage = {
        "input_tokens": 312,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": 164,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 476,
    }
    return {
        "id": "resp_67ccd2bed1ec8190b14f964abc0542670bb6a6b452d3795b",
        "object": "response",
        "created_at": 1764547200,
        "status": status,
        "error": None,
        "incomplete_details": None,
        "instructions": _QUESTION[0]["content"],
        "max_output_tokens": 256,
        "model": "fixed-2026-11-01",
        "output": output,
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None},
        "service_tier": "default" if output else "auto",
        "store": False,
        "temperature": 0.2,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": usage if output else None,
        "metadata": {},
    }


def _event(kind: str, **fields: Any) -> bytes:
    return b"event: " + kind.encode() + b"\ndata: " + _compact({"type": kind, **fields}) + b"\n\n"


def _compact(body: dict[str, Any]) -> bytes:
    return json.dumps(body, separators=(",", ":")).encode()


STREAMS = {
    "chat": Asked(PATH, request_body(STREAM_MODEL, stream=True)),
    "messages_native": Asked(MESSAGES_PATH, messages_request(NATIVE_MODEL)),
    "responses_native": Asked(RESPONSES_PATH, responses_request(NATIVE_MODEL)),
    "messages_translated": Asked(MESSAGES_PATH, messages_request(STREAM_MODEL)),
    "responses_translated": Asked(RESPONSES_PATH, responses_request(STREAM_MODEL)),
}
"""What is measured, by the name it has in the report."""
