"""Attempts: admitted, extended, settled, released and orphaned, in memory. Pure: the time arrives as `now_s`.

Admission comes in two passes, one that only looks and one that writes; what explains a refusal or lowers an amount runs
only when the first found no room.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

from gateway.ledger.admission import Squeezed, Standing, squeeze
from gateway.ledger.carves import Carves
from gateway.ledger.cells import NO_RATES, Asked, Cells
from gateway.ledger.counters import STARVED_S, Counter
from gateway.ledger.held import NOTHING, Held, Orphaned, Settled
from gateway.ledger.operations import (
    SEVERITY,
    Amounts,
    Bid,
    Claim,
    Denial,
    Extension,
    Granted,
    OutsideWindow,
    Refused,
    Ticket,
    Unit,
)
from gateway.ledger.recent import Recent
from gateway.ledger.runs import Runs
from gateway.ledger.usual import Usual, Usuals

_NOT_THERE = Settled("none")


_Plan = tuple[list[Counter], list[int], list[tuple[Counter, Claim]], bool, tuple[str, int] | None, tuple[str, ...]]
"""What granting a bid writes: its counters and their amounts; counters that are new, or whose limit has a newer
version, with their claims; whether any claim is calibrated; the tightest scope; shadow claims without room."""


class Attempts:
    """The part of the book that requests come to. An operation changes all that it should, or nothing."""

    def __init__(self, keep_finished: int = 20_000) -> None:
        """`keep_finished`: of so many resolved reservations it knows at most that they are."""
        self._counters: dict[str, Counter] = {}
        self._cells = Cells()
        self._held: dict[str, Held] = {}
        self._orphans: Recent[Held] = Recent(keep_finished)
        self._finished: Recent[bool] = Recent(keep_finished)
        self._runs = Runs()
        self._carves = Carves(self._counters)
        self._usuals = Usuals()
        self._starved_until_s = 0.0
        """Until then some counter may keep what comes back for a stream under way."""

    def _drop(self, key: str) -> None:
        """Forget a counter."""
        del self._counters[key]
        self._usuals.clear()

    def admit(self, ticket: Ticket, now_s: float) -> Granted | Refused:
        """Reserve the first bid that fits. A pending id gets its first answer again, a resolved one is refused.

        No key stands twice in one bid. Raises OutsideWindow, having changed nothing, for a claim on another window.
        """
        held = self._held.get(ticket.id)
        if held is not None:
            return held.granted
        barred = self._barred(ticket, now_s)
        if barred is not None:
            return Refused((barred,) * len(ticket.bids))
        denials: list[Denial] = []
        for index, bid in enumerate(ticket.bids):
            asked = self._cells.ask(bid, now_s) if bid.rates else NO_RATES
            if asked is not None:
                granted = self._grant(ticket, index, asked, now_s)
                if granted is not None:
                    return granted
            found = self._squeeze(bid, now_s)
            if isinstance(found, Squeezed):
                return self._grant_squeezed(ticket, index, found, now_s)
            denials.append(found)
        return Refused(tuple(denials))

    def _grant(self, ticket: Ticket, index: int, asked: Asked, now_s: float) -> Granted | None:
        """Grant a bid whose rates let it pass, if all of it fits."""
        bid = ticket.bids[index]
        usual = self._usuals.get(bid, now_s) if bid.recurs and now_s >= self._starved_until_s else None
        if usual is not None:
            return self._grant_usual(ticket, index, usual, asked, now_s)
        plan = self._plan(bid, bid.strict, bid.calibrated, now_s)
        if plan is None:
            return None
        granted = Granted(index, now_s, bid.strict, bid.calibrated, plan[4], plan[5], asked[0])
        self._write(ticket, granted, plan, asked[1])
        self._usuals.learn(bid, plan[0])
        return granted

    def _grant_usual(self, ticket: Ticket, index: int, usual: Usual, asked: Asked, now_s: float) -> Granted | None:
        """As `_plan` and `_write`, for claims whose counters are known and have nobody who comes first."""
        bid = ticket.bids[index]
        for counter in usual.rolling:
            if now_s >= counter.stale_s:
                counter.roll(now_s)
        amounts = usual.wanted(bid.strict, bid.calibrated)
        taken = usual.take(amounts)
        if taken is None:
            return None
        granted = Granted(index, now_s, bid.strict, bid.calibrated, taken[0], (), asked[0])
        held = Held(ticket, granted, usual.counters, amounts)
        held.is_plain = usual.is_plain
        self._keep(ticket, held, asked[1], metered=usual.is_metered)
        return granted

    def _barred(self, ticket: Ticket, now_s: float) -> Denial | None:
        """Why none of the bids can be granted, before they are looked at."""
        if ticket.id in self._finished or ticket.id in self._orphans:
            return Denial("closed", ticket.id, "", 0, 0, 0)
        nodes = self._runs.nodes
        for run in ticket.runs:
            node = nodes.get(run)
            if node is None or now_s >= node.until_s:
                return self._run_denial(ticket.runs, now_s)
        if ticket.via is not None and ticket.via not in self._carves:
            return Denial("closed", ticket.via, "", 0, 0, 0)
        return None

    def _grant_squeezed(self, ticket: Ticket, index: int, found: Squeezed, now_s: float) -> Granted:
        bid = ticket.bids[index]
        plan = self._plan(bid, found.strict, found.calibrated, now_s)
        asked = self._cells.ask(bid, now_s)
        assert plan is not None  # noqa: S101 -- it was squeezed into the room there is
        assert asked is not None  # noqa: S101 -- rates were looked at too
        granted = Granted(index, now_s, found.strict, found.calibrated, plan[4], found.over, asked[0])
        return self._write(ticket, granted, plan, asked[1])

    def _plan(self, bid: Bid, strict: Amounts, calibrated: Amounts, now_s: float) -> _Plan | None:
        """Look whether these amounts fit all claims of a bid; None as soon as one has no room."""
        wants = ((*strict, 1, 1), (*calibrated, 1, 1))
        get = self._counters.get
        counters: list[Counter] = []
        amounts: list[int] = []
        adopted: list[tuple[Counter, Claim]] = []
        over: tuple[str, ...] = ()
        tightest, least = "", inf
        metered = False
        for claim in bid.claims:
            key, unit, limit, version, scope, enforced, takes_calibrated, bucket_s, start_s, end_s = claim
            if now_s >= end_s or now_s < start_s:
                raise OutsideWindow(key)
            counter = get(key)
            if counter is None:
                counter = Counter(key)
                adopted.append((counter, claim))
            elif version > counter.version:
                adopted.append((counter, claim))
            else:
                limit = counter.limit  # the newest configuration's rules
            if bucket_s and now_s >= counter.stale_s:
                counter.roll(now_s)
            if takes_calibrated:
                metered = True
                want = wants[1][unit]
            else:
                want = wants[0][unit]
            left = limit - counter.posted - counter.reserved - want
            if enforced:
                if left < 0 or now_s < counter.starved_s:
                    return None
                if not unit and left < least:
                    tightest, least = scope, left
            elif left < 0:
                over += (key,)
            counters.append(counter)
            amounts.append(want)
        return counters, amounts, adopted, metered, None if least == inf else (tightest, int(least)), over

    def _squeeze(self, bid: Bid, now_s: float) -> Squeezed | Denial:
        return squeeze(bid, [self._standing(claim, now_s) for claim in bid.claims], self._cells.waits(bid, now_s))

    def _standing(self, claim: Claim, now_s: float) -> Standing:
        if not claim.start_s <= now_s < claim.end_s:
            raise OutsideWindow(claim.key)
        counter = self._counters.get(claim.key)
        if counter is None:
            return Standing(claim, Counter(claim.key), claim.limit)
        if now_s >= counter.stale_s:
            counter.roll(now_s)
        limit = claim.limit if claim.version > counter.version else counter.limit
        return Standing(claim, counter, limit, now_s < counter.starved_s)

    def _write(self, ticket: Ticket, granted: Granted, plan: _Plan, tats: Sequence[float]) -> Granted:
        """The second pass: all that was looked at becomes so."""
        counters, amounts, adopted, metered, _, _ = plan
        for counter, claim in adopted:
            counter.adopt(claim)
            self._counters[claim.key] = counter
        for counter, amount in zip(counters, amounts, strict=True):
            counter.reserved += amount
        self._keep(ticket, Held(ticket, granted, counters, amounts), tats, metered=metered)
        return granted

    def _keep(self, ticket: Ticket, held: Held, tats: Sequence[float], *, metered: bool) -> None:
        if tats:
            self._cells.keep(held.bid.rates, tats)
        if metered:
            held.calibrated = held.granted.calibrated
        if ticket.via is not None:
            held.carve = self._carves.get(ticket.via)
        self._held[ticket.id] = held

    def _run_denial(self, runs: tuple[str, ...], now_s: float) -> Denial:
        """The gravest cause among these runs, of the nearest that has it."""
        causes = []
        for run in runs:
            node = self._runs.nodes.get(run)
            cause = "closed" if node is None else node.cause(now_s)
            if cause is not None:
                causes.append((SEVERITY.index(cause), run))
        rank, run = min(causes, key=lambda each: each[0])
        return Denial(SEVERITY[rank], run, f"run:{run}", 0, 0, 0)

    def extend(self, id: str, more: Amounts, now_s: float) -> Extension:
        """Add to the calibrated claims of a pending reservation, all or nothing; `gone` in a closed run too.

        Where it finds no room nothing is admitted until it is extended or resolved, for `STARVED_S` at the most: what
        a new request took would end an answer that is half written.
        """
        held = self._held.get(id)
        if held is None:
            return "gone"
        for run in held.runs:
            node = self._runs.nodes.get(run)
            if node is None or node.cause(now_s) == "closed":
                return "gone"
        if held.calibrated is None:
            return "extended"
        extras, short = [], []
        for index, (claim, counter) in enumerate(zip(held.bid.claims, held.counters, strict=True)):
            if not claim.calibrated or claim.unit not in (Unit.MONEY, Unit.TOKENS):
                continue
            if now_s >= counter.stale_s:
                counter.roll(now_s)
            extra = more[claim.unit]
            if claim.enforced and extra > counter.limit - counter.posted - counter.reserved:
                short.append(counter)
            extras.append((index, extra))
        if held.starved:
            self._feed(held)
        if short:
            held.starved = True
            self._starved_until_s = max(self._starved_until_s, now_s + STARVED_S)
            for counter in short:
                counter.starved_s = now_s + STARVED_S
            return "no_room"
        for index, extra in extras:
            held.amounts[index] += extra
            held.counters[index].reserved += extra
        held.calibrated = Amounts(held.calibrated.money + more.money, held.calibrated.tokens + more.tokens)
        return "extended"

    def is_starved(self, id: str) -> bool:
        """Whether the last extension of a pending reservation found no room."""
        held = self._held.get(id)
        return held is not None and held.starved

    def _feed(self, held: Held) -> None:
        """It is starved no more. Others that are in the same counters say so again when they ask again."""
        held.starved = False
        for claim, counter in zip(held.bid.claims, held.counters, strict=True):
            if claim.calibrated:
                counter.starved_s = 0.0

    def settle(self, id: str, spent: Amounts, now_s: float) -> Settled:
        """Post what was spent and give the rest back; of an orphaned reservation, post the difference."""
        held = self._held.pop(id, None)
        if held is None:
            return self._correct(id, spent, 1, now_s)
        governed = self._resolve(held, spent, 1, now_s)
        if held.bid.rates:
            self._cells.correct(held.bid, spent.tokens, now_s)
        self._finished.add(id, True)
        reserved = overrun = 0
        if governed:
            reserved = held.charge().money
            overrun = spent[0] - reserved if spent[0] > reserved else 0
        if held.carve is None:
            return Settled("settled", spent, reserved, overrun, held.granted.at_s)
        return Settled("settled", spent, reserved, overrun, held.at_s(), held.own_at_s())

    def release(self, id: str, now_s: float) -> Settled:
        """Give everything back, and what was counted of rates of tokens."""
        held = self._held.pop(id, None)
        if held is None:
            return self._correct(id, NOTHING, 0, now_s)
        governed = self._resolve(held, NOTHING, 0, now_s)
        if held.bid.rates:
            self._cells.correct(held.bid, 0, now_s)
        self._finished.add(id, True)
        return Settled("released", NOTHING, held.charge().money if governed else 0, 0, held.at_s(), held.own_at_s())

    def orphan(self, id: str, now_s: float) -> Orphaned | None:
        """Charge a pending reservation in full, for want of anybody who knows better; None when it is not pending."""
        held = self._held.pop(id, None)
        if held is None:
            return None
        charged = held.charge()
        self._resolve(held, charged, 1, now_s)
        self._orphans.add(id, held)
        return Orphaned(charged, held.bid.origin, held.at_s())

    def _resolve(self, held: Held, spent: Amounts, requests: int, now_s: float) -> bool:
        """Give back what was reserved and post what was spent. Whether any counter of money governs it."""
        if held.starved:
            self._feed(held)
        if held.is_plain:
            cost = spent[0]
            for counter, amount in zip(held.counters, held.amounts, strict=True):
                counter.reserved -= amount
                counter.posted += cost
            if held.carve is not None:
                self._carves.spend(held.carve, cost, now_s)
            return bool(held.counters)
        posts = (spent[0], spent[1], requests, 0)
        at_s = held.granted.at_s
        governed = False
        for claim, counter, amount in zip(held.bid.claims, held.counters, held.amounts, strict=True):
            unit = claim[1]
            if not unit:
                governed = True
            counter.reserved -= amount
            if counter.bucket_s:
                counter.post(posts[unit], at_s, now_s)
            else:
                counter.posted += posts[unit]
        if held.carve is not None:
            self._carves.spend(held.carve, spent.money, now_s)
        return governed

    def _correct(self, id: str, spent: Amounts, requests: int, now_s: float) -> Settled:
        """The gateway of an orphaned reservation came back: one correction makes it right."""
        held = self._orphans.pop(id)
        if held is None:
            return _NOT_THERE
        self._finished.add(id, True)
        charged = held.charge()
        change = Amounts(spent.money - charged.money, spent.tokens - charged.tokens)
        posts = (change.money, change.tokens, requests - 1, 0)
        for claim, counter in zip(held.bid.claims, held.counters, strict=True):
            present = self._counters.setdefault(counter.key, counter)  # it may have been dropped since
            present.post(posts[claim.unit], held.granted.at_s, now_s)
        if held.carve is not None:
            self._carves.spend(held.carve, change.money, now_s)
        governed = any(claim.unit == Unit.MONEY for claim in held.bid.claims)
        reserved = charged.money if governed else 0
        return Settled("correction", change, reserved, 0, held.at_s(), held.own_at_s())
