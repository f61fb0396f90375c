from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families

from gateway.config.snapshot import Agent
from gateway.telemetry.events import (
    AttemptDenied,
    AttemptEnded,
    BreakerChanged,
    Choice,
    ConfigLoaded,
    Event,
    KeyRefused,
    KeysReloaded,
    LimitNoticed,
    LoopFound,
)
from gateway.telemetry.exposition import FAMILIES, PREFIX
from gateway.telemetry.metrics import Gauges, Metrics
from routing.decision import Shadow
from routing.money import NanoUsd, Usage
from tests.gateway.telemetry.samples import charged, finished, started

DOC = Path(__file__).parents[3] / "docs" / "metrics.md"

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]

WHO = {"org": "acme", "team": "search", "agent": "researcher"}
WHERE = {**WHO, "model": "gpt", "provider": "openai"}


def metrics(agents: Iterable[str] = ("researcher",), cap: int = 500, gauges: Gauges | None = None) -> Metrics:
    made = Metrics(version="9.9", max_label_values=cap, gauges=gauges)
    made.set_known([Agent(name, "search", "acme") for name in agents], ["gpt"], ["openai"], {"fast": "gpt"})
    return made


async def scrape(counted: Metrics, *events: Event) -> Samples:
    counted.receive(events)
    content, _ = await counted.render()
    return {
        (sample.name.removeprefix(PREFIX), frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(content.decode())
        for sample in family.samples
    }


def at(samples: Samples, name: str, **labels: str) -> float | None:
    return samples.get((name, frozenset(labels.items())))


async def test_a_request_from_start_to_end() -> None:
    counted = metrics()
    during = await scrape(counted, started())
    assert at(during, "in_flight_requests", agent="researcher") == 1
    usage = Usage(input_tokens=100, output_tokens=20, cache_read_tokens=64, reasoning_tokens=7)
    after = await scrape(counted, charged(usage=usage), finished())
    assert at(after, "in_flight_requests", agent="researcher") == 0
    assert at(after, "requests_total", **WHERE, outcome="ok") == 1
    kinds = {kind: at(after, "tokens_total", **WHERE, kind=kind) for kind in ("input", "output", "cache_read")}
    assert kinds == {"input": 100, "output": 20, "cache_read": 64}
    assert at(after, "tokens_total", **WHERE, kind="reasoning") == 7
    assert at(after, "tokens_total", **WHERE, kind="input_audio") is None
    assert at(after, "cost_usd_total", **WHERE, outcome="ok", purpose="useful") == 0.0000015
    assert at(after, "request_duration_seconds_sum", **WHERE, outcome="ok") == 0.081
    assert at(after, "request_duration_seconds_bucket", **WHERE, outcome="ok", le="0.05") == 0
    assert at(after, "request_duration_seconds_bucket", **WHERE, outcome="ok", le="0.1") == 1
    assert at(after, "first_token_seconds_count", **WHERE, outcome="ok") == 1
    assert at(after, "overhead_seconds_bucket", **WHO, le="0.0005") == 1
    assert at(after, "usage_missing_total", model="gpt", provider="openai") == 0
    assert at(after, "build_info", version="9.9", python=_python()) == 1


async def test_a_bucket_includes_its_bound() -> None:
    samples = await scrape(metrics(), finished(latency_ms=100.0))
    assert at(samples, "request_duration_seconds_bucket", **WHERE, outcome="ok", le="0.05") == 0
    assert at(samples, "request_duration_seconds_bucket", **WHERE, outcome="ok", le="0.1") == 1


async def test_errors_estimates_and_ceilings_are_counted() -> None:
    samples = await scrape(
        metrics(),
        charged(estimated=True, outcome="cancelled", purpose="cancelled"),
        charged(unpriced=True),
        finished(outcome="refused", error_code="model_not_found", first_token_ms=None, model="", provider=""),
        finished(outcome="upstream_error", error_code="whatever the upstream wrote"),
    )
    assert at(samples, "usage_missing_total", model="gpt", provider="openai") == 1
    assert at(samples, "unpriced_requests_total", model="gpt", provider="openai") == 1
    assert at(samples, "errors_total", code="model_not_found", agent="researcher") == 1
    assert at(samples, "errors_total", code="_other", agent="researcher") == 1
    nowhere = {**WHO, "model": "", "provider": "", "outcome": "refused"}
    assert at(samples, "requests_total", **nowhere) == 1
    assert at(samples, "first_token_seconds_count", **nowhere) == 0
    assert at(samples, "tokens_total", **WHERE, kind="input") == 200


async def test_values_that_nobody_configured_share_one_series() -> None:
    events = [finished(model=f"made-up-{n}", agent=f"ghost-{n}") for n in range(50)]
    samples = await scrape(metrics(), *events)
    labels = {**WHERE, "agent": "_other", "model": "_other", "outcome": "ok"}
    assert at(samples, "requests_total", **labels) == 50
    assert not [key for key in samples if "made-up" in repr(key) or "ghost" in repr(key)]
    assert at(samples, "label_overflow_total", label="model") == 0


async def test_an_alias_counts_as_its_model() -> None:
    samples = await scrape(metrics(), finished(model="fast"), finished(model="gpt"))
    assert at(samples, "requests_total", **WHERE, outcome="ok") == 2


async def test_the_cap_holds_and_overflow_is_counted() -> None:
    counted = metrics(agents=("a", "b", "c"), cap=2)
    samples = await scrape(counted, *(finished(agent=agent) for agent in ("a", "b", "c", "c")))
    assert at(samples, "requests_total", **{**WHERE, "agent": "_other"}, outcome="ok") == 2
    assert at(samples, "label_overflow_total", label="agent") == 2


async def test_a_reload_keeps_old_series_until_their_place_is_needed() -> None:
    counted = metrics(agents=("a", "b"), cap=2)
    await scrape(counted, started(agent="a"), finished(agent="a"), charged(agent="a"), finished(agent="b"))
    counted.set_known([Agent("b", "search", "acme"), Agent("c", "search", "acme")], ["gpt"], ["openai"])
    kept = await scrape(counted, finished(agent="a", error_code="internal_error"))
    assert at(kept, "requests_total", **{**WHERE, "agent": "a"}, outcome="ok") == 2
    gone = await scrape(counted, finished(agent="c"))
    assert at(gone, "requests_total", **{**WHERE, "agent": "c"}, outcome="ok") == 1
    assert not [key for key in gone if ("agent", "a") in key[1]]
    late = await scrape(counted, finished(agent="a"))
    assert at(late, "requests_total", **{**WHERE, "agent": "_other"}, outcome="ok") == 1


async def test_a_reload_can_point_an_alias_elsewhere() -> None:
    counted = metrics()
    counted.receive([finished(model="fast")])
    counted.set_known([Agent("researcher", "search", "acme")], ["gpt", "mini"], ["openai"], {"fast": "mini"})
    samples = await scrape(counted, finished(model="fast"))
    assert at(samples, "requests_total", **{**WHERE, "model": "mini"}, outcome="ok") == 1


async def test_a_reload_can_lower_the_cap() -> None:
    counted = metrics(agents=("a", "b"))
    counted.set_known([Agent(a, "search", "acme") for a in "ab"], ["gpt"], ["openai"], max_label_values=1)
    samples = await scrape(counted, finished(agent="a"), finished(agent="b"))
    assert at(samples, "requests_total", **{**WHERE, "agent": "_other"}, outcome="ok") == 1


async def test_in_flight_survives_a_reload_in_between() -> None:
    counted = metrics(agents=())
    before = await scrape(counted, started())
    assert at(before, "in_flight_requests", agent="_other") == 1
    counted.set_known([Agent("researcher", "search", "acme")], ["gpt"], ["openai"])
    after = await scrape(counted, finished())
    assert at(after, "in_flight_requests", agent="researcher") == 0
    assert not at(after, "in_flight_requests", agent="_other")


async def test_configuration_and_keys() -> None:
    loaded = ConfigLoaded(at_s=1.0, ok=True, version=3, reason="")
    fresh = await scrape(metrics(), loaded, KeysReloaded(keys=12))
    assert (at(fresh, "config_version"), at(fresh, "config_stale"), at(fresh, "keys")) == (3, 0, 12)
    stale = await scrape(metrics(), loaded, ConfigLoaded(at_s=2.0, ok=False, version=3, reason="bad"))
    assert (at(stale, "config_version"), at(stale, "config_stale")) == (3, 1)
    assert at(stale, "config_reload_failures_total") == 1


async def test_calls_without_a_key_are_counted_by_code_only() -> None:
    refused = [KeyRefused(1.0, f"10.0.0.{n}", "invalid_api_key") for n in range(3)]
    samples = await scrape(metrics(), *refused, KeyRefused(1.0, "10.0.0.9", "made up"))
    assert at(samples, "key_refusals_total", code="invalid_api_key") == 3
    assert at(samples, "key_refusals_total", code="_other") == 1
    assert not [key for key in samples if "10.0.0" in repr(key)]


async def test_gauges_are_read_at_every_rendering() -> None:
    rows = iter((5, 7))
    gauges = Gauges(lambda: next(rows), lambda: 0.25, lambda: {"idle": 3, "active": 1})
    counted = metrics(gauges=gauges)
    first, second = await scrape(counted), await scrape(counted)
    assert [at(samples, "journal_pending_rows") for samples in (first, second)] == [5, 7]
    assert at(first, "journal_lag_seconds") == 0.25
    assert at(first, "upstream_connections", state="idle") == 3


async def test_openmetrics_when_asked_for() -> None:
    counted = metrics()
    counted.receive([started(), charged(), finished(error_code="internal_error")])
    content, content_type = await counted.render("application/openmetrics-text;version=1.0.0,text/plain;q=0.5")
    assert content_type.startswith("application/openmetrics-text; version=1.0.0")
    names = {family.name for family in parse_openmetrics(content.decode())}
    assert {"farebox_requests", "farebox_request_duration_seconds", "process_cpu_seconds"} <= names


@pytest.mark.parametrize(
    "accept", [None, "", "text/html", "application/openmetrics-text;version=x", "text/plain;version=y"]
)
async def test_any_accept_header_gets_an_answer(accept: str | None) -> None:
    content, content_type = await metrics().render(accept)
    assert content
    assert content_type.startswith("text/plain")


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 10**15), min_size=1, max_size=40))
async def test_cost_is_summed_exactly(amounts: list[int]) -> None:
    samples = await scrape(metrics(), *(charged(cost_nano_usd=NanoUsd(amount)) for amount in amounts))
    exact = float(Decimal(sum(amounts)) / 1_000_000_000)
    assert at(samples, "cost_usd_total", **WHERE, outcome="ok", purpose="useful") == exact


