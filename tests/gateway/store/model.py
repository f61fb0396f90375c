"""What every store must do, as slowly and plainly as it can be said.

Nothing is kept up to date here: every counter is recomputed from the list of all that was ever posted and from the
reservations that are pending; every cell of a rate from all that it ever let through, in exact fractions.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from math import floor

from gateway.ledger.operations import (
    SEVERITY,
    Amounts,
    Bid,
    Cause,
    Claim,
    Extension,
    Opening,
    Rate,
    Run,
    RunRefused,
    Ticket,
    Unit,
)
from gateway.ledger.reservation import State, after

GRID = 2**22
SLACK = Fraction(1, 10**9)
STARVED_S = 2.0
NOTHING = Amounts(0, 0)


@dataclass
class Entry:
    """Something posted for good."""

    key: str
    amount: int
    at_s: float
    bucket_s: int


@dataclass
class Reservation:
    ticket: Ticket
    bid: Bid
    at_s: float
    strict: Amounts
    calibrated: Amounts
    """With extensions."""
    state: State = "pending"
    charged: Amounts = NOTHING
    """Of an orphaned one."""

    @property
    def metered(self) -> bool:
        return any(claim.calibrated for claim in self.bid.claims)

    def set_aside(self) -> Amounts:
        return self.calibrated if self.metered else self.strict

    def amount(self, claim: Claim) -> int:
        return wanted(claim, self.strict, self.calibrated)


@dataclass
class Carve:
    run: str
    amount: int
    at_s: float
    claims: tuple[Claim, ...]
    via: str | None
    spent: int = 0
    closed: bool = False


@dataclass
class Grant:
    """What a model says of an admission that fits; sets where any member will do."""

    bid: int
    strict: Amounts
    calibrated: Amounts
    tightest: tuple[set[str], int] | None
    over: set[str]
    rates: list[tuple[int, float]]
    """Remaining and reset of each."""


@dataclass
class No:
    """Why a bid does not fit: the gravest cause, and the keys that have it."""

    cause: Cause
    keys: set[str]
    retry_after_s: float = 0.0


@dataclass
class Model:
    entries: list[Entry] = field(default_factory=list)
    reservations: dict[str, Reservation] = field(default_factory=dict)
    carves: dict[str, Carve] = field(default_factory=dict)
    runs: dict[str, Run] = field(default_factory=dict)
    limits: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Version and limit of every counter that was ever claimed."""
    passed: dict[str, list[tuple[float, int, int | None]]] = field(default_factory=dict)
    """By cell: when, how many units, and None, or what they turned out to have been."""
    adjusted: set[str] = field(default_factory=set)
    starved: dict[str, float] = field(default_factory=dict)
    """Counters that a stream under way waits for, and until when."""
    starving: set[str] = field(default_factory=set)
    """Reservations whose last extension found no room."""

    # --- counters ---

    def posted(self, key: str, now_s: float) -> int:
        return sum(e.amount for e in self.entries if e.key == key and _counts(e, now_s))

    def reserved(self, key: str) -> int:
        pending = (each for each in self.reservations.values() if each.state == "pending")
        held = sum(each.amount(claim) for each in pending for claim in each.bid.claims if claim.key == key)
        return held + sum(self.left(carve) for carve in self.carves.values() for c in carve.claims if c.key == key)

    def left(self, carve: Carve) -> int:
        """What a carve has reserved with the run's parents."""
        unspent = max(0, carve.amount - carve.spent)
        return min(unspent, self.reserved(f"k|{carve.run}")) if carve.closed else unspent

    def limit(self, claim: Claim) -> int:
        version, limit = self.limits.get(claim.key, (-1, 0))
        return claim.limit if claim.version > version else limit

    def room(self, claim: Claim, now_s: float) -> int:
        return self.limit(claim) - self.posted(claim.key, now_s) - self.reserved(claim.key)

    def _adopt(self, claims: tuple[Claim, ...]) -> None:
        for claim in claims:
            self.set_limit(claim.key, claim.limit, claim.version, new=True)

    def set_limit(self, key: str, limit: int, version: int, *, new: bool = False) -> None:
        if (new or key in self.limits) and version > self.limits.get(key, (-1, 0))[0]:
            self.limits[key] = (version, limit)

    def adjust(self, claim: Claim, amount: int, entry: str, now_s: float) -> bool:
        if claim.key not in self.limits:
            return False
        if entry not in self.adjusted:
            self.adjusted.add(entry)
            self.entries.append(Entry(claim.key, amount, now_s, claim.bucket_s))
        return True

    # --- rates ---

    def tat(self, rate: Rate, now_s: float) -> Fraction:
        """A cell's theoretical arrival time, from everything that ever passed."""
        tat = Fraction(0)
        for at_s, units, actual in self.passed.get(rate.key, ()):
            if actual is None:
                tat = max(tat, Fraction(at_s)) + step(rate, units)
            elif tat + 3600 > Fraction(at_s):
                tat += step(rate, actual) - step(rate, units)
        return tat

    def wait(self, rate: Rate, units: int, now_s: float) -> Fraction:
        now = Fraction(now_s)
        first = max(self.tat(rate, now_s), now) + step(rate, min(units, rate.burst))
        wait = first - now - Fraction(rate.burst * Fraction(rate.period_s), rate.limit)
        return wait if wait > SLACK else Fraction(0)

    def _rate_state(self, rate: Rate, now_s: float) -> tuple[int, float]:
        owed = max(self.tat(rate, now_s) - Fraction(now_s), Fraction(0))
        left = (rate.burst * Fraction(rate.period_s) / rate.limit - owed) * rate.limit / Fraction(rate.period_s)
        return max(0, floor(left + Fraction(1, 10**6))), float(owed)

    def _correct_rates(self, bid: Bid, tokens: int, now_s: float) -> None:
        for rate in bid.rates:
            if rate.unit == Unit.TOKENS:
                self.passed[rate.key].append((now_s, bid.rate_tokens, tokens))

    # --- attempts ---

    def admit(self, ticket: Ticket, now_s: float) -> Grant | list[No]:
        barred = self._barred(ticket, now_s)
        if barred is not None:
            return [barred for _ in ticket.bids]
        denials = []
        for index, bid in enumerate(ticket.bids):
            found = self._fit(bid, now_s)
            if isinstance(found, No):
                denials.append(found)
                continue
            strict, calibrated = found
            over = {claim.key for claim in bid.claims if not claim.enforced and self._short(claim, bid, now_s)}
            self._adopt(bid.claims)
            self.reservations[ticket.id] = Reservation(ticket, bid, now_s, strict, calibrated)
            for rate in bid.rates:
                self.passed.setdefault(rate.key, []).append((now_s, _units(rate, bid), None))
            rates = [self._rate_state(rate, now_s) for rate in bid.rates]
            return Grant(index, strict, calibrated, self._tightest(bid, now_s), over, rates)
        return denials

    def _barred(self, ticket: Ticket, now_s: float) -> No | None:
        if ticket.id in self.reservations:
            return No("closed", {ticket.id})
        causes = [(cause, run) for run in ticket.runs if (cause := self._run_cause(run, now_s)) is not None]
        if causes:
            gravest = min((cause for cause, _ in causes), key=SEVERITY.index)
            return No(gravest, {run for cause, run in causes if cause == gravest})
        return None

    def _run_cause(self, id: str, now_s: float) -> Cause | None:
        run = self.runs.get(id)
        if run is None or run.state == "closed" or now_s >= run.closes_at_s:
            return "closed"
        if run.state == "paused":
            return "paused"
        return "time" if now_s >= run.ends_at_s else None

    def _short(self, claim: Claim, bid: Bid, now_s: float) -> bool:
        return wanted(claim, bid.strict, bid.calibrated) > self.room(claim, now_s)

    def _keeps_off(self, claim: Claim, now_s: float) -> bool:
        return now_s < self.starved.get(claim.key, 0.0)

    def _fit(self, bid: Bid, now_s: float) -> tuple[Amounts, Amounts] | No:
        """What is granted, strict and calibrated; or the gravest denial."""
        causes: list[tuple[Cause, str]] = []
        rooms: dict[tuple[bool, Unit], list[int]] = {}
        for claim in bid.claims:
            starved = self._keeps_off(claim, now_s)
            if not claim.enforced or not (starved or self._short(claim, bid, now_s)):
                continue
            room = self.room(claim, now_s)
            if claim.unit in (Unit.MONEY, Unit.TOKENS):
                want = wanted(claim, bid.strict, bid.calibrated)
                least = min(want, bid.least[claim.unit])
                if room >= least and not starved:
                    rooms.setdefault((claim.calibrated, claim.unit), []).append(room)
                    continue
                spent = least > self.limit(claim) - self.posted(claim.key, now_s)
                causes.append(("posted" if spent else "reserved", claim.key))
            else:
                causes.append(("slots" if claim.unit == Unit.SLOTS else "posted", claim.key))
        waits = {rate.key: self.wait(rate, _units(rate, bid), now_s) for rate in bid.rates if rate.enforced}
        causes += [("rate", key) for key, wait in waits.items() if wait and wait == max(waits.values())]
        if causes:
            gravest = min((cause for cause, _ in causes), key=SEVERITY.index)
            retry_s = float(max(waits.values())) if gravest == "rate" else 0.0
            return No(gravest, {key for cause, key in causes if cause == gravest}, retry_s)
        strict = Amounts(*(min([bid.strict[unit], *rooms.get((False, unit), ())]) for unit in _COUNTED))
        calibrated = (min([bid.calibrated[unit], strict[unit], *rooms.get((True, unit), ())]) for unit in _COUNTED)
        return strict, Amounts(*calibrated)

    def _tightest(self, bid: Bid, now_s: float) -> tuple[set[str], int] | None:
        rooms = [(self.room(c, now_s), c.scope) for c in bid.claims if c.enforced and c.unit == Unit.MONEY]
        if not rooms:
            return None
        least = min(room for room, _ in rooms)
        return {scope for room, scope in rooms if room == least}, least

    def extend(self, id: str, more: Amounts, now_s: float) -> Extension:
        held = self.reservations.get(id)
        if held is None or after(held.state, "extend") is None:
            return "gone"
        if any(self._run_cause(run, now_s) == "closed" for run in held.ticket.runs):
            return "gone"
        claims = [c for c in held.bid.claims if c.calibrated and c.unit in (Unit.MONEY, Unit.TOKENS)]
        short = set()
        for claim in claims:
            room = self.limits[claim.key][1] - self.posted(claim.key, now_s) - self.reserved(claim.key)
            if claim.enforced and more[claim.unit] > room:
                short.add(claim.key)
        if not held.metered:
            return "extended"
        self._feed(held)
        if short:
            self.starving.add(id)
            self.starved |= dict.fromkeys(short, now_s + STARVED_S)
            return "no_room"
        held.calibrated = Amounts(held.calibrated.money + more.money, held.calibrated.tokens + more.tokens)
        return "extended"

    def _feed(self, held: Reservation) -> None:
        if held.ticket.id in self.starving:
            self.starving.discard(held.ticket.id)
            for claim in held.bid.claims:
                if claim.calibrated:
                    self.starved.pop(claim.key, None)

    def settle(self, id: str, spent: Amounts, now_s: float) -> None:
        held = self.reservations.get(id)
        if held is None or (state := after(held.state, "settle")) is None:
            return
        if state == "settled":
            self._correct_rates(held.bid, spent.tokens, now_s)
            self._post(held, spent, 1)
        else:
            self._post(held, Amounts(spent.money - held.charged.money, spent.tokens - held.charged.tokens), 0)
        held.state = state

    def release(self, id: str, now_s: float) -> None:
        held = self.reservations.get(id)
        if held is None or (state := after(held.state, "release")) is None:
            return
        if state == "released":
            self._feed(held)
            self._correct_rates(held.bid, 0, now_s)
        else:
            self._post(held, Amounts(-held.charged.money, -held.charged.tokens), -1)
        held.state = state

    def orphan(self, id: str) -> Amounts | None:
        held = self.reservations.get(id)
        if held is None or (state := after(held.state, "orphan")) is None:
            return None
        held.charged = held.set_aside()
        self._post(held, held.charged, 1)
        held.state = state
        return held.charged

    def _post(self, held: Reservation, spent: Amounts, requests: int) -> None:
        self._feed(held)
        amounts = (spent.money, spent.tokens, requests, 0)
        for claim in held.bid.claims:
            self.entries.append(Entry(claim.key, amounts[claim.unit], held.at_s, claim.bucket_s))
        via = held.ticket.via
        while via is not None:
            carve = self.carves[via]
            carve.spent += spent.money
            for claim in carve.claims:
                self.entries.append(Entry(claim.key, spent.money, carve.at_s, claim.bucket_s))
            via = carve.via

    # --- runs ---

    def open_run(self, opening: Opening, now_s: float) -> Run | RunRefused:
        known = self.runs.get(opening.id)
        if known is not None:
            if known.org != opening.org:
                return RunRefused("other_org")
            differs = opening.parent is not None and opening.parent not in known.path[1:2]
            return RunRefused("parent_differs") if differs else known
        parent = None if opening.parent is None else self.runs.get(opening.parent)
        if opening.parent is not None:
            refused = self._no_sub_run(parent, opening, now_s)
            if refused is not None:
                return refused
        if opening.max_open is not None and self.open_runs(now_s) >= opening.max_open:
            return RunRefused("too_many", "", opening.max_open)
        if opening.carve:
            for claim in opening.carve_claims:
                if claim.enforced and opening.carve > self.room(claim, now_s):
                    return RunRefused("carve", claim.scope, self.limit(claim))
            self._adopt(opening.carve_claims)
            carve = Carve(opening.id, opening.carve, now_s, opening.carve_claims, opening.carve_via)
            self.carves[f"carve:{opening.id}"] = carve
        closes_at_s = now_s + opening.ttl_s
        path: tuple[str, ...] = (opening.id,)
        if parent is not None:
            closes_at_s = min(closes_at_s, parent.closes_at_s)
            path += parent.path
        run = Run(opening.id, path, opening.org, opening.agent, opening.limits, now_s, closes_at_s, opening.carve)
        self.runs[run.id] = run
        return run

    def open_runs(self, now_s: float) -> int:
        return sum(run.state != "closed" and now_s < run.closes_at_s for run in self.runs.values())

    def _no_sub_run(self, parent: Run | None, opening: Opening, now_s: float) -> RunRefused | None:
        if parent is None:
            return RunRefused("parent_unknown")
        if parent.org != opening.org:
            return RunRefused("other_org")
        if self._run_cause(parent.id, now_s) is not None:
            return RunRefused("parent_closed")
        for generations, id in enumerate(parent.path, start=1):
            deepest = self.runs[id].limits.depth
            if deepest is not None and generations > deepest:
                return RunRefused("depth", f"run:{id}", deepest)
        most = parent.limits.children
        if most is not None and sum(run.path[1:2] == (parent.id,) for run in self.runs.values()) >= most:
            return RunRefused("children", f"run:{parent.id}", most)
        return None

    def close_run(self, id: str, reason: str) -> None:
        for run in list(self.runs.values()):
            if id in run.path and run.state != "closed":
                self.runs[run.id] = run._replace(state="closed", reason=reason)
                if f"carve:{run.id}" in self.carves:
                    self.carves[f"carve:{run.id}"].closed = True

    def change_run(self, id: str, before: str, state: str, reason: str) -> None:
        run = self.runs.get(id)
        if run is not None and run.state == before:
            self.runs[id] = run._replace(state=state, reason=reason)  # type: ignore[arg-type]

    def pass_time(self, now_s: float) -> None:
        """End the runs whose time to live is over."""
        for run in list(self.runs.values()):
            if now_s >= run.closes_at_s:
                self.close_run(run.id, "")


_COUNTED = (Unit.MONEY, Unit.TOKENS)


def wanted(claim: Claim, strict: Amounts, calibrated: Amounts) -> int:
    if claim.unit in _COUNTED:
        return (calibrated if claim.calibrated else strict)[claim.unit]
    return 1


def step(rate: Rate, units: int) -> Fraction:
    return Fraction(floor(units * Fraction(rate.period_s) / rate.limit * GRID), GRID)


def _units(rate: Rate, bid: Bid) -> int:
    return bid.rate_tokens if rate.unit == Unit.TOKENS else 1


def _counts(entry: Entry, now_s: float) -> bool:
    if not entry.bucket_s:
        return True
    bucket = int(entry.at_s // entry.bucket_s)
    return (bucket + 1) * entry.bucket_s > now_s - 60 * entry.bucket_s
