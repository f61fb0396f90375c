"""Metric series as plain numbers, so that counting costs an addition; `exposition` gives them names."""

from __future__ import annotations

from bisect import bisect_left
from typing import NamedTuple

from routing.money import Usage

TOKEN_KINDS = tuple(name.removesuffix("_tokens") for name in Usage._fields)
"""`input`, `output`, `cache_read` and so on: the `kind` label, in the order of `Usage`."""

_NO_PARTS = (0,) * (len(Usage._fields) - 2)

# Upper bounds, of times in milliseconds. A model's answer takes from a tenth of a second to ten minutes; what Farebox
# adds should take less than a thousandth.
DURATION_MS = (50, 100, 250, 500, 1000, 2500, 5000, 10_000, 20_000, 40_000, 60_000, 120_000, 300_000, 600_000)
FIRST_TOKEN_MS = (50, 100, 200, 300, 500, 750, 1000, 1500, 2500, 5000, 10_000, 30_000, 60_000)
OVERHEAD_MS = (0.1, 0.25, 0.5, 0.75, 1, 2, 5, 10, 25, 50, 100, 250, 1000)
WAIT_MS = (10, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000)
STORE_MS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 1000)
TOKENS_PER_S = (5, 10, 20, 30, 40, 50, 75, 100, 150, 200, 300, 500, 1000)

Key = tuple[str, ...]
"""The values of a series' labels, in its family's order."""


Exemplar = tuple[str, str, float, float]
"""A request that fell into a bucket, to look at: its id, its trace's (or nothing), its value, its Unix time."""


class HistogramValue(NamedTuple):
    """A histogram at one moment."""

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    """Observations per bucket, not cumulated; one more than there are bounds."""
    sum: float
    exemplars: tuple[Exemplar | None, ...] = ()
    """The latest of each bucket; empty where none are kept."""


class Histogram:
    """Counts values in buckets whose upper bounds are inclusive."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def freeze(self) -> HistogramValue:
        """A copy that another thread may read."""
        return HistogramValue(self.bounds, tuple(self.counts), self.sum)


class TracedHistogram:
    """A histogram that remembers the latest request of each bucket."""

    __slots__ = ("bounds", "counts", "exemplars", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0
        self.exemplars: list[Exemplar | None] = [None] * (len(bounds) + 1)

    def observe(self, value: float, request_id: str, trace_id: str, at_s: float) -> None:
        """Count one value, of this request."""
        bucket = bisect_left(self.bounds, value)
        self.counts[bucket] += 1
        self.sum += value
        self.exemplars[bucket] = (request_id, trace_id, value, at_s)

    def freeze(self) -> HistogramValue:
        """A copy that another thread may read."""
        return HistogramValue(self.bounds, tuple(self.counts), self.sum, tuple(self.exemplars))


class Tally:
    """A family of plain sums."""

    __slots__ = ("names", "rows")

    def __init__(self, *names: str) -> None:
        """`names` are those of its labels."""
        self.names = names
        self.rows: dict[Key, int] = {}

    def add(self, key: Key, amount: int = 1) -> None:
        """Add to one series."""
        self.rows[key] = self.rows.get(key, 0) + amount

    def copy(self) -> list[tuple[Key, int]]:
        """All series."""
        return list(self.rows.items())

    def forget(self, label: str, value: str) -> None:
        """Drop the series that carry a label's value."""
        forget(self.rows, self.names, label, value)


def forget(rows: dict[Key, object] | dict[Key, int], names: tuple[str, ...], label: str, value: str) -> None:
    """Drop the rows whose label `label` is `value`; `names` are those of the keys' parts."""
    if label in names:
        place = names.index(label)
        for key in [key for key in rows if key[place] == value]:
            del rows[key]


class AgentSeries:
    """What is counted by org, team and agent."""

    __slots__ = ("duration", "first_token", "labels", "overhead")

    def __init__(self, labels: Key) -> None:
        self.labels = labels
        self.duration = TracedHistogram(DURATION_MS)
        self.first_token = TracedHistogram(FIRST_TOKEN_MS)
        self.overhead = Histogram(OVERHEAD_MS)


class RequestSeries:
    """What is counted by org, team, agent, model, provider and the request's outcome."""

    __slots__ = ("agent", "answered", "count", "labels")

    def __init__(self, labels: Key, agent: AgentSeries, *, answered: bool) -> None:
        """`answered`: whether its outcome is that of an answer."""
        self.labels = labels
        self.agent = agent
        self.answered = answered
        self.count = 0


class OfferSeries:
    """What is counted by model and provider."""

    __slots__ = ("labels", "unpriced", "usage_missing")

    def __init__(self, labels: Key) -> None:
        self.labels = labels
        self.unpriced = 0
        self.usage_missing = 0


class DeploymentSeries:
    """What is counted by model, provider and deployment, of calls that went well."""

    __slots__ = ("duration", "first_token", "labels", "tokens_per_s")

    def __init__(self, labels: Key) -> None:
        self.labels = labels
        self.duration = Histogram(DURATION_MS)
        self.first_token = Histogram(FIRST_TOKEN_MS)
        self.tokens_per_s = Histogram(TOKENS_PER_S)


class ChargeSeries:
    """What is counted by org, team, agent, model, provider, the attempt's outcome and its purpose."""

    __slots__ = ("labels", "nano_usd", "offer", "tokens")

    def __init__(self, labels: Key, offer: OfferSeries) -> None:
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