CHOICE = Choice(
    "main",
    "default",
    arm="trial/a",
    shadows=(Shadow("shade", "large"),),
    failed=("other",),
    strongest_paid_nano_usd=NanoUsd(2),
    asked_paid_nano_usd=NanoUsd(1),
)


async def test_the_document_lists_exactly_what_is_exposed() -> None:
    gauges = Gauges(lambda: 0, lambda: 0.0, lambda: {"idle": 0})
    events = [
        started(),
        charged(cost_nano_usd=NanoUsd(3), reserved_nano_usd=NanoUsd(2)),
        charged(resolution="orphaned"),
        finished(error_code="internal_error"),
        finished(choice=CHOICE),
        KeyRefused(1.0, "", "invalid_api_key"),
        LimitNoticed(1.0, "coder", "waited", "month", "agent:coder", "", 0.5),
        LoopFound(1.0, "coder", None, "repeated_call", 3, "warn"),
        AttemptEnded("openai/gpt", "first", "ok"),
        AttemptDenied("gpt", "retry"),
        BreakerChanged(1.0, "openai/gpt", "closed", "open", "failure_ratio"),
    ]
    samples = await scrape(metrics(gauges=gauges), *events)
    exposed = {
        (re.sub(r"_(bucket|count|sum)$", "", name), *sorted(dict(labels).keys() - {"le"})) for name, labels in samples
    }
    own = {row for row in exposed if not row[0].startswith("process_")}
    documented = re.findall(r"^\| `farebox_(\w+)` \| (\w+) \| *([^|]*?) *\|", DOC.read_text(), re.MULTILINE)
    listed = {(name, *sorted(re.findall(r"`(\w+)`", labels))) for name, _, labels in documented}
    assert listed == own
    assert {(name, kind) for name, kind, _ in documented} == {(family.name, family.kind) for family in FAMILIES}


def _python() -> str:
    import platform

    return platform.python_version()
