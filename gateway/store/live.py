"""The book of a store that runs: what configuration, and writes that fail, change while attempts are pending. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeVar

from gateway.ledger.admission import wanted
from gateway.ledger.book import Book
from gateway.ledger.claiming import carve_id
from gateway.ledger.held import NOTHING, Carve, Held
from gateway.ledger.operations import Amounts, Claim, Run, Unit


class LiveBook(Book):
    """A book whose last step can be taken back, and whose budgets come and go."""

    def __init__(self) -> None:
        super().__init__()
        self.ended: list[Run] = []
        """Runs whose time to live was found to be over; whoever reads them takes them out."""

    def _end_due(self, now_s: float) -> list[Run]:
        closed = super()._end_due(now_s)
        self.ended += closed
        return closed

    # --- what could not be written is taken back ---

    def held(self, reservation: str) -> Held:
        """A pending reservation. Raises KeyError."""
        return self._held[reservation]

    def undo(self, reservation: str, now_s: float) -> None:
        """Take back an admission as if it had never been asked for; its id may come again."""
        held = self._held.pop(reservation, None)
        if held is None:
            return
        self._resolve(held, NOTHING, 0, now_s)
        self._cells.undo(held.bid, now_s)

    def undo_extension(self, reservation: str, more: Amounts) -> None:
        """Take back an extension that was just made."""
        held = self._held.get(reservation)
        if held is None or held.calibrated is None:
            return
        for index, claim in enumerate(held.bid.claims):
            if claim.calibrated and claim.unit in (Unit.MONEY, Unit.TOKENS):
                held.amounts[index] -= more[claim.unit]
                held.counters[index].reserved -= more[claim.unit]
        held.calibrated = Amounts(held.calibrated.money - more.money, held.calibrated.tokens - more.tokens)

    def undo_run(self, run: Run) -> None:
        """Take back the opening of a run that nothing has used yet."""
        self._runs.undo(run.id)
        carve = self._carves.get(carve_id(run.id))
        if carve is not None:
            for counter in carve.counters:
                counter.reserved -= carve.left
            self._carves.forget(run.id)

    def known_run(self, run: str) -> Run | None:
        """A run, as it was when it was last looked at."""
        node = self._runs.nodes.get(run)
        return None if node is None else node.run

    def tree(self, run: str) -> Iterator[Run]:
        """A run and the runs below it, parents first; nothing for an unknown one."""
        node = self._runs.nodes.get(run)
        waiting = [] if node is None else [node]
        while waiting:
            node = waiting.pop()
            yield node.run
            waiting += node.sub_runs

    # --- budgets that come and go ---

    def claims_on(self, budget: str) -> list[Claim]:
        """What is pending on a budget's counters."""
        prefix = f"b|{budget}|"
        claims = [claim for held in self._held.values() for claim in held.bid.claims]
        claims += [claim for carve in self._carves.all() for claim in carve.claims]
        return [claim for claim in claims if claim.key.startswith(prefix)]

    def carved(self) -> list[tuple[Run, tuple[Claim, ...], str | None]]:
        """The runs whose carves are open, where these are reserved, and through whose carve."""
        return [
            (self._runs.nodes[carve.run].run, carve.claims, None if carve.via is None else carve.via.id)
            for carve in self._carves.all()
            if not carve.closed
        ]

    def claims_of(self, held: Held) -> Iterator[tuple[Claim, float]]:
        """All that an attempt's charge is posted to, through the carves that it spends too, and when each was made."""
        for claim in held.bid.claims:
            yield claim, held.granted.at_s
        carve = held.carve
        while carve is not None:
            for claim in carve.claims:
                yield claim, carve.at_s
            carve = carve.via

    def set_limits(self, budget: str, limit: int, version: int) -> None:
        """Change the limit of all of a budget's counters."""
        for key in self._keys(budget):
            self.set_limit(key, limit, version)

    def drop_budget(self, budget: str) -> None:
        """Forget a budget's counters; attempts under way no longer count in them."""
        prefix = f"b|{budget}|"
        for held in self._held.values():
            kept = [not claim.key.startswith(prefix) for claim in held.bid.claims]
            if not all(kept):
                held.bid = held.bid._replace(claims=_only(held.bid.claims, kept))
                held.counters, held.amounts = list(_only(held.counters, kept)), list(_only(held.amounts, kept))
        for carve in self._carves.all():
            kept = [not claim.key.startswith(prefix) for claim in carve.claims]
            carve.claims, carve.counters = _only(carve.claims, kept), list(_only(carve.counters, kept))
        for key in self._keys(budget):
            self._drop(key)

    def cover(
        self, attempts: Callable[[Held], Iterable[Claim]], carves: Callable[[Run, str | None], Iterable[Claim]]
    ) -> None:
        """Let all that is pending count in these claims too, whatever room there is."""
        for held in self._held.values():
            self.cover_attempt(held, attempts(held))
        for carve in self._carves.all():
            if not carve.closed:
                via = None if carve.via is None else carve.via.id
                self._cover_carve(carve, carves(self._runs.nodes[carve.run].run, via))

    def cover_attempt(self, held: Held, claims: Iterable[Claim]) -> None:
        """Let a pending attempt count in these claims too."""
        known = {claim.key for claim in held.bid.claims}
        metered = held.calibrated is not None
        for plain in claims:
            if plain.key in known:
                continue
            claim = plain._replace(calibrated=metered)
            counter = self._adopted(claim)
            amount = wanted(claim, held.granted.strict, held.calibrated or held.granted.calibrated)
            counter.reserved += amount
            held.bid = held.bid._replace(claims=(*held.bid.claims, claim))
            held.counters = [*held.counters, counter]
            held.amounts.append(amount)
            held.is_plain = False

    def _cover_carve(self, carve: Carve, claims: Iterable[Claim]) -> None:
        known = {claim.key for claim in carve.claims}
        for claim in claims:
            if claim.key not in known:
                counter = self._adopted(claim)
                counter.reserved += carve.left
                carve.claims += (claim,)
                carve.counters.append(counter)

    def add_history(self, claim: Claim, posted: int | Mapping[int, int]) -> None:
        """Add what was posted before the counter of a claim was there; by bucket, for a rolling window."""
        counter = self._adopted(claim)
        if isinstance(posted, int):
            counter.posted += posted
            return
        buckets = {} if counter.buckets is None else counter.buckets
        for bucket, amount in posted.items():
            buckets[bucket] = buckets.get(bucket, 0) + amount
        counter.buckets = buckets
        counter.posted = sum(buckets.values())
        counter.stale_s = 0.0  # the next look drops what has left the window

    def know_entries(self, entries: Iterable[str]) -> None:
        """Entries by hand that are in what was posted before: when one is sent again it changes nothing."""
        for entry in entries:
            if entry not in self._entries:
                self._entries.add(entry, True)

    def _keys(self, budget: str) -> list[str]:
        prefix = f"b|{budget}|"
        return [key for key in self._counters if key.startswith(prefix)]


Item = TypeVar("Item")


def _only(items: Iterable[Item], kept: Iterable[bool]) -> tuple[Item, ...]:
    return tuple(item for item, keep in zip(items, kept, strict=True) if keep)
