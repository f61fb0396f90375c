"""Which deployment of a model's group is called first, and which next: one small type for each strategy. Pure.

A strategy puts the whole group in order, best first: what follows is for fallbacks, and for when the best one's
breaker is open or its capacity is used up. Caddy's selection policies are the example for the shape.

`Ordered`     as configured: provisioned capacity first, on-demand for the burst
`Weighted`    by chance, each as often as its weight says
`LeastBusy`   the fewest calls in flight for its weight
`Fastest`     the better of two drawn ones, by first byte times calls in flight: what Finagle does, after Mitzenmacher,
              "The Power of Two Choices in Randomized Load Balancing" (2001). Always to take the best one of all would
              send every request to the one that was quick a moment ago.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple, Protocol

from routing.load import IDLE, Load

StrategyName = Literal["ordered", "weighted", "least_busy", "fastest"]


class Member(NamedTuple):
    """A deployment of the group, at this moment."""

    weight: int = 1
    """Its share. 0: it is there for fallbacks only."""
    load: Load = IDLE


class Strategy(Protocol):
    """How a group is put in order."""

    @property
    def reason(self) -> str:
        """Why the first one is first, in a word."""
        ...

    def order(self, group: Sequence[Member], draw: float) -> list[int]:
        """The places of all members, best first. `draw` is a number of [0, 1) by chance."""
        ...


class Ordered:
    """As it is written."""

    reason = "first-deployment"

    def order(self, group: Sequence[Member], draw: float) -> list[int]:
        """All of them, as they come."""
        return list(range(len(group)))


class Weighted:
    """By chance: each is first as often as its weight says, and so among the rest when it is not."""

    reason = "drawn"

    def order(self, group: Sequence[Member], draw: float) -> list[int]:
        """Drawn without putting back; what has no weight comes last, as written.

        One draw does for all: given where it fell, its place within what was chosen is by chance again.
        """
        left = [place for place, member in enumerate(group) if member.weight > 0]
        total = sum(group[place].weight for place in left)
        chosen: list[int] = []
        while len(left) > 1:
            at = draw * total
            for place in left[:-1]:
                weight = group[place].weight
                if at < weight:
                    break
                at -= weight
            else:
                place = left[-1]
                weight = group[place].weight
            chosen.append(place)
            left.remove(place)
            total -= weight
            draw = min(at / weight, _BELOW_ONE)
        return [*chosen, *left, *_without_weight(group)]


class LeastBusy:
    """The fewest calls in flight for its weight; by chance, as `Weighted`, among those that are even."""

    reason = "least-busy"

    def order(self, group: Sequence[Member], draw: float) -> list[int]:
        """By calls in flight over weight."""
        chosen = _WEIGHTED.order(group, draw)
        chosen.sort(key=lambda place: _in_flight(group[place]))
        return chosen


class Fastest:
    """The better of two, drawn evenly: the earlier first byte, times the calls in flight with this one."""

    reason = "better-of-two"

    def order(self, group: Sequence[Member], draw: float) -> list[int]:
        """The better of the two, then all others, the quickest first. What has no weight comes last, as written."""
        places = [place for place, member in enumerate(group) if member.weight > 0]
        if len(places) > 1:
            costs = {place: _cost_s(group[place].load) for place in places}
            one, other = two_of(places, draw)
            first = other if costs[other] < costs[one] else one
            places.remove(first)
            places.sort(key=costs.__getitem__)
            places.insert(0, first)
        return places + _without_weight(group)


def two_of(places: Sequence[int], draw: float) -> tuple[int, int]:
    """Two different ones of at least two, each pair and order as likely as any other."""
    count = len(places)
    at = draw * count
    one = min(int(at), count - 1)
    other = min(int((at - one) * (count - 1)), count - 2)
    return places[one], places[other + (other >= one)]


def _in_flight(member: Member) -> float:
    return member.load.in_flight / member.weight if member.weight else float("inf")


def _cost_s(load: Load) -> float:
    """What one more call has to expect. One that nothing is known of is tried."""
    return 0.0 if load.latency_s is None else load.latency_s * (load.in_flight + 1)


def _without_weight(group: Sequence[Member]) -> list[int]:
    return [place for place, member in enumerate(group) if member.weight <= 0]


_BELOW_ONE: Final = 1.0 - 2.0**-53
_WEIGHTED: Final = Weighted()

STRATEGIES: Final[dict[StrategyName, Strategy]] = {
    "ordered": Ordered(),
    "weighted": _WEIGHTED,
    "least_busy": LeastBusy(),
    "fastest": Fastest(),
}
LOOKING: Final = frozenset(("least_busy", "fastest"))
"""Those that have to know how busy and quick the deployments are."""
