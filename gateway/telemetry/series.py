"""Metric series as plain integers, so that counting costs an addition; `exposition` gives them names."""

from __future__ import annotations

from bisect import bisect_left
from typing import NamedTuple

from routing.money import Usage

TOKEN_KINDS = tuple(name.removesuffix("_tokens") for name in Usage._fields)
"""`input`, `output`, `cache_read` and so on: the `kind` label, in the order of `Usage`."""

_NO_PARTS = (0,) * (len(Usage._fields) - 2)

# Upper bounds in milliseconds. A model's answer takes from a tenth of a second to ten minutes; what Farebox adds should
# take less than a thousandth.
DURATION_MS = (50, 100, 250, 500, 1000, 2500, 5000, 10_000, 20_000, 40_000, 60_000, 120_000, 300_000, 600_000)
FIRST_TOKEN_MS = (50, 100, 200, 300, 500, 750, 1000, 1500, 2500, 5000, 10_000, 30_000, 60_000)
OVERHEAD_MS = (0.1, 0.25, 0.5, 0.75, 1, 2, 5, 10, 25, 50, 100, 250, 1000)


class HistogramValue(NamedTuple):
    """A histogram at one moment."""

    bounds_ms: tuple[float, ...]
    counts: tuple[int, ...]
    """Observations per bucket, not cumulated; one more than there are bounds."""
    sum_ms: float


class Histogram:
    """Counts durations in buckets whose upper bounds are inclusive."""

    __slots__ = ("bounds_ms", "counts", "sum_ms")

    def __init__(self, bounds_ms: tuple[float, ...]) -> None:
        self.bounds_ms = bounds_ms
        self.counts = [0] * (len(bounds_ms) + 1)
        self.sum_ms = 0.0

    def observe(self, value_ms: float) -> None:
        """Count one duration."""
        self.counts[bisect_left(self.bounds_ms, value_ms)] += 1
        self.sum_ms += value_ms

    def freeze(self) -> HistogramValue:
        """A copy that another thread may read."""
        return HistogramValue(self.bounds_ms, tuple(self.counts), self.sum_ms)


class AgentSeries:
    """What is counted by org, team and agent."""

    __slots__ = ("labels", "overhead")

    def __init__(self, labels: tuple[str, ...]) -> None:
        self.labels = labels
        self.overhead = Histogram(OVERHEAD_MS)


class RequestSeries:
    """What is counted by org, team, agent, model, provider and the request's outcome."""

    __slots__ = ("agent", "count", "duration", "first_token", "labels")

    def __init__(self, labels: tuple[str, ...], agent: AgentSeries) -> None:
        self.labels = labels
        self.agent = agent
        self.count = 0
        self.duration = Histogram(DURATION_MS)
        self.first_token = Histogram(FIRST_TOKEN_MS)


class OfferSeries:
    """What is counted by model and provider."""

    __slots__ = ("labels", "unpriced", "usage_missing")

    def __init__(self, labels: tuple[str, ...]) -> None:
        self.labels = labels
        self.unpriced = 0
        self.usage_missing = 0


class ChargeSeries:
    """What is counted by org, team, agent, model, provider, the attempt's outcome and its purpose."""

    __slots__ = ("labels", "nano_usd", "offer", "tokens")

    def __init__(self, labels: tuple[str, ...], offer: OfferSeries) -> None:
        self.labels = labels
        self.offer = offer
        self.nano_usd = 0
        self.tokens = [0] * len(TOKEN_KINDS)

    def add_usage(self, usage: Usage) -> None:
        """Count an attempt's tokens."""
        tokens = self.tokens
        tokens[0] += usage[0]
        tokens[1] += usage[1]
        if usage[2:] != _NO_PARTS:
            for index in range(2, len(tokens)):
                tokens[index] += usage[index]
