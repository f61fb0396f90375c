"""The book: every counter, reservation, rate and run of one store, in memory. Pure: the time arrives as `now_s`.

It is the engine of the memory store, which adds durability and waiters. A counter that the book does not know is zero:
its owner seeds it from the journal before anybody claims it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from gateway.ledger.admission import wanted
from gateway.ledger.attempts import Attempts
from gateway.ledger.counters import Counter
from gateway.ledger.held import Carve, Carved, Held, Pending
from gateway.ledger.operations import (
    Claim,
    CounterState,
    Opening,
    Run,
    RunRefused,
    RunState,
)
from gateway.ledger.recent import Recent
from gateway.ledger.windows import FOREVER_S

GRACE_S = 86_400.0
"""Counters of a window that ended so long ago are dropped, once nothing is reserved in them."""


class Book(Attempts):
    """Attempts, and what people and time do: runs, adjustments, limits, upkeep, recovery."""

    def __init__(self, keep_finished: int = 20_000) -> None:
        """`keep_finished`: of so many resolved reservations it knows at most that they are."""
        super().__init__(keep_finished)
        self._entries: Recent[bool] = Recent(keep_finished)

    # --- runs ---

    def open_run(self, opening: Opening, now_s: float) -> Run | RunRefused:
        """Open a run, or find the one that has its id; a carve is reserved in full or not at all."""
        self._end_due(now_s)
        refused = self._runs.refusal(opening, now_s)
        if refused is not None:
            return refused
        known = self._runs.nodes.get(opening.id)
        if known is not None:
            return known.run
        if opening.carve:
            carve = self._carve(opening, now_s)
            if isinstance(carve, RunRefused):
                return carve
            self._carves.add(carve)
        return self._runs.begin(opening, now_s)

    def _carve(self, opening: Opening, now_s: float) -> Carve | RunRefused:
        via = None
        if opening.carve_via is not None:
            via = self._carves.get(opening.carve_via)
            if via is None:
                return RunRefused("carve", opening.carve_via)
        standings = [self._standing(claim, now_s) for claim in opening.carve_claims]
        for claim, counter, limit, _ in standings:
            if claim.enforced and opening.carve > limit - counter.posted - counter.reserved:
                return RunRefused("carve", claim.scope, limit)
        carve = Carve(opening.id, opening.carve, now_s, opening.carve_claims, via)
        carve.counters = [self._adopted(claim) for claim in opening.carve_claims]
        return carve

    def run(self, run: str, now_s: float) -> Run | None:
        """A run as it stands."""
        self._end_due(now_s)
        node = self._runs.nodes.get(run)
        return None if node is None else node.run

    def runs(self, now_s: float, state: str | None = None, limit: int = 100) -> list[Run]:
        """The latest runs first."""
        self._end_due(now_s)
        found: list[Run] = []
        for node in reversed(self._runs.nodes.values()):
            if len(found) >= limit:
                break
            if state is None or node.run.state == state:
                found.append(node.run)
        return found

    def close_run(self, run: str, reason: str, now_s: float) -> Run | None:
        """Close a run and its sub-runs; what no attempt under way has reserved of their carves goes back."""
        self._end_due(now_s)
        node = self._runs.nodes.get(run)
        if node is None:
            return None
        for closed in self._runs.close(run, reason):
            self._carves.close(closed.id, now_s)
        return node.run

    def pause_run(self, run: str, reason: str, now_s: float) -> Run | None:
        """Admit none of its next attempts; one that is not open stays as it is."""
        return self._change(run, "open", "paused", reason, now_s)

    def resume_run(self, run: str, now_s: float) -> Run | None:
        """Let a paused run go on; one that is not paused stays as it is."""
        return self._change(run, "paused", "open", "", now_s)

    def _change(self, run: str, before: RunState, after: RunState, reason: str, now_s: float) -> Run | None:
        self._end_due(now_s)
        node = self._runs.nodes.get(run)
        if node is None:
            return None
        if node.run.state == before:
            node.change(after, reason)
        return node.run

    def _end_due(self, now_s: float) -> list[Run]:
        closed = self._runs.close_due(now_s)
        for run in closed:
            self._carves.close(run.id, now_s)
        return closed

    # --- counters ---

    def __contains__(self, key: str) -> bool:
        """Whether a counter is known; one that is not counts as zero."""
        return key in self._counters

    def counters(self, keys: Sequence[str] | None, now_s: float) -> list[CounterState]:
        """The known counters among `keys`, or all."""
        if keys is None:
            found: Iterable[Counter] = self._counters.values()
        else:
            found = [self._counters[key] for key in keys if key in self._counters]
        states = []
        for counter in found:
            if now_s >= counter.stale_s:
                counter.roll(now_s)
            states.append(counter.state())
        return states

    def adjust(self, key: str, amount: int, entry: str, now_s: float) -> CounterState | None:
        """Post `amount` to a counter, once for each `entry`. None: no such counter, and the entry may come again."""
        counter = self._counters.get(key)
        if counter is None:
            return None
        if entry not in self._entries:
            self._entries.add(entry, True)
            counter.post(amount, now_s, now_s)
        return self.counters([key], now_s)[0]

    def set_limit(self, key: str, limit: int, version: int) -> None:
        """Change the limit of a known counter, if no newer configuration has."""
        counter = self._counters.get(key)
        if counter is not None and version > counter.version:
            counter.limit = limit
            counter.version = version

    def seed(self, claim: Claim, posted: int | Mapping[int, int]) -> None:
        """Set what is posted in the counter of a claim, from the journal; by bucket, for a rolling window.

        Raises ValueError when the claim is rolling and `posted` is not by bucket, or the other way round.
        """
        counter = self._adopted(claim)
        if isinstance(posted, int) == bool(counter.bucket_s):
            raise ValueError(f"{claim.key} is {'rolling' if counter.bucket_s else 'not rolling'}")
        if isinstance(posted, int):
            counter.posted = posted
        else:
            counter.buckets = {bucket: amount for bucket, amount in posted.items() if amount}
            counter.posted = sum(posted.values())
            counter.stale_s = 0.0  # the next look drops what has left the window

    def _adopted(self, claim: Claim) -> Counter:
        counter = self._counters.get(claim.key)
        if counter is None:
            counter = self._counters[claim.key] = Counter(claim.key)
        if claim.version > counter.version:
            counter.adopt(claim)
        return counter

    # --- recovery ---

    def pending(self) -> list[Pending]:
        """Every pending reservation of an attempt, oldest first."""
        return [held.pending() for held in self._held.values()]

    def restore(self, pending: Pending) -> None:
        """Reserve again what was pending, whatever the limits say now; its runs and carves have to be restored first.

        Raises LookupError when the carve that it spends is not there.
        """
        ticket, granted = pending
        if ticket.id in self._held:
            return
        if ticket.via is not None and ticket.via not in self._carves:
            raise LookupError(f"{ticket.id} spends {ticket.via}, which is not there")
        claims = ticket.bids[granted.bid].claims
        amounts = [wanted(claim, granted.strict, granted.calibrated) for claim in claims]
        counters = [self._adopted(claim) for claim in claims]
        for counter, amount in zip(counters, amounts, strict=True):
            counter.reserved += amount
        held = Held(ticket, granted, counters, amounts)
        if any(claim.calibrated for claim in claims):
            held.calibrated = granted.calibrated
        held.carve = None if ticket.via is None else self._carves.get(ticket.via)
        self._held[ticket.id] = held

    def restore_run(self, run: Run, carve: Carved | None = None) -> None:
        """Put back a run as it was, parents before their sub-runs, with its carve if it has one.

        Does nothing when it is there. Raises LookupError when its parent, or the carve that it spends, is not there.
        """
        if run.id in self._runs.nodes:
            return
        if len(run.path) > 1 and run.path[1] not in self._runs.nodes:
            raise LookupError(f"{run.id} is a sub-run of {run.path[1]}, which is not there")
        if carve is not None:
            via = None if carve.via is None else self._carves.get(carve.via)
            if carve.via is not None and via is None:
                raise LookupError(f"{run.id} carved from {carve.via}, which is not there")
            restored = Carve(run.id, run.carve, run.opened_at_s, carve.claims, via)
            restored.counters = [self._adopted(claim) for claim in carve.claims]
            restored.spent = carve.spent
            restored.left = max(0, run.carve - carve.spent)
            self._carves.add(restored)
        self._runs.add(run)
        if run.state == "closed":
            self._carves.close(run.id, run.opened_at_s)

    # --- upkeep ---

    def expire(self, now_s: float) -> list[Run]:
        """Close the runs whose time to live is over, and drop what nothing can ask for any more.

        The runs that this closed. Call it every few seconds: it looks at everything.
        """
        closed = self._end_due(now_s)
        busy = {run for held in self._held.values() for run in held.runs}
        gone = self._runs.forget(now_s, busy.__contains__)
        for run in gone:
            self._carves.forget(run.id)
        self._drop_counters({f"run:{run.id}" for run in gone}, now_s)
        self._cells.forget(now_s)
        return closed

    def _drop_counters(self, gone: set[str], now_s: float) -> None:
        """Those of runs that are `gone`, of windows long ended, and rolling ones that have long held nothing.

        Not at once: requests that began under an older configuration must not bring its limits back.
        """
        in_use = {id(counter) for held in self._held.values() for counter in held.counters}
        for counter in list(self._counters.values()):
            if now_s >= counter.stale_s:
                counter.roll(now_s)
            if counter.buckets is not None:
                counter.end_s = FOREVER_S if counter.buckets else min(counter.end_s, now_s)
            over = counter.end_s + GRACE_S <= now_s or counter.scope in gone
            if over and not counter.reserved and id(counter) not in in_use:
                self._drop(counter.key)
