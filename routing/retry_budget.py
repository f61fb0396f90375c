"""How many retries a deployment may get, so that a bad day of its provider is never made worse by us. Pure.

Retries are allowed up to a share of the requests of the last seconds (20%), plus a floor. The share bounds the load
that retries add while a provider fails everything: 1.2 times the usual, where three tries each would be three times.
The floor keeps retries useful where there is hardly any traffic: 3 in 10 s let a lone request use both of its retries,
and add 0.3 calls a second at most. The idea is Finagle's (`RetryBudget`) and Envoy's (`retry_budget`).
"""

from __future__ import annotations

from dataclasses import dataclass

from routing.sliding import SlidingCount


@dataclass(frozen=True, slots=True)
class RetryBudgetSettings:
    """How much may be retried."""

    ratio: float = 0.2
    """Retries per request, within the window."""
    floor: int = 3
    """Retries within a window that need no requests."""
    window_s: float = 10.0


class RetryBudget:
    """Of one deployment in one process. First attempts and fallbacks are requests; only retries are retries."""

    __slots__ = ("_requests", "_retries", "settings")

    def __init__(self, settings: RetryBudgetSettings) -> None:
        self.settings = settings
        self._requests = SlidingCount(settings.window_s)
        self._retries = SlidingCount(settings.window_s)

    def began(self, now_s: float) -> None:
        """Count a request: an attempt that is no retry."""
        self._requests.add(now_s)

    def allows(self, now_s: float) -> bool:
        """Whether there is room for one more retry. Only `take` makes it certain."""
        settings = self.settings
        if self._retries.most < settings.floor:  # the usual case
            return True
        room = settings.floor + settings.ratio * self._requests.count(now_s)
        return self._retries.count(now_s) + 1 <= room

    def used_ratio(self, now_s: float) -> float:
        """Retries of the window, of those that it allows."""
        room = self.settings.floor + self.settings.ratio * self._requests.count(now_s)
        return self._retries.count(now_s) / room if room else 1.0

    def take(self, now_s: float) -> bool:
        """Use room for one retry; False when there is none."""
        if not self.allows(now_s):
            return False
        self._retries.add(now_s)
        return True
