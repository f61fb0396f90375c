"""When a second call is worth starting: the first byte is late for this deployment, and few were hedged. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

_LOW_S: Final = 0.005
_HIGH_S: Final = 600.0
_GROWTH: Final = math.log(1.1)
_BUCKETS: Final = math.ceil(math.log(_HIGH_S / _LOW_S) / _GROWTH) + 1
_MEMORY: Final = 1024
"""All weights are halved when so many observations are held: what is older than some 2,000 calls is forgotten."""


@dataclass(frozen=True, slots=True)
class HedgeSettings:
    """When to hedge.

    A first byte is late after `factor` times the learned quantile. Where a few answers are far slower than the rest,
    the quantile alone would start hedges for many that are about to answer, and the budget would be gone before the
    really slow ones.
    """

    quantile: float = 0.95
    factor: float = 1.5
    min_calls: int = 50
    """First bytes that have to be known before the first hedge."""
    min_s: float = 0.05
    """Never earlier than this."""
    ratio: float = 0.02
    """Hedges per request at most."""
    burst: int = 10
    """Hedges that quiet times may save up for a bad moment."""


class FirstByte:
    """How long a deployment takes to its first byte: a histogram of log-spaced buckets that forgets by halving."""

    __slots__ = ("_known_s", "_share", "_weights", "count", "total")

    def __init__(self) -> None:
        self._weights = [0] * _BUCKETS
        self.total = 0
        """Weight that is held, below `_MEMORY`."""
        self.count = 0
        """Observations ever."""
        self._share = 0.0
        self._known_s: float | None = None

    def observe(self, first_byte_s: float) -> None:
        """Take note of one call's time to its first byte.

        One that was cancelled before its first byte, because its hedge won, is observed with the time it had run: it
        keeps its place among the late ones. Were it left out, the quantile would fall with every hedge.
        """
        bucket = 0 if first_byte_s <= _LOW_S else math.ceil(math.log(first_byte_s / _LOW_S) / _GROWTH - 1e-9)
        self._weights[min(bucket, _BUCKETS - 1)] += 1
        self.total += 1
        self.count += 1
        if self.total >= _MEMORY:
            self._weights = [weight >> 1 for weight in self._weights]
            self.total = sum(self._weights)
        if self.count % 16 == 0:
            self._known_s = None

    def quantile(self, share: float) -> float | None:
        """The time that `share` of the calls stay below, at most 10% too high; None when nothing is known.

        It is worked out anew after every 16 observations.
        """
        if self._known_s is None or share != self._share:
            self._share = share
            self._known_s = self._find(share)
        return self._known_s

    def _find(self, share: float) -> float | None:
        missing = share * self.total
        seen = 0
        for bucket, weight in enumerate(self._weights):
            seen += weight
            if weight and seen >= missing:
                return _LOW_S * math.exp(bucket * _GROWTH)
        return None


class HedgeBudget:
    """Of one process: every request earns a share of a hedge, and a hedge costs a whole one."""

    __slots__ = ("_saved", "settings")

    def __init__(self, settings: HedgeSettings) -> None:
        self.settings = settings
        self._saved = 0.0

    def began(self) -> None:
        """Count a request."""
        settings = self.settings
        self._saved = min(settings.burst, self._saved + settings.ratio)

    @property
    def used_ratio(self) -> float:
        """What is gone of the most that it can hold; 1 when there is nothing for a hedge."""
        return 1.0 if self._saved < 1 - 1e-9 else 1.0 - self._saved / self.settings.burst

    def take(self) -> bool:
        """Pay for one hedge; False when too few requests have come since the last ones."""
        if self._saved < 1 - 1e-9:
            return False
        self._saved = max(0.0, self._saved - 1)
        return True


def hedge_at_s(first_byte: FirstByte, settings: HedgeSettings, began_s: float) -> float | None:
    """When a call that began at `began_s` should be hedged, if its first byte has not come; None: too little known."""
    if first_byte.count < settings.min_calls:
        return None
    late_s = first_byte.quantile(settings.quantile)
    return None if late_s is None else began_s + max(settings.min_s, settings.factor * late_s)
