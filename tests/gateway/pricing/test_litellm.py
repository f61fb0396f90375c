"""The costs we compute against LiteLLM's, from its packaged map: a second opinion on prices and on arithmetic."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from gateway.pricing.table import PriceTable
from routing.money import PricePoint, Usage, cost
from tests.gateway.pricing.litellm_cases import CACHED_FREE, CASES, EXPLAINED, PREFIXES, SHAPES

NOW_S = 1_795_176_000.0  # 2026-11-20 12:00 UTC: outside DeepSeek's off-peak hours
SCRIPT = Path(__file__).with_name("litellm_costs.py")


class Compared(NamedTuple):
    model: str
    shape: str
    point: PricePoint
    ours_nano_usd: int
    theirs_nano_usd: float

    @property
    def equal(self) -> bool:
        """Theirs is a float and not rounded; ours is rounded up to a nano-dollar."""
        return -1e-3 < self.ours_nano_usd - self.theirs_nano_usd < 1.001


def wire_usage(provider: str, usage: Usage) -> dict[str, Any]:
    """The usage as LiteLLM gets it from the provider."""
    # xAI counts reasoning outside completion_tokens, and LiteLLM adds it.
    completion = usage.output_tokens - (usage.reasoning_tokens if provider == "x-ai" else 0)
    written = usage.cache_write_tokens + usage.cache_write_1h_tokens
    wire: dict[str, Any] = {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": completion,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cache_read_tokens, "audio_tokens": usage.input_audio_tokens},
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning_tokens,
            "audio_tokens": usage.output_audio_tokens,
        },
    }
    if written:
        wire["cache_creation_input_tokens"] = written
        wire["cache_read_input_tokens"] = usage.cache_read_tokens
    if usage.cache_write_1h_tokens:
        wire["prompt_tokens_details"]["cache_creation_token_details"] = {
            "ephemeral_5m_input_tokens": usage.cache_write_tokens,
            "ephemeral_1h_input_tokens": usage.cache_write_1h_tokens,
        }
    return wire


def all_cases() -> list[tuple[str, str, str]]:
    return [
        (provider, model, shape)
        for provider, groups in CASES.items()
        for shapes, models in groups.items()
        for model in models.split()
        for shape in shapes
    ]


@pytest.fixture(scope="module")
def compared(table: PriceTable) -> list[Compared]:
    cases = all_cases()
    answers = ask_litellm(cases)
    results = []
    for (provider, model, shape), theirs in zip(cases, answers, strict=True):
        usage, tier = SHAPES[shape].usage, SHAPES[shape].service_tier or "default"
        price = table.find(provider, model)
        assert price is not None, f"{provider}/{model} has no price"
        assert tier in price.periods[0].tiers, f"{provider}/{model} has no {tier} rates"
        assert theirs is not None, f"LiteLLM does not list {provider}/{model}"
        point = price.at(usage.input_tokens, NOW_S, tier)
        results.append(Compared(f"{provider}/{model}", shape, point, cost(usage, point), theirs * 1e9))
    return results


def ask_litellm(cases: list[tuple[str, str, str]]) -> list[float | None]:
    questions = [
        {
            "listed": f"{PREFIXES.get(provider, f'{provider}/')}{model}",
            "model": model,
            "usage": wire_usage(provider, SHAPES[shape].usage),
            "service_tier": SHAPES[shape].service_tier,
            "call_type": "embedding" if shape == "embedding" else "completion",
        }
        for provider, model, shape in cases
    ]
    command = [sys.executable, "-W", "ignore", str(SCRIPT)]
    done = subprocess.run(
        command, input=json.dumps(questions), capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def explanation(result: Compared) -> str | None:
    reasons = [why for shapes, why in EXPLAINED.get(result.model, {}).items() if result.shape in shapes]
    assert len(reasons) <= 1, f"{result.model} {result.shape} is explained twice"
    return reasons[0] if reasons else None


def test_enough_is_compared() -> None:
    cases = all_cases()
    assert len({(provider, model) for provider, model, _ in cases}) >= 40
    assert {shape for _, _, shape in cases} == set(SHAPES)


def test_every_difference_is_explained(compared: list[Compared]) -> None:
    unexplained = [
        f"{r.model} {r.shape}: ours {r.ours_nano_usd / 1e9:.9f}, LiteLLM {r.theirs_nano_usd / 1e9:.9f} USD"
        for r in compared
        if not r.equal and explanation(r) is None
    ]
    assert not unexplained, "\n".join(unexplained)


def test_no_explained_difference_has_vanished(compared: list[Compared]) -> None:
    seen = {(r.model, r.shape) for r in compared if not r.equal}
    claimed = {(model, shape) for model, groups in EXPLAINED.items() for shapes in groups for shape in shapes}
    assert not claimed - seen


def test_cached_tokens_are_all_that_litellm_leaves_out(compared: list[Compared]) -> None:
    for result in compared:
        if explanation(result) == CACHED_FREE:
            left_out = SHAPES[result.shape].usage.cache_read_tokens * result.point.cache_read / 1000
            assert result.ours_nano_usd == pytest.approx(result.theirs_nano_usd + left_out, abs=1.001), result
