"""Requests, chat answers and streams for these tests, and a check against the types of OpenAI's own SDK."""

from __future__ import annotations

import json
from typing import Any

from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from gateway.wire.native import Native
from gateway.wire.responses import AnswerTranslator, ResponsesNative, read
from gateway.wire.sse import EventSplitter, data_event, event_data

REQUEST_ID = "req_0123456789ab"
DONE = b"data: [DONE]\n\n"
_event_type: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)


def body_of(**fields: Any) -> bytes:
    return json.dumps({"model": "m", "input": "Hi", **fields}).encode()


def native_of(**fields: Any) -> ResponsesNative:
    return read(body_of(**fields))[1]


def chat_of(**fields: Any) -> dict[str, Any]:
    """The chat body that a request becomes."""
    found: dict[str, Any] = json.loads(read(body_of(**fields))[0])
    return found


def messages_of(*items: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = chat_of(input=list(items))["messages"]
    return found


def chunk(finish_reason: str | None = None, /, *, usage: Any = None, **delta: Any) -> bytes:
    """An event of a chat stream."""
    said: dict[str, Any] = {"id": "c", "object": "chat.completion.chunk", "created": 7, "model": "served"}
    said["choices"] = [{"index": 0, "delta": delta, "finish_reason": finish_reason}]
    if usage is not None:
        said["usage"] = usage
    return data_event(json.dumps(said).encode())


def usage_chunk(**usage: Any) -> bytes:
    return data_event(json.dumps({"id": "c", "created": 7, "model": "served", "choices": [], "usage": usage}).encode())


def translator(request: Native | None = None) -> AnswerTranslator:
    return AnswerTranslator(model="asked", request_id=REQUEST_ID, request=request or native_of(), created_s=3)


def split(stream: bytes) -> list[bytes]:
    splitter = EventSplitter()
    events = splitter.feed(stream)
    assert splitter.rest == b""
    return events


def said(stream: bytes) -> list[dict[str, Any]]:
    """The payloads of a stream's events, each as the SDK's types want it."""
    found = [json.loads(event_data(event)) for event in split(stream)]
    for number, each in enumerate(found):
        check_event(each)
        assert each["sequence_number"] == number
    return found


def check_event(event: dict[str, Any]) -> None:
    _event_type.validate_python(event)


def response_of(body: bytes | None) -> dict[str, Any]:
    """A response object, as the SDK's types want it."""
    assert body is not None
    Response.model_validate_json(body)
    found: dict[str, Any] = json.loads(body)
    return found
