"""Whole answers of chat as messages, where they are not as they should be, and what they cost."""

from __future__ import annotations

import json
from typing import Any

import pytest
from anthropic.types import Message

from gateway.wire.answers import MalformedAnswer
from gateway.wire.messages import AnswerTranslator
from routing.money import NanoUsd


def message_of(completion: Any, cost: NanoUsd | None = None) -> dict[str, Any]:
    made = AnswerTranslator(model="asked", request_id="r").whole(json.dumps(completion).encode(), cost)
    Message.model_validate_json(made, strict=True)
    found: dict[str, Any] = json.loads(made)
    return found


def said(finish: str = "stop", **message: Any) -> dict[str, Any]:
    return {"choices": [{"message": message, "finish_reason": finish}]}


@pytest.mark.parametrize("body", [b"", b"[]", b"7", b'{"choices":7}', b'{"choices":[7]}'])
def test_what_is_no_answer(body: bytes) -> None:
    with pytest.raises(MalformedAnswer):
        AnswerTranslator(model="m", request_id="r").whole(body)


@pytest.mark.parametrize("completion", [{}, {"choices": []}, {"choices": [{}]}, said(), said(content=None)])
def test_an_answer_that_says_nothing(completion: Any) -> None:
    made = message_of(completion)
    assert (made["content"], made["stop_reason"], made["model"], made["id"]) == ([], "end_turn", "asked", "msg_r")


def test_the_first_answer_counts() -> None:
    choices = [{"index": index, "message": {"content": str(index)}, "finish_reason": "stop"} for index in (1, 0)]
    assert message_of({"choices": choices})["content"] == [{"type": "text", "text": "0"}]


def test_what_it_cost_is_told() -> None:
    completion = {**said(content="a"), "usage": {"prompt_tokens": 1, "completion_tokens": 1, "cost": 9}}
    assert message_of(completion)["usage"]["cost"] == 9
    assert message_of(completion, NanoUsd(1_200_000_000))["usage"]["cost"] == 1.2


@pytest.mark.parametrize(
    ("arguments", "given"),
    [
        ('{"a": 1}', {"a": 1}),
        (" ", {}),
        ("null", {}),
        ("[1]", {"arguments": "[1]"}),
        ('{"a"', {"arguments": '{"a"'}),
        ({"a": 1}, {"a": 1}),
        (None, {}),
    ],
)
def test_arguments(arguments: Any, given: Any) -> None:
    call = {"id": "c", "function": {"name": "f", "arguments": arguments}}
    (block,) = message_of(said("tool_calls", tool_calls=[call]))["content"]
    assert block == {"type": "tool_use", "id": "c", "name": "f", "input": given}


@pytest.mark.parametrize(
    ("finish", "native", "reason"),
    [
        ("stop", "stop_sequence", "stop_sequence"),
        ("stop", "pause_turn", "pause_turn"),
        ("length", "model_context_window_exceeded", "model_context_window_exceeded"),
        ("length", "end_turn", "max_tokens"),
        ("stop", "STOP", "end_turn"),
        ("stop", 7, "end_turn"),
        ("content_filter", None, "refusal"),
        ("function_call", None, "tool_use"),
        ("new", None, "end_turn"),
    ],
)
def test_why_it_stopped(finish: str, native: Any, reason: str) -> None:
    completion = said(finish, content="a")
    completion["choices"][0]["native_finish_reason"] = native
    assert message_of(completion)["stop_reason"] == reason
