"""The names under which our numbers are exposed to Prometheus, and the only module that knows its client library.

docs/metrics.md lists the same families; a test compares the two.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import NamedTuple, cast

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from gateway.telemetry.series import HistogramValue

PREFIX = "farebox_"
_ORG_TEAM_AGENT = ("org", "team", "agent")
_OFFER = ("model", "provider")
_REQUEST = (*_ORG_TEAM_AGENT, *_OFFER, "outcome")


class Family(NamedTuple):
    """A metric: its name without the prefix, type, meaning and labels."""

    name: str
    kind: str
    """`counter`, `gauge` or `histogram`."""
    help: str
    labels: tuple[str, ...] = ()
    divisor: float = 1
    """From the unit we count in (nano-USD, ms) to the exposed one (USD, seconds)."""


FAMILIES = (
    Family("requests_total", "counter", "Identified client requests, refused ones too.", _REQUEST),
    Family(
        "request_duration_seconds",
        "histogram",
        "From a request's arrival to its answer's last byte.",
        _REQUEST,
        divisor=1000,
    ),
    Family(
        "first_token_seconds",
        "histogram",
        "From a request's arrival to the first body byte handed to the client.",
        _REQUEST,
        divisor=1000,
    ),
    Family(
        "overhead_seconds",
        "histogram",
        "A request's duration less the time spent waiting for the upstream.",
        _ORG_TEAM_AGENT,
        divisor=1000,
    ),
    Family("in_flight_requests", "gauge", "Identified requests being served.", ("agent",)),
    Family("errors_total", "counter", "Requests that ended in an error, by its code.", ("code", "agent")),
    Family(
        "tokens_total",
        "counter",
        "Tokens of all attempts. The kinds input and output include the others.",
        (*_ORG_TEAM_AGENT, *_OFFER, "kind"),
    ),
    Family(
        "cost_usd_total",
        "counter",
        "Cost of all attempts in USD.",
        (*_REQUEST, "purpose"),
        divisor=1_000_000_000,
    ),
    Family(
        "usage_missing_total",
        "counter",
        "Attempts without usage from the provider, charged by an estimate.",
        _OFFER,
    ),
    Family(
        "unpriced_requests_total",
        "counter",
        "Attempts charged at the configured ceiling because the model has no price.",
        _OFFER,
    ),
    Family(
        "overrun_usd_total",
        "counter",
        "Cost beyond what was reserved, in USD: what a provider billed beyond its declared bounds.",
        ("agent",),
        divisor=1_000_000_000,
    ),
    Family(
        "orphaned_usd_total",
        "counter",
        "Charged in full for attempts whose gateway was lost, in USD.",
        ("agent",),
        divisor=1_000_000_000,
    ),
    Family(
        "limits_total",
        "counter",
        "What budgets, rates and runs did to requests.",
        ("agent", "kind", "reason"),
    ),
    Family(
        "queue_wait_seconds_total",
        "counter",
        "Time that requests waited for money reserved by others.",
        ("agent",),
        divisor=1000,
    ),
    Family("loops_total", "counter", "Loops found in requests.", ("agent", "kind", "action")),
    Family(
        "attempts_total",
        "counter",
        "Upstream calls that ended, by why they were made and how they ended.",
        ("deployment", "kind", "outcome"),
    ),
    Family(
        "attempts_denied_total",
        "counter",
        "Retries and hedges that were not made because their budget was used up.",
        ("model", "kind"),
    ),
    Family("breaker_state", "gauge", "0 closed, 1 half-open, 2 open, forced or not.", ("breaker",)),
    Family("breaker_transitions_total", "counter", "Changes of breakers.", ("breaker", "state", "reason")),
    Family("credentials_refused", "gauge", "1 while a provider refuses our credentials or account.", ("provider",)),
    Family(
        "decisions_total",
        "counter",
        "Requests whose model a policy chose; `downgraded` tells why a weaker one was taken.",
        ("policy", "rule", "tier", "downgraded"),
    ),
    Family("experiments_total", "counter", "Requests in each arm of an experiment.", ("policy", "arm")),
    Family(
        "shadow_decisions_total",
        "counter",
        "What shadow rules would have done, beside what was done.",
        ("policy", "rule", "would"),
    ),
    Family("failed_conditions_total", "counter", "Conditions that failed at run time.", ("policy", "rule")),
    Family(
        "routed_cost_usd_total",
        "counter",
        "Cost of answered requests whose model a policy chose, in USD, all attempts together.",
        ("agent", "policy", "asked"),
        divisor=1_000_000_000,
    ),
    Family(
        "routed_strongest_cost_usd_total",
        "counter",
        "What their tokens would have cost at the policy's strongest candidate, in USD.",
        ("agent", "policy", "asked"),
        divisor=1_000_000_000,
    ),
    Family(
        "routed_asked_cost_usd_total",
        "counter",
        "What their tokens would have cost at the model that was asked for, in USD, of those that asked for one.",
        ("agent", "policy"),
        divisor=1_000_000_000,
    ),
    Family("config_version", "gauge", "Version of the configuration in force."),
    Family("config_stale", "gauge", "1 when the newest configuration on disk was refused, else 0."),
    Family("config_reload_failures_total", "counter", "Configurations that were refused."),
    Family("keys", "gauge", "Keys that may call."),
    Family("key_refusals_total", "counter", "Requests without a valid key; they belong to no agent.", ("code",)),
    Family("journal_pending_rows", "gauge", "Rows that wait for the journal's next commit."),
    Family("journal_lag_seconds", "gauge", "Age of the oldest row that waits for the journal."),
    Family("upstream_connections", "gauge", "Connections to providers.", ("state",)),
    Family(
        "label_overflow_total",
        "counter",
        "Events counted under _other because their label had as many values as it may.",
        ("label",),
    ),
    Family("build_info", "gauge", "Always 1; the labels tell what runs.", ("version", "python")),
)

Numbers = Sequence[tuple[tuple[str, ...], float]]
"""A counter's or gauge's label values, in the family's order, each with a value in the unit we count in."""
Histograms = Sequence[tuple[tuple[str, ...], HistogramValue]]
Rows = Numbers | Histograms

