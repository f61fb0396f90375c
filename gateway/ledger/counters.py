"""A counter: what is posted, what is reserved, and the limit that both are held to. Pure."""

from __future__ import annotations

from math import inf

from gateway.ledger.operations import Claim, CounterState, Unit
from gateway.ledger.windows import FOREVER_S, ROLLING_BUCKETS

STARVED_S = 2.0
"""How long a refused extension keeps others off, unless its stream is extended or over before: it asks again sooner."""
UNKNOWN_VERSION = -1
"""Of a counter that was seeded before any claim told its limit."""


class Counter:
    """One counter. Its user adds to `reserved` itself, and to `posted` where `bucket_s` is 0."""

    __slots__ = (
        "bucket_s",
        "buckets",
        "end_s",
        "key",
        "limit",
        "posted",
        "reserved",
        "scope",
        "stale_s",
        "starved_s",
        "unit",
        "version",
    )

    def __init__(self, key: str) -> None:
        self.key = key
        self.unit = Unit.MONEY
        self.scope = ""
        self.limit = 0
        self.version = UNKNOWN_VERSION
        self.posted = 0
        """For a rolling window: the sum of `buckets`, as of the last `roll`."""
        self.reserved = 0
        self.end_s = FOREVER_S
        self.bucket_s = 0
        self.buckets: dict[int, int] | None = None
        """A rolling window's posted amounts by `floor(at_s / bucket_s)`."""
        self.stale_s = inf
        """When the oldest of `buckets` leaves the window: `roll` is due from then on."""
        self.starved_s = 0.0
        """Until then what comes back is for a stream under way whose extension found no room here."""

    def adopt(self, claim: Claim) -> None:
        """Take the limit and the description of a claim with a higher version."""
        self.unit = claim.unit
        self.scope = claim.scope
        self.limit = claim.limit
        self.version = claim.version
        self.end_s = claim.end_s
        if claim.bucket_s and self.buckets is None:
            self.bucket_s = claim.bucket_s
            self.buckets = {}

    def roll(self, now_s: float) -> None:
        """Forget the buckets that have left a rolling window."""
        buckets = self.buckets
        if not buckets:
            self.stale_s = inf
            return
        oldest = oldest_bucket(now_s, self.bucket_s)
        for bucket in [bucket for bucket in buckets if bucket < oldest]:
            self.posted -= buckets.pop(bucket)
        self.stale_s = _leaves_s(min(buckets), self.bucket_s) if buckets else inf

    def post(self, amount: int, at_s: float, now_s: float) -> None:
        """Add to what is posted, in the bucket of `at_s`; in none if that has left the window already."""
        buckets = self.buckets
        if buckets is None:
            self.posted += amount
            return
        bucket = int(at_s // self.bucket_s)
        if amount and bucket >= oldest_bucket(now_s, self.bucket_s):
            buckets[bucket] = buckets.get(bucket, 0) + amount
            self.posted += amount
            self.stale_s = min(self.stale_s, _leaves_s(bucket, self.bucket_s))

    def state(self) -> CounterState:
        """The counter as others see it."""
        return CounterState(self.key, self.unit, self.scope, self.limit, self.posted, self.reserved)


def oldest_bucket(now_s: float, bucket_s: int) -> int:
    """The first bucket that is still in a rolling window: its end is less than the window's length ago."""
    return int(now_s // bucket_s) - ROLLING_BUCKETS


def _leaves_s(bucket: int, bucket_s: int) -> float:
    return float((bucket + 1 + ROLLING_BUCKETS) * bucket_s)
