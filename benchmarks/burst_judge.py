"""Judges a burst by the provider's own bill. Pure.

Our own books say only when a request was admitted, which were orphaned, and what they say the whole cost.

- *Overspend*: over budgets, what the provider billed beyond the limit.
- *Utilisation*: (bill + orphaned rows) / limit when a scope first refused somebody for good. An orphaned row counts in
  the place of its own bill, which it covers. Generations under way then have not been billed yet and do not count.
- *False denial*: a refusal, or an answer that we ended below its true length, though what was billed, the true cost of
  everything admitted and its own cost together would have fitted every covering limit. Divided by the requests that
  would have fitted when they arrived.

**What an ended request counts for** decides what that says. By its `bill` alone nobody who keeps a hard limit can be
right: what an answer that was broken off costs, and what a killed gateway had under way, only the provider knows, so
the books must hold the most that it can be, and whoever is refused because of that is denied falsely. A kill of 200
streams makes that room for 50 to 100 calls, and every later refusal that would fit in it counts. Were each token logged
before it is passed on, whether the answers ended by themselves within the margin would still be unknown: some 25 tokens
each, a dozen calls in all, and each refusal of less is false. By `orphans` an orphaned row counts as charged, as in the
utilisation; the answers broken off still leave a few calls' worth of room. By the `ledger` every row counts as charged:
what is denied falsely then was denied because of what was reserved for those under way, never for what cannot be known.
That is the strictest reading that can be held without asking the provider afterwards, hence the main figure; the others
are given beside it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from benchmarks.burst_client import Seen
from benchmarks.burst_plan import NANO_PER_USD, OUTPUT_NANO_USD, Scenario


@dataclass(frozen=True, slots=True)
class Charge:
    """What the journal says of one request."""

    request_id: str
    agent: str
    admitted_s: float
    cost: int
    """Nano-USD, corrections included."""
    orphaned: bool
    estimated: bool


@dataclass(frozen=True, slots=True)
class Billed:
    """What the provider says of one generation."""

    request_id: str
    at_s: float
    """When it was as good as billed: when it ended, or when its client left."""
    cost: int


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything that a burst left behind."""

    seen: Sequence[Seen]
    billed: Sequence[Billed]
    charges: Sequence[Charge]


class Denials(NamedTuple):
    """What was wrongly refused."""

    false: Mapping[str, int]
    """By reason."""
    fitted: int
    """Requests that would have fitted when they arrived."""

    @property
    def ratio(self) -> float:
        """False denials over the requests that fitted."""
        return sum(self.false.values()) / self.fitted if self.fitted else 0.0


_SAME_S = 0.1
"""A settlement that makes a scope refuse the next one, and the line of its bill, are written by two processes."""
BILL, ORPHANS, LEDGER = "bill", "orphans", "ledger"
"""What an ended request counts for: its bill; the same, but an orphaned row what it was charged; what our books say."""


@dataclass(slots=True)
class _Admitted:
    """One admitted request's cost over time, in nano-USD."""

    admitted_s: float
    ended_s: float
    billed: int
    held: int
    """What counts in the end: the bill, or what an orphaned row holds in its place."""
    charged: int
    """By our books."""
    true: int
    """While it ran: what its whole answer costs, also where we cut it off."""

    def at(self, now_s: float, basis: str) -> int:
        """What it counts for at a moment."""
        final = self.billed if basis == BILL else self.held if basis == ORPHANS else self.charged
        return max(self.true, final) if now_s < self.ended_s else final


