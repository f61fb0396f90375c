"""What a request becomes that goes through the LiteLLM SDK."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from gateway.config.snapshot import Endpoint, LiteLLM
from gateway.errors import InvalidField
from gateway.upstream.dialects.litellm import DIALECT, Order
from gateway.upstream.dialects.protocol import Wish
from gateway.wire.requests import CHAT, COMPLETIONS, EMBEDDINGS, read_request

MESSAGES = [{"role": "user", "content": "see https://example.com"}]


def order(api: str = CHAT, *, drop: bool = False, ours: int | None = None, **fields: Any) -> tuple[bytes, Order]:
    asked: dict[str, Any] = {"model": "m", **({"messages": MESSAGES} if api == CHAT else {}), **fields}
    request = read_request(api, msgspec.json.encode(asked))
    endpoint = Endpoint("acme", "", (), dialect="litellm", litellm=LiteLLM("bedrock", drop_params=drop))
    wish = Wish("nova-pro", ours, "max_tokens", None, request.stream, "req_1", [])
    path, headers, body = DIALECT.outgoing(request, wish, endpoint)
    assert headers == b""
    return path, msgspec.json.decode(body, type=Order)


def test_a_chat_becomes_a_call_with_the_models_full_name() -> None:
    path, made = order(temperature=0.5, stop=["x"], tools=[{"type": "function"}])

    assert path == b"acompletion"
    assert made == Order(
        {
            "model": "bedrock/nova-pro",
            "messages": MESSAGES,
            "temperature": 0.5,
            "stop": ["x"],
            "tools": [{"type": "function"}],
        }
    )


def test_a_stream_is_asked_for_with_its_usage() -> None:
    _, made = order(stream=True)

    assert made.stream
    assert made.arguments["stream_options"] == {"include_usage": True}


@pytest.mark.parametrize(
    ("fields", "ours", "bound"),
    [
        ({}, None, None),
        ({"max_tokens": 7}, None, 7),
        ({"max_completion_tokens": 8}, None, 8),
        ({"max_completion_tokens": 8, "max_tokens": 7}, None, 7),
        ({"max_completion_tokens": 8}, 5, 5),
        ({}, 5, 5),
    ],
)
def test_one_bound_under_the_name_that_all_know(fields: dict[str, Any], ours: int | None, bound: int | None) -> None:
    _, made = order(**fields, ours=ours)

    assert made.arguments.get("max_tokens") == bound
    assert "max_completion_tokens" not in made.arguments


@pytest.mark.parametrize(
    "fields",
    [
        {
            "n": 1,
            "presence_penalty": 0,
            "frequency_penalty": 0.0,
            "logprobs": False,
            "response_format": {"type": "text"},
        },
        {"parallel_tool_calls": True, "service_tier": "auto", "logit_bias": {}, "stream": False, "tools": []},
        {"metadata": {"a": "b"}, "store": True, "safety_identifier": "x", "prompt_cache_key": "k"},
        {"top_p": None, "seed": None, "api_base": None},
    ],
)
def test_what_says_nothing_is_left_out(fields: dict[str, Any]) -> None:
    _, made = order(**fields)

    assert set(made.arguments) == {"model", "messages"}


@pytest.mark.parametrize("fields", [{"n": 2}, {"parallel_tool_calls": False}, {"logprobs": True}, {"seed": 0}])
def test_what_says_something_goes_on(fields: dict[str, Any]) -> None:
    _, made = order(**fields)

    assert fields.items() <= made.arguments.items()


@pytest.mark.parametrize(
    "name",
    [
        *("api_base", "api_key", "aws_bedrock_runtime_endpoint", "base_url", "custom_llm_provider", "extra_headers"),
        *("fallbacks", "headers", "input_cost_per_token", "mock_response", "model_list", "num_retries"),
        *("vertex_credentials", "x"),
    ],
)
def test_no_client_sets_the_sdks_own_switches(name: str) -> None:
    with pytest.raises(InvalidField, match=name) as caught:
        order(**{name: "x"})
    assert caught.value.param == name

    _, made = order(drop=True, **{name: "x"})
    assert name not in made.arguments


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": "http://10.0.0.1/secret"}},
        {"type": "image_url", "image_url": "HTTPS://example.com/a.png"},
        {"type": "file", "file": {"file_id": "https://example.com/a.pdf"}},
        {"type": "video_url", "video_url": {"url": " file:///etc/passwd"}},
    ],
)
def test_nothing_is_fetched_for_a_client(part: dict[str, Any]) -> None:
    with pytest.raises(InvalidField, match="fetched") as caught:
        order(messages=[{"role": "user", "content": [part]}])
    assert caught.value.param == "messages"


def test_contents_and_the_providers_own_places_go_on() -> None:
    parts = [
        {"type": "text", "text": "https://example.com"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
        {"type": "image_url", "image_url": {"url": "gs://bucket/a.png"}},
    ]
    call = {"id": "1", "type": "function", "function": {"name": "open", "arguments": "https://example.com"}}
    messages = [{"role": "user", "content": parts}, {"role": "assistant", "content": None, "tool_calls": [call]}]

    assert order(messages=messages)[1].arguments["messages"] == messages


def test_a_completion_is_a_chat_with_one_message() -> None:
    path, made = order(COMPLETIONS, prompt=["Once"], echo=False, best_of=1, suffix="")

    assert path == b"acompletion"
    assert made == Order(
        {"model": "bedrock/nova-pro", "messages": [{"role": "user", "content": "Once"}]}, stream=False, text=True
    )


@pytest.mark.parametrize("prompt", [["a", "b"], [1, 2], [[1, 2]], []])
def test_other_prompts_are_refused(prompt: Any) -> None:
    with pytest.raises(InvalidField, match="prompt"):
        order(COMPLETIONS, prompt=prompt)


@pytest.mark.parametrize(("wanted", "in_base64"), [("base64", True), ("float", False), (None, False)])
def test_vectors_in_base64_are_made_here(wanted: str | None, in_base64: bool) -> None:
    path, made = order(EMBEDDINGS, input=["a"], encoding_format=wanted)

    assert path == b"aembedding"
    assert made == Order({"model": "bedrock/nova-pro", "input": ["a"]}, base64=in_base64)
