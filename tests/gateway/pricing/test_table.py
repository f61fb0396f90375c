from __future__ import annotations

from datetime import UTC, datetime

import pytest

from gateway.pricing.table import PriceTable
from routing.money import Price


def price(table: PriceTable, provider: str, model: str) -> Price:
    found = table.find(provider, model)
    assert found is not None
    return found


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def test_a_price_as_it_is_listed(table: PriceTable) -> None:
    point = price(table, "openai", "gpt-5-mini").at(1_000, at("2026-11-20"))
    assert point.id == "genai-prices:openai/gpt-5-mini"
    assert (point.input, point.cache_read, point.output) == (250_000, 25_000, 2_000_000)


def test_kinds_that_are_not_listed_cost_as_their_parents(table: PriceTable) -> None:
    point = price(table, "openai", "gpt-4o-2024-05-13").at(1_000, at("2026-11-20"))
    assert point.cache_read == point.cache_write == point.input_image == point.input
    written = price(table, "openai", "gpt-6-sol").at(1_000, at("2026-11-20"))
    assert written.cache_write_1h == written.cache_write > written.input


def test_price_points_are_told_apart(table: PriceTable) -> None:
    found = price(table, "openai", "gpt-5.4")
    now = at("2026-11-20")
    assert found.at(272_000, now).id == "genai-prices:openai/gpt-5.4"
    assert found.at(272_001, now).id == "genai-prices:openai/gpt-5.4>272000"
    assert found.at(1, now, "flex").id == "genai-prices:openai/gpt-5.4@20261012+flex"
    assert found.at(1, at("2026-10-11"), "flex").id == "genai-prices:openai/gpt-5.4"


def test_one_price_point_has_one_set_of_rates(table: PriceTable) -> None:
    """The journal keeps only the id: it must say which rates were paid."""
    for provider, model in [("openai", "gpt-5.6-luna"), ("openai", "o3"), ("deepseek", "deepseek-chat")]:
        rates: dict[str, set[tuple[object, ...]]] = {}
        for period in price(table, provider, model).periods:
            for tiers in period.tiers.values():
                for tier in tiers:
                    rates.setdefault(tier.point.id, set()).add(tier.point)
        assert all(len(found) == 1 for found in rates.values()), rates
        assert len(rates) > 1


def test_off_peak_hours(table: PriceTable) -> None:
    found = price(table, "deepseek", "deepseek-chat")
    day, night = found.at(1, at("2026-11-20T12:00:00")), found.at(1, at("2026-11-20T17:00:00"))
    assert (day.input, night.input) == (270_000, 135_000)
    assert night.id == "genai-prices:deepseek/deepseek-chat@T1630-2400"


def test_models_that_are_called_free_cost_nothing(table: PriceTable) -> None:
    point = price(table, "openrouter", "openai/gpt-oss-20b:free").at(1, at("2026-11-20"))
    assert (point.input, point.output) == (0, 0)


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("openai", "gpt-nonsense-17"),
        ("openai", "whisper-1"),  # by the hour
        ("github-copilot", "gpt-4.1"),  # "included in the subscription" is no price of zero
        ("my-vllm", "gpt-4o"),
        ("openai", ""),
    ],
)
def test_no_price_is_none_and_never_zero(table: PriceTable, provider: str, model: str) -> None:
    assert table.find(provider, model) is None


def test_a_known_provider_name_wins_over_the_address(table: PriceTable) -> None:
    found = table.find("groq", "llama-3.3-70b-versatile", "https://api.openai.com/v1")
    assert found is not None
    assert found.at(1, 0.0).id.startswith("genai-prices:groq/")


def test_context_windows(table: PriceTable) -> None:
    assert table.context_tokens("openai", "gpt-5-mini") == 400_000
    assert table.context_tokens("openai", "gpt-nonsense-17") is None
    assert table.context_tokens("ours", "gpt-5-mini", "https://api.openai.com/v1") == 400_000


def test_lookups_are_kept(table: PriceTable) -> None:
    assert table.find("openai", "gpt-4o") is table.find("openai", "gpt-4o")


def test_suggestions_are_priced_and_near(table: PriceTable) -> None:
    assert table.suggest("gpt-5-mni")[0] == "gpt-5-mini"
    assert table.suggest("GPT-4o-mini")[0] == "gpt-4o-mini"
    assert "whisper-1" not in table.suggest("whisper-1")
    assert table.suggest("zzzzqqqq####") == []