_PROCESS = ProcessCollector(registry=None)


class _Frozen(Collector):
    """Yields numbers that were copied before."""

    def __init__(self, state: Mapping[str, Rows]) -> None:
        self._state = state

    def collect(self) -> Iterator[Metric]:
        for family in FAMILIES:
            if family.name in self._state:
                yield _metric(family, self._state[family.name])


def render(state: Mapping[str, Rows], accept: str) -> tuple[bytes, str]:
    """The exposition of `state`, by family name without prefix, and of the process itself; and its content type.

    `accept` is the scraper's Accept header: OpenMetrics when it asks for that, else Prometheus' text format. Takes tens
    of milliseconds for thousands of lines, so it belongs into a thread.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Frozen(state))
    registry.register(_PROCESS)
    try:
        encode, content_type = choose_encoder(accept)
    except TypeError:  # an Accept header whose version is no number
        encode, content_type = choose_encoder("")
    return encode(registry), content_type


def _metric(family: Family, rows: Rows) -> Metric:
    name = PREFIX + family.name
    if family.kind == "histogram":
        return _histogram(name, family, cast("Histograms", rows))
    kind = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
    metric: CounterMetricFamily | GaugeMetricFamily = kind(name, family.help, labels=family.labels)
    for labels, value in cast("Numbers", rows):
        metric.add_metric(labels, value / family.divisor)
    return metric


def _histogram(name: str, family: Family, rows: Histograms) -> HistogramMetricFamily:
    metric = HistogramMetricFamily(name, family.help, labels=family.labels)
    for labels, value in rows:
        metric.add_metric(labels, _buckets(value, family.divisor), value.sum_ms / family.divisor)
    return metric


def _buckets(value: HistogramValue, divisor: float) -> list[tuple[str, float]]:
    bounds = [*(repr(bound / divisor) for bound in value.bounds_ms), "+Inf"]
    return list(zip(bounds, accumulate(value.counts), strict=True))
