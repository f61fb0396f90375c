"""Anthropic's counts, said in OpenAI's words, are read back without losing a token."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.wire.messages.usage import (
    AnthropicUsage,
    messages_usage,
    money_usage,
    openai_usage,
    service_tier_of,
    services_of,
)
from gateway.wire.usage import MAX_COUNT, WireUsage, normalise
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


counted = st.fixed_dictionaries(
    {"input_tokens": counts, "output_tokens": counts},
    optional={
        "cache_read_input_tokens": counts,
        "cache_creation_input_tokens": counts,
        "cache_creation": st.fixed_dictionaries(
            {"ephemeral_5m_input_tokens": counts, "ephemeral_1h_input_tokens": counts}
        ),
    },
)
passes = st.lists(st.tuples(counted, st.sampled_from(["message", "compaction", "advisor_message", "new"])), max_size=3)


@given(counted, passes, st.one_of(st.none(), counts))
def test_what_is_billed_is_the_same_by_way_of_chat(
    said: dict[str, Any], others: list[tuple[dict[str, Any], str]], thought: int | None
) -> None:
    iterations = [{**each, "type": kind} for each, kind in others]
    fields = {**said, "iterations": iterations, "output_tokens_details": {"thinking_tokens": thought}}
    usage = msgspec.json.decode(msgspec.json.encode(fields), type=AnthropicUsage)
    assert money_usage(usage) == normalise(
        msgspec.json.decode(msgspec.json.encode(openai_usage(usage)), type=WireUsage)
    )


@given(counted, passes)
def test_passes_beside_the_totals_are_billed(said: dict[str, Any], others: list[tuple[dict[str, Any], str]]) -> None:
    iterations = [{**each, "type": kind} for each, kind in others]
    apart = [each for each, kind in others if kind in ("compaction", "advisor_message")]
    usage = money_usage(
        msgspec.json.decode(msgspec.json.encode({**said, "iterations": iterations}), type=AnthropicUsage)
    )
    alone = [money_usage(msgspec.convert(each, AnthropicUsage)) or Usage() for each in (said, *apart)]
    assert (usage or Usage()) == Usage(*map(sum, zip(*alone, strict=True)))


@pytest.mark.parametrize("odd", [b"7", b"[7]", b'[{"type":7}]', b'"x"', b"null"])
def test_passes_that_cannot_be_read(odd: bytes) -> None:
    usage = msgspec.json.decode(b'{"input_tokens":1,"iterations":' + odd + b"}", type=AnthropicUsage)
    assert money_usage(usage) == Usage(input_tokens=1)


@given(counted)
def test_a_messages_usage_is_read_back(said: dict[str, Any]) -> None:
    usage = money_usage(msgspec.convert(said, AnthropicUsage)) or Usage()
    assert (money_usage(msgspec.convert(messages_usage(usage), AnthropicUsage)) or Usage()) == usage


def test_impossible_counts_are_no_usage() -> None:
    assert money_usage(None) is None
    assert money_usage(AnthropicUsage()) is None
    assert money_usage(AnthropicUsage(input_tokens=-1, output_tokens=5)) is None
    assert money_usage(AnthropicUsage(input_tokens=MAX_COUNT + 1)) is None


@pytest.mark.parametrize(
    ("said", "services"),
    [
        (b'{"web_search_requests":2,"web_fetch_requests":3}', {"web_search": 2, "web_fetch": 3}),
        (b'{"web_search_requests":0,"new_requests":3}', {}),
        (b'{"web_search_requests":-1}', {}),
        (b'{"web_search_requests":"x"}', {}),
        (b"null", {}),
    ],
)
def test_services(said: bytes, services: dict[str, int]) -> None:
    assert services_of(AnthropicUsage(server_tool_use=msgspec.Raw(said))) == services