class Judge:
    """The figures of one burst."""

    def __init__(self, scenario: Scenario, evidence: Evidence) -> None:
        self._scenario = scenario
        self._seen = evidence.seen
        self._bill = {billed.request_id: billed for billed in evidence.billed}
        self._charges = {charge.request_id: charge for charge in evidence.charges}
        self._agents = {seen.request_id: seen.call.agent for seen in evidence.seen if seen.request_id}
        self._agents |= {charge.request_id: charge.agent for charge in evidence.charges}
        self.unknown = [billed for billed in evidence.billed if billed.request_id not in self._agents]
        """Generations that nobody knows of: each would be money without an owner."""
        self._mine: dict[str, _Admitted] = {}
        self._admitted = self._admissions()

    def _admissions(self) -> dict[str, list[_Admitted]]:
        """By scope, everything that was ever let in, in that order."""
        found: dict[str, list[_Admitted]] = {scope: [] for scope in self._scenario.limits}
        by_id = {seen.request_id: seen for seen in self._seen if seen.request_id}
        for request_id, agent in self._agents.items():
            billed, charge, seen = self._bill.get(request_id), self._charges.get(request_id), by_id.get(request_id)
            if billed is None and charge is None:
                continue
            cost = 0 if billed is None else billed.cost
            held = charge.cost if charge is not None and charge.orphaned else cost
            true = cost
            if seen is not None and seen.outcome == "short":
                true = seen.call.cost
            admitted_s = charge.admitted_s if charge is not None else seen.sent_s if seen is not None else 0.0
            ended_s = billed.at_s if billed is not None else admitted_s
            charged = cost if charge is None else charge.cost
            mine = self._mine[request_id] = _Admitted(admitted_s, ended_s, cost, held, charged, true)
            for scope in self._scenario.scopes(agent):
                found[scope].append(mine)
        for admitted in found.values():
            admitted.sort(key=lambda each: each.admitted_s)
        return found

    # --- money ---

    def bill_by_scope(self) -> dict[str, int]:
        """Nano-USD billed in each scope."""
        return {scope: sum(each.billed for each in found) for scope, found in self._admitted.items()}

    def overspend(self) -> int:
        """Nano-USD; generations of unknown owner count in every budget."""
        lost = sum(billed.cost for billed in self.unknown)
        bill, limits = self.bill_by_scope(), self._scenario.limits
        return sum(max(0, bill[scope] + lost - limits[scope]) for scope in limits)

    def ledger_minus_bill(self) -> dict[str, int]:
        """Nano-USD by kind of row: `exact` ones must be 0, no kind below 0."""
        found = {"exact": 0, "estimated": 0, "orphaned": 0}
        for charge in self._charges.values():
            billed = self._bill.get(charge.request_id)
            kind = "orphaned" if charge.orphaned else "estimated" if charge.estimated else "exact"
            found[kind] += charge.cost - (0 if billed is None else billed.cost)
        found["exact"] -= sum(
            billed.cost for request_id, billed in self._bill.items() if request_id not in self._charges
        )
        return found

    def least_surplus(self) -> int | None:
        """By how much, in nano-USD, our estimates exceed their bills at the least: below 0 would be an overrun."""
        surplus = [
            charge.cost - self._bill[charge.request_id].cost
            for charge in self._charges.values()
            if charge.estimated and not charge.orphaned and charge.request_id in self._bill
        ]
        return min(surplus, default=None)

    def orphaned(self) -> dict[str, int]:
        """How many rows were orphaned, and what they hold beyond their bill, in nano-USD."""
        rows = [charge for charge in self._charges.values() if charge.orphaned]
        return {"rows": len(rows), "excess": self.ledger_minus_bill()["orphaned"]}

    # --- refusals ---

    def utilisation(self) -> dict[str, float]:
        """By scope that refused somebody for good."""
        first: dict[str, float] = {}
        for seen in self._seen:
            if seen.outcome == "refused" and seen.scope in self._scenario.limits:
                first[seen.scope] = min(seen.ended_s, first.get(seen.scope, seen.ended_s))
        return {
            scope: sum(each.held for each in self._admitted[scope] if each.ended_s <= at_s + _SAME_S)
            / self._scenario.limits[scope]
            for scope, at_s in first.items()
        }

    def denials(self, basis: str = LEDGER, *, in_turn: bool = False) -> Denials:
        """False denials, and how many requests fitted on arrival.

        `basis`: what an ended request counts for. `in_turn`: a falsely denied one counts as admitted for those that
        were denied after it, so that the same room is not missed twice.
        """
        false: Counter[str] = Counter()
        given = dict.fromkeys(self._scenario.limits, 0)
        for seen in sorted(self._seen, key=lambda each: each.ended_s):
            shortened = seen.outcome == "short"
            if not (shortened or seen.outcome == "refused"):
                continue
            extra = self._fits(seen, seen.ended_s, basis, given)
            if extra is not None:
                false["shortened" if shortened else seen.reason] += 1
                for scope in self._scenario.scopes(seen.call.agent) if in_turn else ():
                    given[scope] += extra
        nothing = dict.fromkeys(given, 0)
        fitted = sum(self._fits(seen, seen.sent_s, basis, nothing) is not None for seen in self._seen)
        return Denials(dict(false), fitted)

    def _fits(self, seen: Seen, now_s: float, basis: str, given: Mapping[str, int]) -> int | None:
        """What the whole answer would have taken beyond what it took; None when that does not fit."""
        mine = self._mine.get(seen.request_id)
        extra = seen.call.cost
        if mine is not None and mine.admitted_s <= now_s:
            extra = max(0, extra - mine.at(now_s, basis))
        for scope in self._scenario.scopes(seen.call.agent):
            found = self._admitted[scope]
            before = bisect_right(found, now_s, key=lambda each: each.admitted_s)
            taken = sum(each.at(now_s, basis) for each in found[:before])
            if taken + given[scope] + extra > self._scenario.limits[scope]:
                return None
        return extra

    def waits(self, arrivals: Mapping[str, float]) -> list[float]:
        """Seconds that each request waited for room, ascending. `arrivals`: by request id, when the gateway got it."""
        waits = [
            charge.admitted_s - arrivals[charge.request_id]
            for charge in self._charges.values()
            if charge.request_id in arrivals
        ]
        waits += [seen.ended_s - seen.sent_s for seen in self._seen if seen.outcome == "refused"]
        return sorted(max(0.0, wait) for wait in waits)


def quantile(ordered: Sequence[float], share: float) -> float:
    """The value that `share` of the ascending values do not exceed; 0 of none."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def read_bill(records: Iterable[Mapping[str, Any]], linger_s: float) -> list[Billed]:
    """The bill's lines. What goes on after a client left was decided when it did."""
    return [
        Billed(
            str(record["caller_id"]),
            float(record["at_s"]) - (linger_s if record["outcome"] == "cancelled" else 0.0),
            int(record["cost_nano_usd"]),
        )
        for record in records
    ]


def read_charges(rows: Iterable[Sequence[Any]]) -> list[Charge]:
    """Rows of (request_id, agent, window_at_us, cost_nano_usd, resolution, estimated), one for each request."""
    found: dict[str, Charge] = {}
    for request_id, agent, admitted_us, cost, resolution, estimated in rows:
        known = found.get(request_id)
        before = 0 if known is None else known.cost
        orphaned = resolution == "orphaned" or (known is not None and known.orphaned)
        corrected = resolution == "correction"
        estimate = bool(estimated) or (known is not None and known.estimated and not corrected)
        found[request_id] = Charge(request_id, agent, admitted_us / 1e6, before + cost, orphaned, estimate)
    return list(found.values())


def usd(nano_usd: int) -> float:
    """For the report."""
    return round(nano_usd / NANO_PER_USD, 9)


def tokens_of(nano_usd: int) -> int:
    """As output tokens: easier to picture than such small sums."""
    return nano_usd // OUTPUT_NANO_USD
