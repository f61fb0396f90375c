"""What a request can cost at most: each field's rule, and that shortening an answer never costs more than granted."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import CostUnbounded
from gateway.ledger.operations import Amounts
from gateway.pricing.bounds import Bound, bound
from gateway.pricing.override import compile_override
from gateway.wire.native import RESPONSES, Gist, Native, Service
from gateway.wire.requests import CHAT, COMPLETIONS, EMBEDDINGS, ModelRequest, read_request
from routing.catalog import Deployment
from routing.money import Usage, cost

NOW_S = 1_790_000_000.0
PRICE = {"input": "2", "output": "10", "request": "0.001"}
INPUT, OUTPUT, FEE = 2_000_000, 10_000_000, 1_000_000
"""Pico-USD a token, and nano-USD a request."""
DATA_URL = "data:image/png;base64," + "A" * 4_000


def deployment(price: dict[str, Any] | None = None, **fields: Any) -> Deployment:
    fields = {"context_tokens": 100_000, "max_output_tokens": 4_000, **fields}
    name = fields.pop("upstream_model", "some-model")
    return Deployment(f"p/{name}", "p", name, compile_override(price or PRICE, "test"), **fields)


def ask(api: str = CHAT, **fields: Any) -> ModelRequest:
    needed: dict[str, Any] = {"messages": []} if api == CHAT else {"prompt": "a", "input": "a"}
    return read_request(api, json.dumps({"model": "m", **needed, **fields}).encode())


def bounded(*, api: str = CHAT, at: Deployment | None = None, cap: int | None = None, **fields: Any) -> Bound:
    return bound(ask(api, **fields), at or deployment(), cap, NOW_S)


def refused(*, api: str = CHAT, at: Deployment | None = None, **fields: Any) -> str | None:
    with pytest.raises(CostUnbounded) as caught:
        bounded(api=api, at=at, **fields)
    assert caught.value.param is not None
    assert f"`{caught.value.param}`" in caught.value.message
    return caught.value.param


def picos(found: Bound) -> int:
    return found.input_tokens * INPUT + found.output_tokens * found.answers * OUTPUT


# --- input ---


def test_a_plain_request() -> None:
    messages = [{"role": "user", "content": "Grüße, Welt"}]
    request = ask(messages=messages, max_tokens=100)
    found = bound(request, deployment(), None, NOW_S)
    body = request.body
    assert found.input_tokens == len(body) + body.count(b",") + body.count(b":") + 256 + 8
    assert (found.output_tokens, found.answers, found.set_max_tokens) == (100, 1, None)
    assert found.money == -(-picos(found) // 1_000) + FEE
    assert found.strict == (found.money, found.input_tokens + 100)


def test_the_context_window_bounds_the_input() -> None:
    assert bounded(messages=[{"role": "user", "content": "x" * 200_000}]).input_tokens == 100_000
    found = bounded(at=deployment(context_tokens=None), messages=[{"role": "user", "content": "x" * 200_000}])
    assert found.input_tokens > 200_000


def test_each_prompt_has_a_window_of_its_own() -> None:
    assert bounded(api=COMPLETIONS, prompt="x" * 200_000).input_tokens == 100_000
    assert bounded(api=COMPLETIONS, prompt=["x" * 90_000] * 3).input_tokens > 270_000
    assert bounded(api=EMBEDDINGS, input=["x" * 90_000] * 3).input_tokens > 270_000


def test_embeddings_have_no_output() -> None:
    found = bounded(api=EMBEDDINGS, input=list(range(1_000, 2_000)), max_tokens=50)
    assert (found.output_tokens, found.strict.tokens) == (0, found.input_tokens)
    assert found.input_tokens >= 1_000
    assert found.tokens_for(found.strict) == 0


def test_schemas_may_be_written_again_more_widely() -> None:
    tools = [{"type": "function", "function": {"name": "f", "description": "天气", "parameters": {}}}]
    plain, with_tools = ask(max_tokens=1), ask(max_tokens=1, tools=tools)
    raw = bytes(with_tools.fields["tools"])
    extra = (
        bound(with_tools, deployment(), None, NOW_S).text_tokens - bound(plain, deployment(), None, NOW_S).text_tokens
    )
    assert extra > len(raw) + 1_024 + 32 + 2 * (raw.count(b"{") + raw.count(b"}") + 2)
    functions = bounded(functions=[{"name": "f"}, {"name": "g"}])
    assert functions.text_tokens > bounded().text_tokens + 1_024 + 2 * 32
    assert bounded(functions="odd").text_tokens < functions.text_tokens


# --- output ---


@pytest.mark.parametrize(
    ("fields", "cap", "output", "set_max_tokens"),
    [
        ({}, None, 4_000, None),
        ({"max_tokens": 100}, None, 100, None),
        ({"max_tokens": 0}, None, 0, None),
        ({"max_tokens": -1}, None, 4_000, None),
        ({"max_tokens": None}, None, 4_000, None),
        ({"max_completion_tokens": 100}, None, 100, None),
        ({"max_tokens": 300, "max_completion_tokens": 100}, None, 300, None),
        ({"max_tokens": 100, "max_completion_tokens": 300}, None, 300, None),
        ({"max_tokens": 9_000}, None, 4_000, None),
        ({}, 500, 500, 500),
        ({"max_tokens": 100}, 500, 100, None),
        ({"max_tokens": 500}, 500, 500, None),
        ({"max_tokens": 9_000}, 500, 500, 500),
        ({"max_tokens": 9_000}, 5_000, 4_000, None),
    ],
)
def test_output(fields: dict[str, Any], cap: int | None, output: int, set_max_tokens: int | None) -> None:
    found = bounded(cap=cap, **fields)
    assert (found.output_tokens, found.set_max_tokens) == (output, set_max_tokens)


def test_output_without_a_declared_maximum() -> None:
    at = deployment(max_output_tokens=None)
    assert bounded(at=at).output_tokens == 100_000
    assert bounded(at=at, max_tokens=2**31 - 1).output_tokens == 100_000
    assert bounded(at=at, cap=7).set_max_tokens == 7
    unknown = deployment(max_output_tokens=None, context_tokens=None)
    assert refused(at=unknown) == "max_tokens"
    assert refused(at=unknown, max_tokens=-1) == "max_tokens"
    assert refused(at=unknown, api=COMPLETIONS) == "max_tokens"
    assert bounded(at=unknown, max_tokens=5).output_tokens == 5
    assert bounded(at=unknown, api=EMBEDDINGS).output_tokens == 0


def test_answers_multiply() -> None:
    assert bounded(n=3).answers == 3
    assert bounded(n=3, best_of=5).answers == 5
    assert bounded(api=COMPLETIONS, n=2, best_of=5, prompt=["a", "b"]).answers == 10
    found = bounded(n=3, max_tokens=100)
    assert found.strict.tokens == found.input_tokens + 300
    assert found.money == -(-picos(found) // 1_000) + FEE


def test_predictions_are_billed_when_they_are_wrong() -> None:
    prediction = {"type": "content", "content": "x" * 500}
    found = bounded(max_tokens=100, prediction=prediction)
    assert found.output_tokens == 100 + len(json.dumps(prediction))
    assert found.tokens_for(found.strict) == 100
    assert bounded(max_tokens=100, prediction=None).output_tokens == 104


def test_a_bound_beyond_counting_is_refused() -> None:
    at = deployment(context_tokens=None, max_output_tokens=None)
    assert refused(at=at, max_tokens=2**31 - 1, n=65_536) == "n"


# --- what is not in the body ---


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"web_search_options": {"search_context_size": "low"}}, "web_search_options"),
        ({"web_search_options": {}}, "web_search_options"),
        ({"search_parameters": {"mode": "on"}}, "search_parameters"),
        ({"plugins": [{"id": "web"}]}, "plugins"),
        ({"enable_search": True}, "enable_search"),
        ({"models": ["dear/model"]}, "models"),
        ({"tools": [{"type": "function", "function": {}}, {"type": "web_search"}]}, "tools[1]"),
        ({"tools": [{"type": "builtin_function", "function": {"name": "$web_search"}}]}, "tools[0]"),
        ({"tools": [{"google_search": {}}]}, "tools[0]"),
        ({"tools": [{"type": 5}]}, "tools[0]"),
    ],
)
def test_what_the_provider_bills_as_it_likes_is_refused(fields: dict[str, Any], param: str) -> None:
    assert refused(**fields) == param


@pytest.mark.parametrize("value", [None, False, [], {}, ""])
def test_what_is_turned_off_is_not(value: Any) -> None:
    for name in ("speed", "enable_search", "plugins", "previous_response_id"):
        assert bounded(**{name: value}).input_tokens < 1_000


def test_own_tools_are_fine() -> None:
    own = [{"type": "function"}, {"type": "custom", "custom": {}}, {"function": {}}, {"name": "f"}]
    assert bounded(tools=own).input_tokens < 3_000


@pytest.mark.parametrize("name", ["previous_response_id", "conversation", "file_ids", "data_sources"])
def test_what_is_elsewhere_counts_as_the_whole_window(name: str) -> None:
    fields: dict[str, Any] = {name: ["x"]}
    assert bounded(**fields).input_tokens == 100_000
    assert refused(at=deployment(context_tokens=None), **fields) == name


def message(*parts: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [{"type": "text", "text": "Look:"}, *parts]}]


IMAGE = {"type": "image_url", "image_url": {"url": DATA_URL}}
LINK = {"type": "image_url", "image_url": {"url": "https://a.example/b.png"}}


def test_images_count_as_declared() -> None:
    at = deployment(image_tokens=1_000)
    text = bounded(at=at, messages=message())
    image = bounded(at=at, messages=message(IMAGE))
    assert 1_000 < image.input_tokens - text.input_tokens < 1_100, "their bytes are no text"
    assert 2_000 < bounded(at=at, messages=message(LINK, IMAGE)).input_tokens - text.input_tokens < 2_200
    assert image.text_bytes < 250


def test_images_count_as_their_family_documents() -> None:
    for name, tokens in (("gpt-4o", 1_445), ("openai/gpt-4o-mini-2024-07-18", 48_169), ("claude-sonnet-4-5", 3_279)):
        text = bounded(at=deployment(upstream_model=name), messages=message())
        image = bounded(at=deployment(upstream_model=name), messages=message(IMAGE))
        assert tokens < image.input_tokens - text.input_tokens < tokens + 100, name


def test_images_of_unknown_size_count_as_the_whole_window() -> None:
    assert bounded(messages=message(IMAGE)).input_tokens == 100_000
    assert refused(at=deployment(context_tokens=None), messages=message(IMAGE)) == "messages[0].content[1]"


@pytest.mark.parametrize("kind", ["input_audio", "file", "video_url", "whatever"])
def test_other_media_count_as_the_whole_window(kind: str) -> None:
    at = deployment(image_tokens=10)
    assert bounded(at=at, messages=message({"type": kind})).input_tokens == 100_000
    at = deployment(image_tokens=10, context_tokens=None)
    assert refused(at=at, messages=message({"type": kind})) == "messages[0].content[1]"


def test_text_that_looks_like_an_image_counts_as_text() -> None:
    at = deployment(image_tokens=10)
    looks = bounded(at=at, messages=message({"type": "text", "text": DATA_URL}))
    assert looks.input_tokens > len(DATA_URL)


# --- rates ---

TIERED: dict[str, Any] = {
    **PRICE,
    "input_audio": "40",
    "input_image": "3",
    "output_audio": "80",
    "cache_write": "2.5",
    "service_tiers": {"priority": {"input": "4", "output": "20"}, "flex": {"input": "1", "output": "5"}},
}


def test_service_tiers() -> None:
    def rate(**fields: Any) -> tuple[int, int]:
        found = bounded(at=deployment({**TIERED, "cache_write": None}), **fields)
        return found.text_rate, found.output_rate

    assert rate() == rate(service_tier="default") == rate(service_tier="unheard of") == (2_000_000, 10_000_000)
    assert rate(service_tier="flex") == (2_000_000, 10_000_000), "it may be served in the default tier"
    assert rate(service_tier="priority") == rate(service_tier="auto") == (4_000_000, 20_000_000)


def test_long_contexts_that_can_be_reached() -> None:
    at = deployment({**PRICE, "context_tiers": [{"above_input_tokens": 5_000, "input": "4", "output": "30"}]})
    assert bounded(at=at).output_rate == 10_000_000
    long = bounded(at=at, messages=[{"role": "user", "content": "x" * 5_000}])
    assert (long.text_rate, long.output_rate) == (4_000_000, 30_000_000)


def test_cache_writes() -> None:
    def rate(model: str, text: str = "") -> int:
        messages = [{"role": "user", "content": text}]
        return bounded(at=deployment(TIERED, upstream_model=model), messages=messages).text_rate

    assert rate("gpt-5.6") == 2_500_000, "written without being asked"
    assert rate("claude-sonnet-4-5") == 2_000_000
    assert rate("claude-sonnet-4-5", "cache_control") == 2_500_000
    assert rate("claude-sonnet-4-5", "\u00e9") == 2_500_000, "a field's name may be written with escapes"


def test_modalities_have_rates_of_their_own() -> None:
    at = deployment({**TIERED, "cache_write": None}, image_tokens=1_000)
    assert bounded(at=at).output_rate == 10_000_000
    assert bounded(at=at, modalities=["text", "audio"], audio={}).output_rate == 80_000_000
    assert bounded(at=at, messages=message(IMAGE)).media_pico_usd == 1_000 * 3_000_000
    sound = bounded(at=at, messages=message({"type": "input_audio"}))
    assert sound.media_pico_usd == 100_000 * 40_000_000
    assert bounded(at=at, messages=message(IMAGE, {"type": "x"})).media_pico_usd == 100_000 * 40_000_000


# --- shortening ---

_REQUESTS = st.fixed_dictionaries(
    {"messages": st.just([{"role": "user", "content": "Hello there"}])},
    optional={
        "max_tokens": st.integers(0, 20_000),
        "n": st.integers(1, 4),
        "prediction": st.just({"type": "content", "content": "x" * 50}),
        "service_tier": st.sampled_from(["auto", "flex", "priority"]),
    },
)
_PRICES = st.sampled_from([PRICE, TIERED, {"input": "0.000001", "output": "0.000001"}, {"input": "3", "output": "0"}])


@given(_REQUESTS, _PRICES, st.integers(0, 400_000_000), st.integers(0, 20_000))
@settings(deadline=None)
def test_a_shortened_answer_costs_no_more_than_granted(
    fields: dict[str, Any], price: dict[str, Any], room: int, token_room: int
) -> None:
    at = deployment(price)
    found = bounded(at=at, **fields)
    granted = Amounts(min(found.money, room), min(found.strict.tokens, token_room))
    tokens = found.tokens_for(granted)
    assert 0 <= tokens <= found.output_tokens - found.predicted_tokens
    if tokens > 0:
        shortened = found.least(tokens)
        assert shortened.money <= granted.money
        assert shortened.tokens <= granted.tokens
        longer = found.least(tokens + 1)
        assert tokens == found.output_tokens - found.predicted_tokens or (
            longer.money > granted.money or longer.tokens > granted.tokens
        )
    if granted == found.strict:
        assert tokens == found.output_tokens - found.predicted_tokens


@given(_REQUESTS, _PRICES, st.integers(0, 30_000), st.floats(0, 2))
@settings(deadline=None)
def test_what_is_expected_is_never_over_the_bound(
    fields: dict[str, Any], price: dict[str, Any], output_tokens: int, per_byte: float
) -> None:
    found = bounded(at=deployment(price), **fields)
    expected = found.expected(output_tokens, per_byte)
    assert expected.money <= found.money
    assert expected.tokens <= found.strict.tokens
    assert found.least(10**9) == found.strict
    terms = found.terms(per_byte)
    assert terms[1:] == (found.output_rate, found.money, found.answers)
    assert terms.input_money == found.expected(0, per_byte).money
    metered = terms.input_money - (-output_tokens * found.answers * found.output_rate // 1_000)
    assert metered >= expected.money
    assert found.input_money == found.least(-found.predicted_tokens).money


@given(_REQUESTS, _PRICES, st.data())
@settings(deadline=None)
def test_any_usage_within_the_bound_costs_no_more(
    fields: dict[str, Any], price: dict[str, Any], data: st.DataObject
) -> None:
    at = deployment(price)
    found = bounded(at=at, **fields)
    assert at.price is not None
    inputs = data.draw(st.integers(0, found.input_tokens))
    read = data.draw(st.integers(0, inputs))
    written = data.draw(st.integers(0, inputs - read))
    outputs = data.draw(st.integers(0, found.output_tokens * found.answers))
    usage = Usage(inputs, outputs, cache_read_tokens=read, cache_write_tokens=written)
    asked = fields.get("service_tier", "default")
    for tier in {asked, "default"} if asked != "auto" else {"default", "flex", "priority"}:
        assert cost(usage, at.price.at(inputs, NOW_S, tier)) <= found.money


# --- what runs at the provider ---


def natively(*services: Service, unknown: str | None = None, body: bytes = b"{}") -> ModelRequest:
    request = ask(max_tokens=100)
    request.native = Native(RESPONSES, body, {}, Gist("m", services=services, unknown=unknown))
    return request


def test_each_call_of_a_service_is_a_fee_and_another_window_of_input() -> None:
    at = deployment(tariff={"web_search": 10_000_000, "code_interpreter": 30_000_000})
    found = bound(
        natively(Service("web_search", "tools[0]", 3), Service("code_interpreter", "tools[1]", 1)), at, None, NOW_S
    )
    assert found.input_tokens == 5 * 100_000
    assert found.fee == FEE + 3 * 10_000_000 + 30_000_000
    assert found.money == found.fee + (500_000 * INPUT + 100 * OUTPUT) // 1000


@pytest.mark.parametrize(
    ("service", "fields"),
    [
        (Service("computer", "tools[2]", 3), {}),
        (Service("web_search", "tools[1]", None), {}),
        (Service("web_search", "tools[1]", 1), {"context_tokens": None}),
    ],
)
def test_a_service_that_nothing_bounds_is_named(service: Service, fields: dict[str, Any]) -> None:
    with pytest.raises(CostUnbounded) as caught:
        bound(natively(service), deployment(tariff={"web_search": 1}, **fields), None, NOW_S)
    assert caught.value.param == service.field
    assert f"`{service.field}`" in caught.value.message


def test_what_is_not_in_the_body_counts_as_the_window() -> None:
    found = bound(natively(unknown="input[0].file_id"), deployment(), None, NOW_S)
    assert found.input_tokens == 100_000
    with pytest.raises(CostUnbounded) as caught:
        bound(natively(unknown="input[0].file_id"), deployment(context_tokens=None), None, NOW_S)
    assert caught.value.param == "input[0].file_id"


def test_what_the_provider_remembers_counts_as_it_counted_it() -> None:
    """What was found, seen and thought there is not in what is told of it."""
    request = natively(body=b'{"previous_response_id":"resp_1"}')
    assert request.native is not None
    plain = bound(request, deployment(), None, NOW_S).input_tokens
    request.native.held_at, request.native.held_tokens = "p", 20_000
    assert 20_000 < bound(request, deployment(), None, NOW_S).input_tokens < 20_500
    assert bound(request, deployment(context_tokens=None), None, NOW_S).input_tokens > 20_000
    request.native.held_at = "another"
    assert bound(request, deployment(), None, NOW_S).input_tokens == plain


def test_what_is_told_elsewhere_is_counted_there() -> None:
    request, told = natively(), natively(unknown="input[0].content[0].file_id").native
    assert request.native is not None
    request.native.elsewhere, request.native.held_at = told, "p"
    assert bound(request, deployment(), None, NOW_S).input_tokens < 1_000
    request.native.held_at = None
    assert bound(request, deployment(), None, NOW_S).input_tokens == 100_000


def test_the_longer_of_both_forms_counts() -> None:
    plain = ask(max_tokens=100)
    shorter, longer = natively(), natively(body=b"{" + b" " * 5_000 + b"}")
    assert (
        bound(shorter, deployment(), None, NOW_S).input_tokens == bound(plain, deployment(), None, NOW_S).input_tokens
    )
    assert bound(longer, deployment(), None, NOW_S).input_tokens >= 5_000
