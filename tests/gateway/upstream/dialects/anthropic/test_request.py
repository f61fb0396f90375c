"""Bounds, thinking and what is refused: the parts of a request that golden files show only in samples."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.snapshot import Endpoint
from gateway.errors import InvalidField
from gateway.upstream.dialects.anthropic import DIALECT
from gateway.upstream.dialects.anthropic.request import DEFAULT_MAX_TOKENS
from gateway.upstream.dialects.anthropic.tools import MAX_STRICT_TOOLS
from gateway.upstream.dialects.protocol import Wish
from gateway.wire.requests import EMBEDDINGS, read_request

ENDPOINT = Endpoint(provider="anthropic", base_url="https://provider.example/v1", headers=())
MODELS = (
    *("claude-3-5-haiku-latest", "claude-sonnet-4-5", "claude-opus-4-5", "claude-opus-4-6", "claude-opus-4-8"),
    *("claude-opus-5", "claude-sonnet-5-5", "claude-opus-5-5", "claude-fable-5-1", "kimi-k2"),
)


def send(model: str = "claude-sonnet-4-5", *, wish: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    """The body that goes out for a request with these fields."""
    request = {"model": model, "messages": [{"role": "user", "content": "Hi"}], **fields}
    read = read_request("chat", json.dumps(request).encode())
    made = Wish(model, None, "max_tokens", None, False, "req-1", [])._replace(**wish or {})
    body: dict[str, Any] = json.loads(DIALECT.outgoing(read, made, ENDPOINT).body)
    return body


bounds = st.one_of(st.none(), st.integers(-1, 100_000))
ours = st.one_of(st.none(), st.integers(1, 100_000))


@given(bounds, bounds, ours, ours)
def test_the_answer_is_always_bounded(
    max_tokens: int | None, max_completion_tokens: int | None, lowered: int | None, most: int | None
) -> None:
    wish = {"max_tokens": lowered, "model_max_output_tokens": most}
    body = send(max_tokens=max_tokens, max_completion_tokens=max_completion_tokens, wish=wish)
    own = [each for each in (max_tokens, max_completion_tokens) if each is not None and each >= 0]
    known = [each for each in (lowered, most, max(own, default=None)) if each is not None]

    assert body["max_tokens"] <= min(known, default=DEFAULT_MAX_TOKENS)
    assert body["max_tokens"] in [*own, *known, DEFAULT_MAX_TOKENS]
    assert "max_completion_tokens" not in body


@given(
    st.sampled_from(MODELS),
    st.sampled_from(["none", "minimal", "low", "medium", "high", "xhigh", "max"]),
    st.integers(1, 100_000),
    st.booleans(),
)
def test_thinking_fits_the_model_and_the_bound(model: str, effort: str, max_tokens: int, forced: bool) -> None:
    tools = {"tools": [{"type": "function", "function": {"name": "f"}}], "tool_choice": "required"} if forced else {}
    body = send(model, reasoning_effort=effort, max_tokens=max_tokens, temperature=0.5, top_k=3, **tools)
    thinking = body.get("thinking", {"type": ""})

    if thinking["type"] == "enabled":
        assert 1024 <= thinking["budget_tokens"] < max_tokens
    if thinking["type"] in ("enabled", "adaptive"):
        assert effort != "none"
        assert not forced
        assert "temperature" not in body
        assert "top_k" not in body
    if effort == "none":
        assert body.get("output_config", {}).get("effort", "low") == "low"


@pytest.mark.parametrize(("effort", "sent"), [("low", "low"), ("high", "high"), ("xhigh", "high"), ("max", "max")])
def test_efforts_that_a_model_does_not_know_are_lowered(effort: str, sent: str) -> None:
    assert send("claude-opus-4-6", reasoning_effort=effort)["output_config"] == {"effort": sent}


def test_sampling_by_generation() -> None:
    both = {"temperature": 0.5, "top_p": 0.9}

    assert send("claude-3-5-haiku-latest", **both) | both == send("claude-3-5-haiku-latest", **both)
    assert "top_p" not in send("claude-sonnet-4-5", **both)
    assert send("claude-sonnet-4-5", top_p=0.9)["top_p"] == 0.9
    assert not both.keys() & send("claude-opus-4-7", **both).keys()


def test_more_strict_tools_than_are_taken_are_not_strict() -> None:
    def strict(count: int) -> list[bool]:
        function = {"parameters": {"type": "object", "properties": {}}, "strict": True}
        tools = [{"type": "function", "function": {"name": f"f{index}", **function}} for index in range(count)]
        return ["strict" in tool for tool in send(tools=tools)["tools"]]

    assert all(strict(MAX_STRICT_TOOLS))
    assert not any(strict(MAX_STRICT_TOOLS + 1))


def test_schemas_that_do_not_say_what_they_are() -> None:
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"properties": {"x": {}}}}}]

    assert send(tools=tools)["tools"][0]["input_schema"] == {"type": "object", "properties": {"x": {}}}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"temperature": "hot"}, "temperature"),
        ({"stop": 1}, "stop"),
        ({"user": 1}, "user"),
        ({"metadata": {"user_id": 1}}, "user"),
        ({"thinking": "much"}, "thinking"),
        ({"output_config": 1}, "output_config"),
        ({"reasoning_effort": 1}, "reasoning_effort"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema.schema"),
        ({"tool_choice": "maybe"}, "tool_choice"),
        ({"tool_choice": {"type": "custom", "custom": {"name": "x"}}}, "tool_choice"),
        ({"tool_choice": 1}, "tool_choice"),
        ({"tools": [{"type": "function", "function": 1}]}, "tools[0].function"),
        ({"tools": [{"function": {"name": "f", "parameters": []}}]}, "tools[0].function.parameters"),
        ({"n": 2}, "n"),
        ({"messages": []}, "messages"),
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"moderation": {"model": "m"}}, "moderation"),
        ({"web_search_options": {"search_context_size": "low"}}, "web_search_options"),
        ({"function_call": "auto"}, "function_call"),
    ],
)
def test_what_is_refused_is_named(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidField) as caught:
        send(**fields)
    assert caught.value.param == param
    assert "`" in caught.value.message


def test_nulls_are_as_good_as_absent() -> None:
    names = ("n", "tools", "tool_choice", "stop", "user", "metadata", "response_format", "thinking", "system", "top_p")

    assert send(**dict.fromkeys(names), audio=None, functions=None, unknown=None) == send()


def test_other_requests_than_chat_are_refused() -> None:
    read = read_request(EMBEDDINGS, b'{"model": "claude", "input": "x"}')
    with pytest.raises(InvalidField):
        DIALECT.outgoing(read, Wish("claude", None, "max_tokens", None, False, "r", []), ENDPOINT)
