from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest

from gateway.upstream.dialects.mistral import DIALECT
from gateway.wire.requests import EMBEDDINGS
from tests.gateway.upstream.dialects.speaking import sent, stream, translation, whole

CALL = {"id": "call_PTLP8xhu3uwZk4l3nlnrrJha", "type": "function", "function": {"name": "f", "arguments": "{}"}}
THOUGHT = {"type": "thinking", "thinking": [{"type": "text", "text": "Let me"}, {"type": "text", "text": " think."}]}


def test_fields_it_refuses_are_renamed_or_left_out() -> None:
    body = sent("mistral", seed=7, user="u", store=False, stream=True, max_completion_tokens=9, service_tier="default")

    assert body == {
        "model": "large",
        "messages": [{"role": "user", "content": "Hello"}],
        "stream": True,
        "service_tier": "standard_only",
        "max_tokens": 9,
        "random_seed": 7,
    }


def test_messages_lose_what_it_has_no_field_for() -> None:
    messages = [
        {"role": "developer", "content": "Be brief.", "name": "d"},
        {"role": "user", "content": "hi", "name": "u", "id": "1"},
        {"role": "assistant", "content": "a", "refusal": None, "reasoning_content": "r", "tool_calls": None},
        {"role": "assistant", "content": "b", "prefix": True, "tool_calls": []},
        {"role": "robot", "content": "c", "what": 1},
    ]

    assert sent("mistral", messages=messages)["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "a"},
        {"role": "assistant", "content": "b", "prefix": True},
        {"role": "robot", "content": "c", "what": 1},
    ]


def test_ids_of_calls_are_nine_characters_for_calls_and_results() -> None:
    good = {**CALL, "id": "abcDEF123"}
    messages = [
        {"role": "assistant", "content": None, "tool_calls": [CALL, good]},
        {"role": "tool", "tool_call_id": CALL["id"], "content": "1", "name": "f"},
        {"role": "tool", "tool_call_id": "abcDEF123", "content": "2"},
        {"role": "tool", "tool_call_id": None, "content": "3"},
    ]

    asked, first, second, third = sent("mistral", messages=messages)["messages"]

    made = asked["tool_calls"][0]["id"]
    assert re.fullmatch("[A-Za-z0-9]{9}", made)
    assert first == {"role": "tool", "tool_call_id": made, "content": "1", "name": "f"}
    assert asked["tool_calls"][1]["id"] == second["tool_call_id"] == "abcDEF123"
    assert third["tool_call_id"] is None


def test_embeddings() -> None:
    body = sent("mistral", EMBEDDINGS, input="a", dimensions=256, user="u")

    assert body == {"model": "large", "input": "a", "output_dimension": 256}


def test_contents_in_parts_become_texts() -> None:
    answer = {
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": [THOUGHT, {"type": "text", "text": "42"}]}},
            {"index": 1, "message": {"role": "assistant", "content": "plain"}, "finish_reason": "model_length"},
        ],
        "usage": {"prompt_tokens": 1},
    }

    assert whole("mistral", answer) == {
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "42", "reasoning_content": "Let me think."},
            },
            {"index": 1, "message": {"role": "assistant", "content": "plain"}, "finish_reason": "length"},
        ],
        "usage": {"prompt_tokens": 1},
    }


@pytest.mark.parametrize("size", [1, 13, 10_000])
def test_in_streams_too(size: int) -> None:
    def delta(content: Any) -> dict[str, Any]:
        return {"choices": [{"index": 0, "delta": {"content": content}, "finish_reason": None}]}

    told = stream(
        "mistral",
        [delta(""), delta([THOUGHT]), delta([{"type": "text", "text": "4"}]), delta("2"), b"data: [DONE]\n\n"],
        size=size,
    )

    deltas = [event["choices"][0]["delta"] for event in told[:-1]]
    assert deltas == [
        {"content": ""},
        {"content": None, "reasoning_content": "Let me think."},
        {"content": "4"},
        {"content": "2"},
    ]
    assert told[-1] == "[DONE]"


@pytest.mark.parametrize("odd", [b'{"choices":[{"message":{"content":[1]}}]}', b'{"content":["a"]', b'{"content":[]}'])
def test_what_is_no_answer_is_passed_on(odd: bytes) -> None:
    assert translation("mistral").whole(odd) == odd


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (
            {"object": "error", "message": "Bad id.", "type": "invalid_function_call", "param": None, "code": "3280"},
            {"message": "Bad id.", "type": "invalid_function_call", "param": None, "code": "3280"},
        ),
        (
            {"detail": [{"type": "extra_forbidden", "loc": ["body", "store"], "msg": "Extra inputs", "input": 1}]},
            {"message": "store: Extra inputs", "type": "invalid_request_error", "param": "store", "code": None},
        ),
        (
            {"message": {"detail": [{"loc": ["body", "messages", 0, "user", "name"], "msg": "Extra"}]}, "code": 3001},
            {
                "message": "messages.0.user.name: Extra",
                "type": "invalid_request_error",
                "param": "messages.0.user.name",
                "code": "3001",
            },
        ),
        (
            {"detail": "Unauthorized"},
            {"message": "Unauthorized", "type": "invalid_request_error", "param": None, "code": None},
        ),
    ],
)
def test_errors_have_openais_shape(body: Any, error: dict[str, Any]) -> None:
    assert msgspec.json.decode(translation("mistral").error(422, msgspec.json.encode(body))) == {"error": error}


@pytest.mark.parametrize("body", [b"<html>", b'{"error":{"message":"already"}}'])
def test_other_errors_stay(body: bytes) -> None:
    assert translation("mistral").error(500, body) == body


def test_complaints() -> None:
    too_long = b'{"message":"Prompt contains 40000 tokens, too large for model with 32768 maximum context length"}'
    echo = b'{"detail":[{"msg":"Extra","input":"maximum context length"}]}'

    assert DIALECT.complaint(400, too_long) == "context_too_long"
    assert DIALECT.complaint(422, echo) == "refused"
