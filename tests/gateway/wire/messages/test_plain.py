"""In OpenAI's words only: nothing of Anthropic's is left, and everything that was said is."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from openai.types.chat.completion_create_params import CompletionCreateParams
from pydantic import TypeAdapter

from gateway.wire.messages import read
from gateway.wire.messages.plain import plain
from gateway.wire.requests import CHAT, read_request
from tests.gateway.wire.messages.test_round_trips import requests, tools

_params: TypeAdapter[Any] = TypeAdapter(CompletionCreateParams)
ANTHROPICS = ("cache_control", "thinking_blocks", "content_blocks", "is_error", "input_examples", "output_config")


def said(fields: dict[str, Any], model: str = "gpt-5", *, strict: bool = True) -> dict[str, Any]:
    base = {"model": "m", "max_tokens": 10, "messages": [{"role": "user", "content": "Hi"}]}
    request = read_request(CHAT, read(json.dumps({**base, **fields}).encode())[0])
    found: dict[str, Any] = json.loads(plain(request, model, "max_completion_tokens", strict=strict).body)
    return found


def names_in(value: Any) -> set[str]:
    if isinstance(value, dict):
        return set(value).union(*(names_in(each) for each in value.values()))
    return set().union(*(names_in(each) for each in value)) if isinstance(value, list) else set()


@settings(max_examples=60, deadline=None)
@given(requests, tools)
def test_it_is_of_openais_types(fields: dict[str, Any], given_: Any) -> None:
    body = said({**fields, "tools": given_, "output_config": {"effort": "low"}})
    calls = [call["function"] for message in body["messages"] for call in message.get("tool_calls", ())]
    assert all(isinstance(json.loads(call["arguments"]), dict) for call in calls)
    assert names_in(body).isdisjoint(ANTHROPICS)
    validated = json.loads(json.dumps(_params.validate_python(body), default=list))
    assert validated.keys() == body.keys()
    roles = [message["role"] for message in body["messages"]]
    for index, role in enumerate(roles):
        content = body["messages"][index]["content"]
        assert role == "user" or content is None or isinstance(content, str), "only users send parts"
        assert role != "tool" or not index or roles[index - 1] in ("tool", "assistant", "system")


def test_pictures_of_tools_are_shown_behind_the_results() -> None:
    picture = {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}
    content: list[dict[str, Any]] = [
        {"type": "tool_result", "tool_use_id": "t1", "content": [picture]},
        {"type": "tool_result", "tool_use_id": "t2", "content": "two"},
    ]
    shown = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    alone = said({"messages": [{"role": "user", "content": content}, {"role": "assistant", "content": "x"}]})
    assert [message["role"] for message in alone["messages"]] == ["tool", "tool", "user", "assistant"]
    assert alone["messages"][2]["content"] == [shown]
    content.append({"type": "text", "text": "Go on."})
    with_text = said({"messages": [{"role": "user", "content": content}]})
    assert with_text["messages"][2]["content"] == [shown, {"type": "text", "text": "Go on."}]


@pytest.mark.parametrize(
    ("fields", "effort"),
    [
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, "low"),
        ({"thinking": {"type": "enabled", "budget_tokens": 16_384}}, "medium"),
        ({"thinking": {"type": "enabled", "budget_tokens": 31_999}}, "high"),
        ({"thinking": {"type": "adaptive"}}, None),
        ({"thinking": {"type": "disabled"}}, None),
        ({"thinking": {"type": "adaptive"}, "output_config": {"effort": "xhigh"}}, "high"),
        ({"output_config": {"effort": "medium"}}, "medium"),
        ({"output_config": {"effort": "new"}}, None),
        ({"thinking": 7, "output_config": {"effort": 7}}, None),
        ({}, None),
    ],
)
def test_efforts(fields: dict[str, Any], effort: str | None) -> None:
    assert said(fields).get("reasoning_effort") == effort


@pytest.mark.parametrize(
    ("model", "takes"),
    [
        ("gpt-5-mini", True),
        ("openai/gpt-5.2", True),
        ("o3", True),
        ("o4-mini-2025-04-16", True),
        ("gpt-oss-120b", True),
        ("gemini-2.5-flash", True),
        ("models/gemini-3-pro", True),
        ("gpt-4.1", False),
        ("gpt-4o", False),
        ("llama-3.3-70b", False),
        ("gemini-2.0-flash", False),
        ("pro-o3", False),
    ],
)
def test_only_models_that_are_known_to_take_an_effort_are_sent_one(model: str, takes: bool) -> None:
    assert ("reasoning_effort" in said({"output_config": {"effort": "high"}}, model)) is takes


def test_strict_tools_stay_strict_where_openai_takes_them_so() -> None:
    closed = {
        "type": "object",
        "properties": {"a": {"type": "string"}},
        "required": ["a"],
        "additionalProperties": False,
    }
    opened = {**closed, "required": []}
    given_ = [{"name": "f", "input_schema": each, "strict": True} for each in (closed, opened)]
    assert [tool["function"].get("strict") for tool in said({"tools": given_})["tools"]] == [True, None]


def test_chats_own_tools_stay() -> None:
    custom = {"type": "custom", "custom": {"name": "f"}}
    body = {"model": "m", "messages": [{"role": "user", "content": "x"}], "tools": [custom]}
    said_ = plain(read_request(CHAT, json.dumps(body).encode()), "m", "max_tokens", strict=True)
    assert json.loads(said_.body) == body


def test_the_tier_is_said_where_it_says_something() -> None:
    assert "service_tier" not in said({"service_tier": "auto"})
    assert said({"service_tier": "standard_only"})["service_tier"] == "default"
