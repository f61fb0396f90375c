"""The form of answers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.wire.form import MAX_BYTES, has_form
from gateway.wire.requests import CHAT, ModelRequest, read_request

TOOL = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object", "required": ["word"]}}}


def request(**fields: Any) -> ModelRequest:
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], **fields}
    return read_request(CHAT, json.dumps(body).encode())


def answer(finish_reason: str = "stop", **message: Any) -> bytes:
    choice = {"index": 0, "finish_reason": finish_reason, "message": {"role": "assistant", **message}}
    return json.dumps({"choices": [choice]}).encode()


def calls(name: str, arguments: str) -> bytes:
    function = {"name": name, "arguments": arguments}
    return answer("tool_calls", content=None, tool_calls=[{"id": "c", "type": "function", "function": function}])


JSON = request(response_format={"type": "json_object"})
TOOLS = request(tools=[TOOL])


@pytest.mark.parametrize(
    ("asked", "body", "formed"),
    [
        (request(response_format={"type": "text"}), answer(content="no JSON"), None),
        (JSON, answer(content='{"a": 1}'), True),
        (JSON, answer(content="Sure! Here it is"), False),
        (JSON, answer("length", content='{"a'), None),
        (TOOLS, calls("look_up", '{"word": "tide"}'), True),
        (TOOLS, calls("look_up", '{"word'), False),
        (TOOLS, calls("look_down", "{}"), False),
        (TOOLS, answer(content="I know that by heart."), None),
        (request(), answer(content="hello"), None),
        (JSON, answer(content=" " * MAX_BYTES), None),
    ],
)
def test_form(asked: ModelRequest, body: bytes, formed: bool | None) -> None:
    assert has_form(asked, body) is formed
