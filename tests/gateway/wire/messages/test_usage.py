"""Anthropic's counts, said in OpenAI's words, are read back without losing a token."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from gateway.wire.messages.usage import AnthropicUsage, openai_usage, service_tier_of
from gateway.wire.usage import WireUsage, normalise
from routing.money import Usage

counts = st.integers(0, 10_000_000)


def read(**fields: Any) -> Usage | None:
    usage = msgspec.convert(fields, AnthropicUsage)
    return normalise(msgspec.json.decode(msgspec.json.encode(openai_usage(usage)), type=WireUsage))


@given(counts, counts, counts, counts, st.integers(1, 10_000_000))
def test_what_is_said_is_read(plain: int, cached: int, minutes: int, hour: int, output: int) -> None:
    assert read(
        input_tokens=plain,
        cache_read_input_tokens=cached,
        cache_creation_input_tokens=minutes + hour,
        cache_creation={"ephemeral_5m_input_tokens": minutes, "ephemeral_1h_input_tokens": hour},
        output_tokens=output,
        output_tokens_details={"thinking_tokens": output // 2},
    ) == Usage(
        input_tokens=plain + cached + minutes + hour,
        output_tokens=output,
        cache_read_tokens=cached,
        cache_write_tokens=minutes,
        cache_write_1h_tokens=hour,
        reasoning_tokens=output // 2,
    )


def test_writes_without_their_kind_are_the_default_ones() -> None:
    assert read(input_tokens=1, cache_creation_input_tokens=10, output_tokens=2) == Usage(
        input_tokens=11, output_tokens=2, cache_write_tokens=10
    )


def test_writes_that_grew_later_are_the_default_ones() -> None:
    assert read(input_tokens=1, cache_creation_input_tokens=10, cache_creation={"ephemeral_1h_input_tokens": 4}) == (
        Usage(input_tokens=11, cache_write_tokens=6, cache_write_1h_tokens=4)
    )


def test_a_stream_says_again_what_has_grown() -> None:
    first = msgspec.convert({"input_tokens": 5, "output_tokens": 1, "service_tier": "priority"}, AnthropicUsage)
    last = msgspec.json.decode(b'{"output_tokens":9,"input_tokens":7,"server_tool_use":{"web_search_requests":2}}')

    found = openai_usage(
        first.updated(msgspec.convert({**last, "server_tool_use": msgspec.Raw(b"{}")}, AnthropicUsage))
    )

    assert (found["prompt_tokens"], found["completion_tokens"], bytes(found["server_tool_use"])) == (7, 9, b"{}")
    assert service_tier_of(first.updated(AnthropicUsage(output_tokens=1))) == "priority"


def test_what_makes_it_dearer_is_told() -> None:
    found = openai_usage(AnthropicUsage(input_tokens=1, output_tokens=1, speed="fast", inference_geo="us"))

    assert (found["speed"], found["inference_geo"]) == ("fast", "us")
