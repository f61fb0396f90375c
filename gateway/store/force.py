"""The budgets in force in the memory store: what each new configuration adds, changes and takes away.

A new limit holds at once. A new budget (or one with another scope or window) first has to know what was spent before it
was there, to the last charge, while attempts go on:

1. Everything pending in its scope counts in it from this moment on, and so does, for a while, what is admitted by
   requests that still have the configuration before.
2. What was settled before this moment is read from the journal, once all of it is written, and added. What is settled
   meanwhile is counted already; the part of it that the journal has by then is taken off again.
3. Until then attempts that count in it wait.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from gateway.config.snapshot import Snapshot
from gateway.journal.aliases import drop_all
from gateway.journal.database import Database, JournalError
from gateway.journal.sessions import writing
from gateway.journal.spend import spent
from gateway.ledger.budgets import Budget
from gateway.ledger.claiming import claim_of
from gateway.ledger.held import Held
from gateway.ledger.operations import Claim, Run
from gateway.ledger.scopes import EACH, Labels
from gateway.ledger.windows import Span
from gateway.store.live import LiveBook
from gateway.store.seeding import entries_of, labels_of, values_of, values_of_carve, written
from gateway.telemetry.events import ChargePosted

_log = logging.getLogger("farebox.store")

LATE_S = 7_200.0
"""So long after a change, requests are looked at that may still have the configuration before."""
_RETRY_S = 0.2


class _Posting(NamedTuple):
    """What a charge posted to one counter."""

    key: str
    at_s: float
    """When the money was reserved there: by the attempt, or by the carve that it spends."""
    cost: int


@dataclass(slots=True)
class _New:
    """A budget whose past is not known yet."""

    budget: Budget
    settled: dict[str, list[_Posting]] = field(default_factory=dict)
    """By charge: what was posted since the budget is in force."""


_Past = dict[str, tuple[Claim, int | dict[int, int]]]
"""By key: a counter, and what was posted to it; by bucket, for a rolling window."""


class Force:
    """Which budgets hold, and which of them have to be seeded first."""

    def __init__(
        self, book: LiveBook, database: Database, flush: Callable[[], Awaitable[None]], now_s: Callable[[], float]
    ) -> None:
        self._book = book
        self._database = database
        self._flush = flush
        self._now_s = now_s
        self._loop = asyncio.get_running_loop()
        self._budgets: dict[str, Budget] = {}
        self._teams: dict[str, str] = {}
        self.version = 0
        self.new: dict[str, _New] = {}
        """By budget; empty nearly always."""
        self.late_until_s = 0.0
        """Until this time of the store, admissions are to be given to `cover_late`."""
        self._seeded = asyncio.Event()
        self._seeded.set()
        self._task: asyncio.Task[None] | None = None

    # --- configurations ---

    async def begin(self) -> None:
        """Seed an empty book whose runs are restored. Raises JournalError."""
        async with writing(self._database.engine) as connection:
            await drop_all(connection)  # no counter has a name that the journal has forgotten
        for budget in self._budgets.values():
            self._add(await self._past(budget))

    def use(self, snapshot: Snapshot) -> bool:
        """Put a new configuration in force. Whether room may have come of it."""
        before, book = dict(self._budgets), self._book
        self.take(snapshot)
        for name, budget in before.items():
            if name not in self._budgets or not _same(budget, self._budgets[name]):
                book.drop_budget(name)
                self.new.pop(name, None)
        added = [budget for name, budget in self._budgets.items() if not _same(before.get(name), budget)]
        for budget in self._budgets.values():
            book.set_limits(budget.id, budget.limit, self.version)
        if added:
            for budget in added:
                self.new[budget.id] = _New(budget)
            self.late_until_s = self._now_s() + LATE_S
            book.cover(lambda held: self._claims(held, added), lambda run, via: self._carve_claims(run, via, added))
            self._seeded.clear()
            if self._task is None or self._task.done():
                self._task = self._loop.create_task(self._seed(), name="new budgets")
        return before != self._budgets

    def take(self, snapshot: Snapshot) -> None:
        """Know a configuration's budgets."""
        self._budgets = {budget.id: budget for budget in snapshot.budgets}
        self._teams = {agent.id: agent.team for agent in snapshot.agents.values()}
        self.version = snapshot.limits_version

    async def close(self) -> None:
        """Seed no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))

    # --- while a budget is new ---

    def waits_for(self, claims: Iterable[Claim]) -> bool:
        """Whether any of these claims is on a budget whose past is not known yet."""
        return any(claim.key.startswith("b|") and claim.key.split("|")[1] in self.new for claim in claims)

    async def seeded(self) -> None:
        """Return when the past of every budget is known."""
        await self._seeded.wait()

    def settled(self, charge: ChargePosted, claims: Iterable[tuple[Claim, float]]) -> None:
        """Note a charge that was just posted to the counters of these claims, each with when it was made."""
        for claim, at_s in claims:
            kind, _, rest = claim.key.partition("|")
            if kind == "b" and (new := self.new.get(rest.partition("|")[0])) is not None:
                posting = _Posting(claim.key, at_s, charge.cost_nano_usd)
                new.settled.setdefault(charge.charge_id, []).append(posting)

    def cover_late(self, held: Held) -> None:
        """Let an attempt that was just admitted count in the newest budgets too."""
        if not any(claim.version == self.version for claim in held.bid.claims):
            self._book.cover_attempt(held, self._claims(held, self._budgets.values()))

    # --- claims ---

    def claim(self, key: str) -> Claim | None:
        """The claim on a budget's counter in a window that is not over; None for any other key."""
        kind, _, rest = key.partition("|")
        budget = self._budgets.get(rest.partition("|")[0]) if kind == "b" else None
        if budget is None:
            return None
        value = rest.partition("|")[2].rpartition("|")[0]
        claim = claim_of(budget, value, self._now_s(), self.version)
        scope = budget.scope
        return claim if claim.key == key and (scope.value in (EACH, value) or scope.kind == "global") else None

    def carve_claims(self, run: Run, via: str | None) -> tuple[Claim, ...]:
        """The claims of a run's carve on the budgets in force, in the windows in which it was carved."""
        return tuple(self._carve_claims(run, via, self._budgets.values()))

    def _claims(self, held: Held, budgets: Iterable[Budget]) -> list[Claim]:
        labels = labels_of(held.bid.origin)
        carved = None if held.carve is None else held.carve.run
        if held.runs:
            labels = labels._replace(runs=held.runs)
        return [
            claim_of(budget, value, held.granted.at_s, self.version)
            for budget in budgets
            for value in values_of(budget, labels, carved)
        ]

    def _carve_claims(self, run: Run, via: str | None, budgets: Iterable[Budget]) -> list[Claim]:
        labels = Labels(run.org, self._teams.get(run.agent, ""), run.agent, "", "", run.path[1:])
        within = None if via is None else via.removeprefix("carve:")
        return [
            claim_of(budget, value, run.opened_at_s, self.version)
            for budget in budgets
            for value in values_of_carve(budget, labels, within)
        ]

    # --- the past ---

    async def _seed(self) -> None:
        said: dict[str, str] = {}
        while self.new:
            for new in list(self.new.values()):
                try:
                    await self._seed_one(new)
                except JournalError as error:
                    if said.get(new.budget.id) != str(error):  # it is tried again and again
                        said[new.budget.id] = str(error)
                        _log.error("the budget %s cannot be put in force yet: %s", new.budget.id, error)
                    await asyncio.sleep(_RETRY_S)
        self._seeded.set()

    async def _seed_one(self, new: _New) -> None:
        await self._flush()
        before = await written(self._database, new.settled)
        past = await self._past(new.budget)
        after = await written(self._database, new.settled)
        if self.new.get(new.budget.id) is not new or before != after:
            return  # the journal went on meanwhile, or another configuration came: once more
        for name in after:
            _take_off(past, new.settled[name])
        self._add(past)
        del self.new[new.budget.id]

    async def _past(self, budget: Budget) -> _Past:
        """What the journal has of each counter, entries by hand included; the book is told which these are."""
        entries = await entries_of(self._database, budget.id)
        while True:
            past = await self._spent(budget)
            before, entries = entries, await entries_of(self._database, budget.id)
            if before == entries:  # else one came meanwhile: nobody knows whether it is in there
                self._book.know_entries(entries)
                return past

    async def _spent(self, budget: Budget) -> _Past:
        """Of all counters in the window of now, and of older ones that are still held."""
        now_s = self._now_s()
        past: _Past = {}
        for value, posted in (await spent(self._database, budget, budget.window.at(now_s), now_s)).items():
            claim = claim_of(budget, value, now_s, self.version)
            if self.claim(claim.key) is not None:
                past[claim.key] = claim, posted
        for claim in self._book.claims_on(budget.id):
            if claim.key not in past and claim.end_s <= now_s:
                value, window = claim.key.split("|")[2:]
                span = Span(window, claim.start_s, claim.end_s)
                for posted in (await spent(self._database, budget, span, now_s, value)).values():
                    past[claim.key] = claim, posted
        return past

    def _add(self, past: _Past) -> None:
        for claim, posted in past.values():
            self._book.add_history(claim, posted)


def _same(one: Budget | None, other: Budget) -> bool:
    """Whether two budgets count the same charges in the same windows."""
    return one is not None and (one.scope, one.window, one.when_missing) == (
        other.scope,
        other.window,
        other.when_missing,
    )


def _take_off(past: _Past, postings: Iterable[_Posting]) -> None:
    """Leave out of the past what was counted since."""
    for key, at_s, cost in postings:
        if key not in past:
            continue
        claim, posted = past[key]
        if isinstance(posted, int):
            past[key] = claim, posted - cost
        else:
            bucket = int(at_s // claim.bucket_s)
            if bucket in posted:
                posted[bucket] -= cost
