"""The chat form in OpenAI's words only."""

from __future__ import annotations

import json
from typing import Any

import pytest
from openai.types.chat import ChatCompletionMessageParam
from pydantic import TypeAdapter

from gateway.wire.responses.envelope import sealed
from gateway.wire.responses.plain import plain
from gateway.wire.tongues import read_tongue
from tests.gateway.wire.responses.test_history import raws
from tests.gateway.wire.responses.wording import body_of

_message_type: TypeAdapter[Any] = TypeAdapter(ChatCompletionMessageParam)
IMAGE = {"type": "input_image", "image_url": "data:image/png;base64,AA"}
CALL = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"}


def result(*parts: Any) -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": "c1", "output": list(parts)}


def told(*, strict: bool = True, field: str = "max_tokens", **fields: Any) -> dict[str, Any]:
    request = read_tongue("responses", body_of(**fields))
    said = plain(request, "m", field, strict=strict)
    assert said.native is request.native
    found: dict[str, Any] = json.loads(said.body)
    for message in found["messages"]:
        _message_type.validate_python(message, strict=False)
    return found


def test_what_only_other_providers_take_is_left_out() -> None:
    kept = sealed({"thinking_blocks": raws({"type": "thinking"})})
    thought = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}], "encrypted_content": kept}
    marked = {"type": "input_text", "text": "a", "cache_control": {"type": "ephemeral"}}
    tool = {"type": "function", "name": "f", "cache_control": {"type": "ephemeral"}}
    said = told(
        input=[thought, CALL, result(marked), {"role": "user", "content": [marked]}],
        tools=[tool],
        metadata={"a": "b"},
        service_tier="auto",
    )
    assert said["messages"][0].keys() == {"role", "content", "tool_calls"}
    assert [message["content"] for message in said["messages"][1:]] == ["a", "a"]
    assert "cache_control" not in json.dumps(said)
    assert not {"metadata", "service_tier"} & said.keys()


@pytest.mark.parametrize("strict", [True, False])
def test_thoughts_go_back_where_they_are_not_refused(strict: bool) -> None:
    thought = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}]}
    [message] = told(strict=strict, input=[thought])["messages"]
    assert message["content"] == ""
    assert ("reasoning_content" in message) is not strict


def test_pictures_of_tools_are_shown_by_the_user() -> None:
    text = {"type": "input_text", "text": "see"}
    items = [
        {**CALL, "call_id": "c1"},
        {**CALL, "call_id": "c2"},
        result(text, IMAGE),
        {**result(IMAGE), "call_id": "c2"},
    ]
    image = {"type": "image_url", "image_url": {"url": IMAGE["image_url"]}}
    messages = told(input=items)["messages"]
    assert messages[1]["content"] == "see"
    assert isinstance(messages[2]["content"], str)
    assert messages[3:] == [{"role": "user", "content": [image, image]}]
    messages = told(input=[*items, {"role": "user", "content": "And?"}])["messages"]
    assert messages[3:] == [{"role": "user", "content": [image, image, {"type": "text", "text": "And?"}]}]
    messages = told(input=[*items, {"role": "assistant", "content": "Well."}])["messages"]
    assert [message["role"] for message in messages[3:]] == ["user", "assistant"]


def test_the_bound_is_said_in_the_deployments_field() -> None:
    assert told(max_output_tokens=50)["max_tokens"] == 50
    said = told(max_output_tokens=50, field="max_completion_tokens")
    assert said["max_completion_tokens"] == 50
    assert "max_tokens" not in said
