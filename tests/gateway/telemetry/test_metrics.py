from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families

from gateway.ledger.budgets import Budget
from gateway.ledger.report import BudgetLine
from gateway.ledger.scopes import Scope
from gateway.ledger.windows import Window
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
from gateway.telemetry.labels import Owner
from gateway.telemetry.metrics import Gauges, Known, Metrics
from gateway.telemetry.names import FAMILIES, PREFIX
from routing.catalog import Deployment
from routing.decision import Shadow
from routing.money import NanoUsd, Usage
from tests.gateway.telemetry.samples import charged, finished, started

DOC = Path(__file__).parents[3] / "docs" / "metrics.md"

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]

WHO = {"org": "acme", "team": "search", "agent": "researcher"}
WHERE = {**WHO, "model": "gpt", "provider": "openai"}


NOBODY = {"org": "_other", "team": "_other", "agent": "_other"}


def known(agents: Iterable[str] = ("researcher",), **more: Any) -> Known:
    """What a configuration with these agents, one model and one provider declares."""
    owners = tuple(Owner("acme", "search", name) for name in agents)
    found = {"models": ("gpt",), "providers": ("openai",), "deployments": (deployment("openai/gpt", "gpt"),)}
    return Known(owners, **{**found, **more})


def deployment(id_: str, model: str) -> Deployment:
    provider, _, upstream_model = id_.partition("/")
    return Deployment(id_, provider, upstream_model, None, model=model)


def metrics(agents: Iterable[str] = ("researcher",), cap: int = 500, gauges: Gauges | None = None) -> Metrics:
    made = Metrics(version="9.9", max_label_values=cap, gauges=gauges)
    made.set_known(known(agents, aliases={"fast": "gpt"}, budgets=("month",)))
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
    assert at(during, "in_flight_requests", **WHO) == 1
    usage = Usage(input_tokens=100, output_tokens=20, cache_read_tokens=64, reasoning_tokens=7)
    after = await scrape(counted, charged(usage=usage), finished())
    assert at(after, "in_flight_requests", **WHO) == 0
    assert at(after, "requests_total", **WHERE, outcome="ok") == 1
    kinds = {kind: at(after, "tokens_total", **WHERE, kind=kind) for kind in ("input", "output", "cache_read")}
    assert kinds == {"input": 100, "output": 20, "cache_read": 64}
    assert at(after, "tokens_total", **WHERE, kind="reasoning") == 7
    assert at(after, "tokens_total", **WHERE, kind="input_audio") is None
    assert at(after, "cost_usd_total", **WHERE, outcome="ok", purpose="useful") == 0.0000015
    assert at(after, "request_duration_seconds_sum", **WHO) == 0.081
    assert at(after, "request_duration_seconds_bucket", **WHO, le="0.05") == 0
    assert at(after, "request_duration_seconds_bucket", **WHO, le="0.1") == 1
    assert at(after, "first_token_seconds_count", **WHO) == 1
    assert at(after, "overhead_seconds_bucket", **WHO, le="0.0005") == 1
    assert at(after, "usage_missing_total", model="gpt", provider="openai") == 0
    assert at(after, "build_info", version="9.9", python=_python()) == 1


async def test_a_bucket_includes_its_bound() -> None:
    samples = await scrape(metrics(), finished(latency_ms=100.0))
    assert at(samples, "request_duration_seconds_bucket", **WHO, le="0.05") == 0
    assert at(samples, "request_duration_seconds_bucket", **WHO, le="0.1") == 1


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
    assert at(samples, "errors_total", **WHO, code="model_not_found") == 1
    assert at(samples, "errors_total", **WHO, code="_other") == 1
    nowhere = {**WHO, "model": "", "provider": "", "outcome": "refused"}
    assert at(samples, "requests_total", **nowhere) == 1
    assert at(samples, "first_token_seconds_count", **WHO) == 0
    assert at(samples, "request_duration_seconds_count", **WHO) == 0, "only of answers"
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
    counted.set_known(known(("b", "c")))
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
    counted.set_known(known(models=("gpt", "mini"), aliases={"fast": "mini"}))
    samples = await scrape(counted, finished(model="fast"))
    assert at(samples, "requests_total", **{**WHERE, "model": "mini"}, outcome="ok") == 1


async def test_a_reload_can_lower_the_cap() -> None:
    counted = metrics(agents=("a", "b"))
    counted.set_known(known("ab"), max_label_values=1)
    samples = await scrape(counted, finished(agent="a"), finished(agent="b"))
    assert at(samples, "requests_total", **{**WHERE, "agent": "_other"}, outcome="ok") == 1


async def test_in_flight_survives_a_reload_in_between() -> None:
    counted = metrics(agents=())
    before = await scrape(counted, started())
    assert at(before, "in_flight_requests", **NOBODY) == 1
    counted.set_known(known())
    after = await scrape(counted, finished())
    assert at(after, "in_flight_requests", **WHO) == 0
    assert not at(after, "in_flight_requests", **NOBODY)


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


FED_ELSEWHERE = {"reconciliation_drift_ratio", "store_up", "store_operation_seconds", "store_errors_total"}
"""By sources that a gateway adds: tests/integration/test_metrics.py looks at these."""
FED_ELSEWHERE |= {"alerts_total", "alerts_pending"}


async def test_every_family_is_exposed_with_its_labels() -> None:
    budget = Budget("month", Scope("agent", "researcher"), NanoUsd(10), Window("month"))
    line = BudgetLine(budget, "researcher", budget.window.at(1.8e9), 10, 5, 1, 1.8e9)
    gauges = Gauges(
        lambda: 0,
        lambda: 0.0,
        lambda: {"idle": 0},
        lambda: {"openai/gpt": 0.5},
        lambda: {"gpt": 1.0},
        lambda: _given(line),
    )
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
    assert own == {(family.name, *sorted(family.labels)) for family in FAMILIES if family.name not in FED_ELSEWHERE}


def test_the_document_lists_the_catalogue() -> None:
    rows = re.findall(r"^\| `farebox_(\w+)` \| (\w+) \| *([^|]*?) *\|", DOC.read_text(), re.MULTILINE)
    listed = [(name, kind, tuple(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows]
    assert listed == [(family.name, family.kind, family.labels) for family in FAMILIES]


async def _given(*lines: BudgetLine) -> list[BudgetLine]:
    return list(lines)


def _python() -> str:
    import platform

    return platform.python_version()
