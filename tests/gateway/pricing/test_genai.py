"""The compiled table against genai_prices itself: the same models found, and the same costs to the nano-dollar."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from decimal import ROUND_CEILING, Decimal
from random import Random
from typing import Any

import genai_prices
import pytest
from genai_prices.data import providers as PROVIDERS
from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import ModelInfo, Provider, StartDateConstraint, TimeOfDateConstraint

from gateway.pricing.table import PriceTable
from routing.money import Usage, cost

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
OWNERS = {id(model): provider.id for provider in PROVIDERS for model in provider.models}


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    command = [sys.executable, "-m", "gateway.pricing.compile", "--report"]
    return json.loads(subprocess.run(command, check=True, capture_output=True, timeout=120).stdout)


@pytest.fixture(scope="module")
def unpriced(report: dict[str, Any]) -> set[str]:
    return {name for names in report["unpriced"].values() for name in names}


def random_usage(draw: Random, *, text_only: bool) -> Usage:
    """A consistent usage around some context tier's bound."""
    size = draw.choice([1_000, 32_000, 128_000, 199_999, 200_000, 272_000, 512_000])
    total = max(0, size + draw.randint(-900, 900)) * draw.randint(0, 1) or draw.choice([size, size + 1])
    out = draw.randint(0, 5_000)
    if text_only:
        return Usage(total, out)
    share = total // 8
    return Usage(
        input_tokens=total,
        output_tokens=out,
        cache_read_tokens=draw.randint(0, share),
        cache_write_tokens=draw.randint(0, share),
        cache_write_1h_tokens=draw.randint(0, share),
        input_audio_tokens=draw.randint(0, share),
        input_image_tokens=draw.randint(0, share),
        output_audio_tokens=draw.randint(0, out // 3),
        output_image_tokens=draw.randint(0, out // 3),
        reasoning_tokens=draw.randint(0, out // 3),
    )


def their_usage(usage: Usage) -> genai_prices.Usage:
    return genai_prices.Usage(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_tokens=usage.cache_read_tokens,
        cache_write_tokens=usage.cache_write_tokens + usage.cache_write_1h_tokens,
        cache_write_1h_tokens=usage.cache_write_1h_tokens,
        input_audio_tokens=usage.input_audio_tokens,
        cache_audio_read_tokens=usage.cache_read_audio_tokens,
        input_image_tokens=usage.input_image_tokens,
        cache_image_read_tokens=0,
        output_audio_tokens=usage.output_audio_tokens,
        output_image_tokens=usage.output_image_tokens,
    )


def moments(model: ModelInfo) -> list[datetime]:
    """Now, and both sides of every edge in time that the model's prices have."""
    priced = model.prices if isinstance(model.prices, list) else []
    found = {NOW}
    for constraint in [*(p.constraint for p in priced), *(v.constraint for v in model.price_variants or ())]:
        if isinstance(constraint, StartDateConstraint):
            edges = [datetime.combine(constraint.start_date, time(), UTC)]
        elif isinstance(constraint, TimeOfDateConstraint):
            edges = [datetime.combine(NOW, t).astimezone(UTC) for t in (constraint.start_time, constraint.end_time)]
        else:
            continue
        found |= {
            moment for edge in edges for moment in (edge, edge - timedelta(seconds=1), edge + timedelta(hours=13))
        }
    return sorted(found)


def contexts(model: ModelInfo) -> list[dict[str, str] | None]:
    whens = [v.when for v in model.price_variants or () if set(v.when) & {"service_tier", "processing", "speed"}]
    return [None, *(when for index, when in enumerate(whens) if when not in whens[:index])]


def model_cases() -> Iterator[tuple[Provider, ModelInfo]]:
    for provider in PROVIDERS:
        for model in provider.models:
            yield provider, model


def test_every_cost_is_theirs_rounded_up_once(table: PriceTable, report: dict[str, Any], unpriced: set[str]) -> None:
    rounded = {entry.rsplit(" ", 1)[0] for entry in report["rounded"]}
    draw = Random(20261120)
    compared = 0
    for provider, model in model_cases():
        name = f"{provider.id}/{model.id}"
        price = own_price(table, provider, model)
        if name in unpriced or price is None:
            continue
        for moment in moments(model):
            for context in contexts(model):
                for text_only in (True, False):
                    usage = random_usage(draw, text_only=text_only)
                    if name in report["input_only"]:  # its output is free there; ours costs as input, never nothing
                        usage = Usage(*usage[:1], 0, *usage[2:8])
                    theirs = model.calc_price(
                        their_usage(usage), provider, genai_request_timestamp=moment, price_context=context
                    )
                    nano = theirs.total_price * 10**9
                    tier = next(iter(context.values())) if context else "default"
                    ours = cost(usage, price.at(usage.input_tokens, moment.timestamp(), tier))
                    if name in rounded:  # a rate that is no whole pico-dollar: up by less than one for each token
                        assert 0 <= ours - nano <= 1 + Decimal(usage.input_tokens + usage.output_tokens) / 1000, name
                    else:
                        assert ours == nano.to_integral_value(ROUND_CEILING), (name, moment, context, usage)
                    compared += 1
    assert compared > 9_000


def own_price(table: PriceTable, provider: Provider, model: ModelInfo) -> Any:
    """The price of this very model; None when an earlier one in the list takes its id."""
    if provider.find_model(model.id, all_providers=PROVIDERS) is not model:
        return None
    return table.find(provider.id, model.id)


def test_cached_audio_is_priced_as_theirs(table: PriceTable) -> None:
    usage = Usage(10_000, 100, cache_read_tokens=3_000, input_audio_tokens=5_000, cache_read_audio_tokens=2_000)
    compared = 0
    for provider, model in model_cases():
        price = own_price(table, provider, model)
        keys = model.get_prices(NOW).__dict__
        if price is None or "cache_audio_read_mtok" not in keys:
            continue
        theirs = model.calc_price(their_usage(usage), provider, genai_request_timestamp=NOW).total_price * 10**9
        assert cost(usage, price.at(10_000, NOW.timestamp())) == theirs.to_integral_value(ROUND_CEILING), model.id
        compared += 1
    assert compared >= 5


def their_match(provider: str | None, model: str, base_url: str | None = None) -> str | None:
    try:
        _, found = get_snapshot().find_provider_model(model, None, provider, base_url)
    except LookupError:
        return None
    return f"genai-prices:{OWNERS[id(found)]}/{found.id}"


def our_match(table: PriceTable, provider: str | None, model: str, base_url: str | None = None) -> str | None:
    price = table.find(provider, model, base_url)
    return price.periods[-1].tiers["default"][0].point.id if price is not None else None


def clause_texts(clause: Any) -> Iterator[str]:
    for part in getattr(clause, "or_", None) or getattr(clause, "and_", None) or ():
        yield from clause_texts(part)
    for field in ("equals", "starts_with", "ends_with", "contains"):
        if text := getattr(clause, field, None):
            yield text


def same_match(theirs: str | None, ours: str | None, unpriced: set[str]) -> bool:
    if theirs is not None and theirs.removeprefix("genai-prices:") in unpriced:
        theirs = None
    return theirs == ours


def test_every_model_is_found_by_each_of_its_names(table: PriceTable, unpriced: set[str]) -> None:
    wrong = []
    for provider, model in model_cases():
        for name in {model.id, model.id.upper(), *clause_texts(model.match)}:
            theirs, ours = their_match(provider.id, name), our_match(table, provider.id, name)
            if not same_match(theirs, ours, unpriced):
                wrong.append((provider.id, name, theirs, ours))
    assert not wrong


def test_names_of_one_provider_are_found_alike_at_every_other(table: PriceTable, unpriced: set[str]) -> None:
    draw = Random(7)
    names = draw.sample([model.id for _, model in model_cases()], 150)
    names += [
        "gpt-5.2-20251211",
        "gpt-4o-20240806",
        "claude-sonnet-4-20250514",
        "claude-3-5-sonnet-20240231",
        "no-such-model",
        "",
    ]
    sellers = [provider.id for provider in PROVIDERS]
    sellers += ["Gemini", "vertex_ai", "bedrock", "xai", "together_ai", "Azure", "no-such-provider", "litellm", None]
    for name in names:
        for seller in sellers:
            theirs, ours = their_match(seller, name), our_match(table, seller, name)
            assert same_match(theirs, ours, unpriced), (seller, name, theirs, ours)


@pytest.mark.parametrize(
    ("base_url", "model"),
    [
        ("https://api.openai.com/v1", "gpt-4o"),
        ("https://api.anthropic.com/v1", "claude-sonnet-4-5"),
        ("https://generativelanguage.googleapis.com/v1beta/openai", "gemini-2.5-flash"),
        ("https://api.groq.com/openai/v1", "llama-3.3-70b-versatile"),
        ("https://acme.openai.azure.com/openai/v1", "gpt-4o"),
        ("https://openrouter.ai/api/v1", "openai/gpt-5-mini"),
        ("http://localhost:8000/v1", "gpt-4o"),
    ],
)
def test_a_provider_is_found_by_its_address(table: PriceTable, unpriced: set[str], base_url: str, model: str) -> None:
    theirs = their_match(None, model, base_url)
    assert same_match(theirs, our_match(table, None, model, base_url), unpriced)
    assert same_match(theirs, our_match(table, "a-name-of-ours", model, base_url), unpriced)
    assert (theirs is None) == base_url.startswith("http://localhost")


def test_a_litellm_proxy_names_provider_and_model(table: PriceTable) -> None:
    expected = "genai-prices:anthropic/claude-sonnet-4-5"
    assert our_match(table, "litellm", "anthropic/claude-sonnet-4-5") == expected
    assert their_match("litellm", "anthropic/claude-sonnet-4-5") == expected


def test_a_borrowed_model_comes_without_service_tiers(table: PriceTable) -> None:
    azure, openai = table.find("azure", "gpt-5-mini"), table.find("openai", "gpt-5-mini")
    assert azure is not None
    assert openai is not None
    assert set(azure.periods[0].tiers) == {"default"}
    assert {"default", "flex", "priority"} <= set(openai.periods[0].tiers)


def test_context_windows_are_theirs(table: PriceTable) -> None:
    for provider, model in model_cases():
        if provider.find_model(model.id, all_providers=PROVIDERS) is model:
            assert table.context_tokens(provider.id, model.id) == model.context_window


# What the table cannot say. A new genai-prices that adds to these lists needs a look: is it a chat model that would be
# billed too low? Then extend `Usage` and `PricePoint`, or write an override for it into docs/money.md.

PRICED_BY_TOKENS_AND_MORE = {
    "cache_image_read_mtok": 10,
    "input_video_mtok": 4,
    "output_video_mtok": 2,
    "output_reasoning_mtok": 2,
    "output_citation_mtok": 1,
}


def test_kinds_that_usage_does_not_count(report: dict[str, Any]) -> None:
    assert {kind: len(models) for kind, models in report["kinds"].items()} == PRICED_BY_TOKENS_AND_MORE


def test_reasoning_and_citations_that_have_own_rates_are_billed_as_dearer_output(report: dict[str, Any]) -> None:
    for provider, model in model_cases():
        if f"{provider.id}/{model.id}" in report["kinds"]["output_reasoning_mtok"]:
            prices = model.get_prices(NOW)
            assert max(prices.output_reasoning_mtok, prices.output_citation_mtok or 0) <= prices.output_mtok


def test_contexts_that_are_no_service_tiers(report: dict[str, Any]) -> None:
    assert report["contexts"] == {
        "route=mistral/eu": ["openrouter/mistralai/mistral-large-4-0"],
        "search_type=fast": ["perplexity/perplexity/sonar"],
        "search_type=web": ["perplexity/perplexity/sonar"],
    }


def test_models_without_a_usable_price(report: dict[str, Any]) -> None:
    assert report["unpriced"]["no rates, and not called free"] == NO_RATES.split()
    assert report["unpriced"]["not priced by tokens"] == NOT_BY_TOKENS.split()
    assert len(report["unpriced"]) == 2


NO_RATES = """
cerebras/qwen-3-coder-480b
github-copilot/gpt-3.5-turbo
github-copilot/gpt-4.1
github-copilot/gpt-4o
github-copilot/gpt-4o-mini
google/gemma-3
google/gemma-3n
google/gemma-4-26b-a4b-it
google/gemma-4-31b-it
huggingface_together/ServiceNow-AI/Apriel-1.6-15b-Thinker
huggingface_together/prism-ml/Ternary-Bonsai-27B-AWQ-4bit
huggingface_together/prism-ml/Ternary-Bonsai-27B-gguf
openai/moderation
openrouter/gemini-2.5-pro-exp-03-25
openrouter/google/gemini-flash-1.5-8b-exp
openrouter/google/lyria-3-clip-preview
openrouter/google/lyria-3-pro-preview
openrouter/stealth/crouton-alpha
"""

NOT_BY_TOKENS = """
groq/canopylabs/orpheus-arabic-saudi
groq/canopylabs/orpheus-v1-english
groq/whisper-large-v3
groq/whisper-large-v3-turbo
mistral/mistral-ocr-2503
mistral/mistral-ocr-2505
mistral/mistral-ocr-2512
mistral/mistral-ocr-4-0
mistral/mistral-ocr-4-1
mistral/mistral-ocr-latest
mistral/voxtral-mini-2602
mistral/voxtral-mini-transcribe-3-0
mistral/voxtral-mini-transcribe-realtime-2602
mistral/voxtral-mini-transcribe-realtime-3-0
mistral/voxtral-small-transcribe-3-0
openai/gpt-live-1
openai/gpt-live-transcribe
openai/gpt-realtime-translate
openai/gpt-realtime-whisper
openai/gpt-transcribe
openai/tts-1
openai/tts-1-hd
openai/whisper-1
x-ai/grok-voice-latest
x-ai/grok-voice-think-fast-1.0
x-ai/grok-voice-think-fast-2.0
"""


def test_models_without_an_output_price_are_no_chat_models(report: dict[str, Any]) -> None:
    kinds = "embed bge gte- voyage clef clairic distilbert decider jev- tev1 scaledown trio-spark"
    other = [name for name in report["input_only"] if not any(kind in name.lower() for kind in kinds.split())]
    retired = ["azure/ada", "azure/babbage", "azure/curie", "azure/davinci"]
    assert other == [*retired, "openai-decisions/gpt-6-luna"]


def test_output_without_a_price_costs_as_input(table: PriceTable) -> None:
    price = table.find("azure", "davinci")
    assert price is not None
    assert cost(Usage(0, 1_000), price.at(0, NOW.timestamp())) == 2_000_000  # 2 USD per million tokens


def test_rates_that_are_rounded_up(report: dict[str, Any]) -> None:
    """Only quotients such as 0.08333 and binary noise such as 0.18000000000000002, of two resellers."""
    assert len(report["rounded"]) == 25
    assert {entry.partition("/")[0] for entry in report["rounded"]} == {"openrouter", "huggingface_together"}
