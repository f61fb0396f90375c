from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.wire.requests import ModelRequest, read_request
from gateway.wire.verify import unmet
from routing.rules import Answer, Check, Verify

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "look_up",
            "parameters": {"type": "object", "properties": {"word": {"type": "string"}}, "required": ["word"]},
        },
    }
]
SCHEMA = {
    "type": "json_schema",
    "json_schema": {
        "name": "x",
        "schema": {"type": "object", "required": ["a"], "properties": {"a": {"type": "integer"}}},
    },
}


def request(**fields: Any) -> ModelRequest:
    body = {"model": "auto", "messages": [{"role": "user", "content": "hi"}], **fields}
    return read_request("chat", json.dumps(body).encode())


def answer(content: str | None = "Hello.", *, reason: str = "stop", **message: Any) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": content, **message}, "finish_reason": reason}
    return json.dumps({"choices": [choice]}).encode()


def call(name: str, arguments: str) -> dict[str, Any]:
    return {"tool_calls": [{"id": "1", "type": "function", "function": {"name": name, "arguments": arguments}}]}


def check(name: Check, asked: ModelRequest, body: bytes) -> str:
    return unmet(Verify((name,)), asked, body, 5)


@pytest.mark.parametrize(
    ("content", "passes"), [('{"a": 1}', True), ('{"a": "1"}', False), ('{"a": 1', False), ("Here: {}", False)]
)
def test_schema(content: str, passes: bool) -> None:
    assert check("schema", request(response_format=SCHEMA), answer(content)) == ("" if passes else "schema")


def test_schema_of_requests_without_one_and_of_tool_calls() -> None:
    assert check("schema", request(), answer("no JSON")) == ""
    assert check("schema", request(response_format={"type": "json_object"}), answer("[]")) == "schema"
    assert check("schema", request(response_format=SCHEMA), answer(None, **call("look_up", "{}"))) == ""


@pytest.mark.parametrize(
    ("name", "arguments", "passes"),
    [
        ("look_up", '{"word": "tide"}', True),
        ("look_up", '{"word": 1}', False),
        ("look_up", '{"word": ', False),
        ("look_up", "", False),
        ("forget", "{}", False),
    ],
)
def test_tool_calls(name: str, arguments: str, passes: bool) -> None:
    body = answer(None, reason="tool_calls", **call(name, arguments))
    assert check("tool_calls", request(tools=TOOLS), body) == ("" if passes else "tool_calls")


def test_a_call_that_is_demanded() -> None:
    assert check("tool_calls", request(tools=TOOLS), answer()) == ""
    assert check("tool_calls", request(tools=TOOLS, tool_choice="required"), answer()) == "tool_calls"
    forced = {"type": "function", "function": {"name": "look_up"}}
    assert check("tool_calls", request(tools=TOOLS, tool_choice=forced), answer()) == "tool_calls"


@pytest.mark.parametrize(
    "content",
    [
        "I'm sorry, but I can't assist with that.",
        "I\u2019m sorry, but I can\u2019t help with that request.",
        "I cannot provide medical advice.",
        "Sorry, I am unable to help with this.",
        "Unfortunately, I can't comply with that request.",
        "I won't answer that.",
    ],
)
def test_refusals(content: str) -> None:
    assert check("refusal", request(), answer(content)) == "refusal"


@pytest.mark.parametrize(
    "content", ["Sorry for the wait: it is 4.", "I can help with that.", "The tide can't assist boats.", ""]
)
def test_what_is_no_refusal(content: str) -> None:
    assert check("refusal", request(), answer(content)) == ""


def test_refusals_by_the_wires_own_words() -> None:
    assert check("refusal", request(), answer(None, refusal="No.")) == "refusal"
    assert check("refusal", request(), answer("Well", reason="content_filter")) == "refusal"


def test_empty() -> None:
    assert check("empty", request(), answer(" \n")) == "empty"
    assert check("empty", request(), answer(None)) == "empty"
    assert check("empty", request(), answer(None, **call("look_up", "{}"))) == ""
    assert check("empty", request(), b'{"choices": []}') == "empty"
    assert check("empty", request(), b"not JSON") == "empty"


class Long:
    def matches(self, answer: Answer) -> bool | None:
        return None if answer.finish_reason == "length" else answer.output_tokens > 10


def test_the_rules_own_condition() -> None:
    verify = Verify((), Long())
    assert unmet(verify, request(), answer(), 11) == ""
    assert unmet(verify, request(), answer(), 10) == "condition"
    assert unmet(verify, request(), answer(reason="length"), 11) == "condition"  # it failed: the answer will not do
