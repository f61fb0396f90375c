from __future__ import annotations

import pytest

from gateway.pricing.table import PriceTable


@pytest.mark.parametrize(
    ("provider", "model", "unit", "nano_usd"),
    [
        ("openai", "gpt-5", "web_search", 10_000_000),
        ("openai", "gpt-5", "file_search", 2_500_000),
        ("openai", "gpt-5", "code_interpreter", 30_000_000),
        ("openai", "tts-1", "character", 15_000),
        ("openai", "whisper-1", "second", 100_000),
        ("openai", "dall-e-3", "image:1792x1024:hd", 120_000_000),
        ("openai", "dall-e-2", "image:256x256", 16_000_000),
        ("anthropic", "claude-opus-4-5", "web_search", 10_000_000),
        ("anthropic", "claude-opus-4-5", "web_fetch", 0),
        ("groq", "whisper-large-v3", "second", 30_834),
    ],
)
def test_fees_are_listed_or_documented(table: PriceTable, provider: str, model: str, unit: str, nano_usd: int) -> None:
    assert table.tariff(provider, model)[unit] == nano_usd


def test_elsewhere_nothing_is_assumed(table: PriceTable) -> None:
    assert table.tariff("my-own", "gpt-5", "http://localhost:1") == {}
    assert "image" not in table.tariff("openai", "gpt-5")
    assert table.free_apis("my-own", "omni-moderation-latest", "http://localhost:1") == frozenset()


def test_moderation_is_free_at_openai(table: PriceTable) -> None:
    assert table.free_apis("openai", "omni-moderation-latest") == {"moderations"}
    assert table.free_apis("openai", "gpt-5") == frozenset()
