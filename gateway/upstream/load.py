"""How busy and quick the deployments are, as this process knows it: told by every exchange, asked by the router.

Only deployments are watched that a model's strategy has to know it of (`Deployment.watched`). Every gateway knows its
own calls only: what is to hold for all of them together is a deployment's capacity, which the store counts.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from typing import Final

from routing.catalog import Deployment
from routing.load import IDLE, Load, PeakEwma, Traffic

KEPT_MAX: Final = 10_000
"""Deployments that are remembered; when there are more, those without a call in flight are forgotten."""


class Flight:
    """One attempt, from its beginning to its end."""

    __slots__ = ("_began_s", "_now_s", "_traffic", "_waits")

    def __init__(self, traffic: Traffic, now_s: Callable[[], float], first_bytes: PeakEwma) -> None:
        self._traffic: Traffic | None = traffic
        self._now_s = now_s
        self._waits: PeakEwma | None = first_bytes
        """What its first byte will be counted in; None when it has come."""
        self._began_s = began_s = now_s()
        traffic.in_flight += 1
        first_bytes.begin(began_s)

    def answered(self) -> None:
        """Its first byte has come."""
        waits = self._waits
        if waits is not None:
            self._waits = None
            waits.end(self._began_s, self._now_s(), answered=True)

    def end(self, *, answered: bool = False) -> None:
        """It is over, whatever became of it. `answered`: it went well. Does nothing the second time."""
        waits, traffic = self._waits, self._traffic
        if waits is not None:
            self._waits = None
            waits.end(self._began_s, self._now_s(), answered=answered)
        if traffic is not None:
            self._traffic = None
            traffic.in_flight -= 1


class Loads:
    """Of all deployments that are watched."""

    def __init__(
        self,
        now_s: Callable[[], float] = time.monotonic,
        draw: Callable[[], float] = random.Random().random,  # noqa: B008, S311 -- shared chance; it is no secret
    ) -> None:
        """`draw` gives numbers of [0, 1) by chance."""
        self._now_s = now_s
        self._known: dict[str, Traffic] = {}
        self.draw = draw

    def view(self, deployments: Sequence[Deployment], *, stream: bool) -> list[Load]:
        """How each of them is, for a call of that kind."""
        now_s, known = self._now_s(), self._known
        found = [known.get(each.id) for each in deployments]
        return [IDLE if each is None else each.load(now_s, stream) for each in found]

    def latency_s(self, deployment: str, *, stream: bool) -> float | None:
        """What a call has to expect until its first byte; None: nothing is known."""
        traffic = self._known.get(deployment)
        return None if traffic is None else traffic.load(self._now_s(), stream=stream).latency_s

    def begin(self, deployment: Deployment, *, stream: bool) -> Flight:
        """An attempt begins; it has to be ended."""
        traffic = self._known.get(deployment.id)
        if traffic is None:
            if len(self._known) >= KEPT_MAX:
                self._known = {name: each for name, each in self._known.items() if each.in_flight}
            traffic = self._known[deployment.id] = Traffic()
        return Flight(traffic, self._now_s, traffic.streams if stream else traffic.whole)
