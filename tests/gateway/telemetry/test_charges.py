"""Attempts as providers' work: how long, how fast, and who was lost."""

from __future__ import annotations

import pytest

from gateway.telemetry.events import OrphanReturned
from routing.money import NanoUsd, Usage
from tests.gateway.telemetry.samples import WHO, charged
from tests.gateway.telemetry.test_metrics import WHERE, at, metrics, scrape

THERE = {"model": "gpt", "provider": "openai", "deployment": "openai/gpt"}


async def test_how_long_calls_took_that_went_well() -> None:
    samples = await scrape(
        metrics(),
        charged(latency_ms=80.0, first_token_ms=30.0),
        charged(latency_ms=80.0, first_token_ms=None, outcome="shortened"),
        charged(latency_ms=9_000.0, first_token_ms=8_000.0, outcome="timeout", purpose="failed"),
    )
    assert at(samples, "attempt_duration_seconds_count", **THERE) == 2
    assert at(samples, "attempt_duration_seconds_sum", **THERE) == 0.16
    assert at(samples, "attempt_first_token_seconds_count", **THERE) == 1


@pytest.mark.parametrize(
    ("latency_ms", "first_token_ms", "count"), [(2_100.0, 100.0, 1), (150.0, 100.0, 0), (2_100.0, None, 0)]
)
async def test_how_fast_an_answer_was_generated(latency_ms: float, first_token_ms: float | None, count: int) -> None:
    usage = Usage(input_tokens=10, output_tokens=120)
    samples = await scrape(metrics(), charged(latency_ms=latency_ms, first_token_ms=first_token_ms, usage=usage))
    assert at(samples, "output_tokens_per_second_count", **THERE) == count
    assert at(samples, "output_tokens_per_second_sum", **THERE) == 60.0 * count


async def test_a_looping_requests_attempt_is_a_first_one() -> None:
    samples = await scrape(metrics(), charged(purpose="loop"))
    assert at(samples, "attempts_total", **THERE, kind="first", outcome="ok") == 1
    assert at(samples, "cost_usd_total", **WHERE, outcome="ok", purpose="loop") == 1.5e-6


async def test_a_call_whose_gateway_came_back_costs_what_it_cost() -> None:
    """Of several gateways one counts the orphan, one what it really was, and one that the orphan counts no more."""
    orphan = charged(resolution="orphaned", outcome="orphaned", purpose="failed", cost_nano_usd=NanoUsd(9_000))
    whose = (orphan.org, orphan.team, orphan.agent, orphan.model, orphan.provider)
    counted = metrics()
    before = await scrape(counted, orphan)
    assert at(before, "cost_returned_usd_total", **WHERE) == 0
    after = await scrape(counted, charged(), OrphanReturned(*whose, NanoUsd(9_000)))
    assert at(after, "cost_usd_total", **WHERE, outcome="ok", purpose="useful") == 1.5e-6
    lost = at(after, "cost_usd_total", **WHERE, outcome="orphaned", purpose="failed")
    assert lost == at(after, "cost_returned_usd_total", **WHERE) == 9e-6


async def test_the_first_lost_dollar_is_an_increase() -> None:
    counted = metrics()
    before = await scrape(counted, charged())
    assert at(before, "orphaned_usd_total", **WHO) == at(before, "overrun_usd_total", **WHO) == 0
    lost = charged(resolution="orphaned", outcome="orphaned", purpose="failed", reserved_nano_usd=NanoUsd(1_500))
    after = await scrape(counted, lost)
    assert at(after, "orphaned_usd_total", **WHO) == 1.5e-6
    assert at(after, "overrun_usd_total", **WHO) == 0
