"""Goes on for a while without the store, where budgets say `on_store_failure: open`.

While the store is there, each gateway reserves an `allowance` in every such counter that its requests touch: a pending
reservation like any other, so that nobody else spends it. While the store is away, a request whose enforced budgets are
all open is admitted against those allowances by a book of this process; every other one is refused. What is charged
meanwhile is kept in a file, and posted when the store is back: through the allowance, which shrinks by as much in the
same step. A gateway that does not come back has its allowances charged in full, like everything it had reserved.

The first call that fails marks the store as away; from then on nothing waits for it until a probe is answered.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping
from functools import partial
from itertools import count
from pathlib import Path
from typing import Final, cast

from gateway.journal.rows import to_us
from gateway.ledger.book import Book
from gateway.ledger.budgets import Budget
from gateway.ledger.operations import Amounts, Bid, Claim, Extension, Granted, Origin, Refused, Ticket, Unit
from gateway.store.orphans import orphan_charge
from gateway.store.protocol import StoreUnavailable
from gateway.store.valkey import scripts
from gateway.store.valkey.client import Part
from gateway.store.valkey.codec import Body, body_of, charge_body
from gateway.store.valkey.offline import OfflineLog, Reserved
from gateway.store.valkey.store import ValkeyStore
from gateway.telemetry.events import ChargePosted

_log = logging.getLogger("farebox.store")

PROBE_S: Final = 0.25
"""How often it is looked whether the store is back."""
CHECK_S: Final = 5.0
"""How often it is looked whether allowances are still there."""
_LOCAL: Final = (Unit.SLOTS,)
"""What is counted per gateway while the store is away."""


class Allowances:
    """Stands before a `ValkeyStore` for attempts. Everything else goes to the store itself."""

    def __init__(self, store: ValkeyStore, directory: Path, budgets: Callable[[], Mapping[str, Budget]]) -> None:
        """`budgets` are the configured ones by id; `directory` is `storage.dir`. Raises OSError."""
        self.store = store
        self.away = False
        """Whether the store has failed and not answered since."""
        self.why = ""
        """The latest failure."""
        self._budgets = budgets
        self._log = OfflineLog(directory)
        self._numbers = count(1)
        self._book = Book()
        self._held: dict[str, tuple[str, int, float]] = {}
        """By counter: the allowance's reservation, its amount, and the end of its window."""
        self._asking: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = {asyncio.create_task(self._keep_checking(), name="allowances")}
        self._probe: asyncio.Task[None] | None = None
        self._local: set[str] = set()
        self._previous = bool(self._log.left.allowances or self._log.left.reserved)
        """An earlier process has left something."""

    # --- attempts ---

    async def admit(self, ticket: Ticket) -> Granted | Refused:
        """Reserve the first bid that fits, in the store or, while it is away, in allowances.

        Raises StoreUnavailable.
        """
        if not self.away and self.store.halted is None:
            try:
                answer = await self.store.admit(ticket)
            except StoreUnavailable as error:
                self._lost(error)
                return self._admit_here(ticket, str(error))
            if self._previous:
                self._come_back()
            if isinstance(answer, Granted):
                self._set_aside(ticket.bids[answer.bid].claims)
            return answer
        self._lost(None)
        return self._admit_here(ticket, self.store.halted or self.why or self.store.client.last_error)

    async def extend(self, reservation: str, more: Amounts) -> Extension:
        """Add to a pending reservation, where it was made. Raises StoreUnavailable."""
        if reservation in self._local:
            return self._book.extend(reservation, more, self.store.now_s())
        if self.away:
            raise StoreUnavailable(self.store.halted or self.why or self.store.client.last_error)
        try:
            return await self.store.extend(reservation, more)
        except StoreUnavailable as error:
            self._lost(error)
            raise

    def settle(self, reservation: str, spent: Amounts, charge: ChargePosted) -> None:
        """Post what was spent and give the rest back. Returns at once."""
        if reservation not in self._local:
            self.store.settle(reservation, spent, charge)
            return
        self._local.discard(reservation)
        self._book.settle(reservation, spent, self.store.now_s())
        self._end(reservation, charge)

    def release(self, reservation: str, charge: ChargePosted | None = None) -> None:
        """Give everything back."""
        if reservation not in self._local:
            self.store.release(reservation, charge)
            return
        self._local.discard(reservation)
        self._book.release(reservation, self.store.now_s())
        self._end(reservation, None)

    async def close(self) -> None:
        """Give allowances back as far as nothing is to be posted through them, and stop. The store stays open."""
        for task in (*self._tasks, *([self._probe] if self._probe is not None else [])):
            task.cancel()
            await asyncio.wait([task])
        if not self._log.left.reserved:
            self._give_back()
        self._log.close()

    # --- without the store ---

    def _admit_here(self, ticket: Ticket, why: str) -> Granted | Refused:
        bids = []
        places = []
        for place, bid in enumerate(ticket.bids):
            claims = self._claims_here(bid)
            if claims is not None and not ticket.via:
                bids.append(bid._replace(claims=claims))
                places.append(place)
        if not bids:
            raise StoreUnavailable(why)
        at_s = self.store.now_s()
        answer = self._book.admit(Ticket(ticket.id, tuple(bids)), at_s)
        if isinstance(answer, Refused):
            return Refused(answer.denials + answer.denials[-1:] * (len(ticket.bids) - len(bids)))
        bid, claims = ticket.bids[places[answer.bid]], bids[answer.bid].claims
        held = answer.calibrated if any(claim.calibrated for claim in claims) else answer.strict
        allowances = tuple(self._held[claim.key][0] for claim in claims if claim.key in self._held)
        body = Body(bid.claims, bid.origin, None, ticket.runs)
        try:
            self._log.reserve(Reserved(ticket.id, answer.at_s, held, body, allowances))
        except StoreUnavailable:
            self._book.release(ticket.id, at_s)
            raise
        self._local.add(ticket.id)
        return answer._replace(bid=places[answer.bid])

    def _claims_here(self, bid: Bid) -> tuple[Claim, ...] | None:
        """What counts while the store is away: allowances and slots. None: a claim needs the store."""
        claims = []
        for claim in bid.claims:
            held = self._held.get(claim.key)
            if held is not None and claim.enforced:
                claims.append(claim._replace(limit=held[1], version=0, calibrated=False))
            elif claim.unit in _LOCAL:
                claims.append(claim)
            elif claim.enforced:
                return None
        return tuple(claims) if any(claim.unit == Unit.MONEY for claim in claims) else None

    def _end(self, reservation: str, charge: ChargePosted | None) -> None:
        try:
            self._log.end(reservation, charge)
        except (
            StoreUnavailable
        ) as error:  # it is posted all the same, unless the process is killed before: then in full
            _log.error("a charge is kept in memory only: %s", error)
        if not self.away:
            self._post(reservation)

    def _lost(self, error: StoreUnavailable | None) -> None:
        if error is not None:
            self.why = str(error)
        if not self.away:
            self.away = True
            why = error or self.store.halted
            _log.warning("the store is away: budgets go on with allowances where they are open (%s)", why)
        if self._probe is None or self._probe.done():
            self._probe = asyncio.create_task(self._look(), name="store probe")

    async def _look(self) -> None:
        """Wait until the store answers and its counters are complete."""
        while True:
            await asyncio.sleep(PROBE_S)
            try:
                await self.store.client.command("PING")
            except Exception as error:  # noqa: BLE001 -- whatever the server or the connection says: it is not back
                _log.debug("the store is away: %s", error)
            else:
                if self.store.halted is None:
                    break
        self.away, self.why = False, ""
        _log.warning("the store is back")
        self._come_back()

    # --- with the store ---

    def _come_back(self) -> None:
        """Post what happened without the store; what an earlier process had under way is charged in full."""
        self._previous = False
        for name in list(self._log.left.reserved):
            if name in self._local:
                continue
            if name not in self._log.left.ended:
                self._log.left.ended[name] = self._lost_charge(self._log.left.reserved[name])
            self._post(name)
        if not self._log.left.reserved:
            self._give_back()

    def _lost_charge(self, lost: Reserved) -> ChargePosted | None:
        origin = lost.body.origin
        return None if origin is None else orphan_charge(lost.id, origin, self.store.now_s(), lost.at_s, lost.held)

    def _post(self, name: str) -> None:
        """Have the store post an attempt's charge through its allowances: in the end, whatever happens meanwhile."""
        reserved, charge = self._log.left.reserved[name], self._log.left.ended[name]
        if charge is None:
            self._posted(name)
            return
        tokens = charge.usage.input_tokens + charge.usage.output_tokens
        body, window_us = body_of(reserved.body), to_us(reserved.at_s)
        args: tuple[Part, ...] = (
            name,
            int(charge.cost_nano_usd),
            tokens,
            charge_body(charge),
            body,
            window_us,
            *reserved.allowances,
        )
        self.store.keep(scripts.DRAW, args, partial(self._posted, name))

    def _posted(self, name: str) -> None:
        self._log.posted(name)
        if not self._log.left.reserved:
            self._give_back()

    def _give_back(self) -> None:
        """Allowances that were drawn from, or that an earlier process had: the next admission makes new ones."""
        for allowance in list(self._log.left.allowances):
            self._release(allowance)
        self._held.clear()
        self._book = Book()

    def _release(self, allowance: str) -> None:
        self.store.pending.pop(allowance, None)
        self.store.keep(scripts.SETTLE, (allowance, 0, 0, 0, b""), partial(self._log.drop, allowance))

    async def check(self) -> None:
        """Give back allowances of windows that are over, and those that were charged while this process stood still."""
        for key, (name, _, end_s) in list(self._held.items()):
            if not self.away and not self._log.left.reserved:
                gone = self.store.now_s() >= end_s or await self.store.extend(name, Amounts(0, 0)) == "gone"
                if gone and self._held.pop(key, None) is not None:
                    self._release(name)

    async def _keep_checking(self) -> None:
        while True:
            await asyncio.sleep(CHECK_S)
            try:
                await self.check()
            except StoreUnavailable as error:
                self._lost(error)

    def _set_aside(self, claims: Collection[Claim]) -> None:
        """Reserve the allowances of open budgets, in the background, at the first request that needs them."""
        for claim in claims:
            if claim.key in self._held or claim.key in self._asking or not claim.key.startswith("b|"):
                continue
            budget = self._budgets().get(claim.key.split("|", 2)[1])
            if budget is not None and budget.on_store_failure == "open" and budget.allowance > 0 and budget.enforce:
                self._asking.add(claim.key)
                task = asyncio.create_task(self._reserve(claim, budget.allowance), name="allowance")
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _reserve(self, claim: Claim, amount: int) -> None:
        name = f"allow:{self.store.owner}:{next(self._numbers)}"
        amounts = Amounts(amount, 0)
        nobody = cast(Origin, None)  # it is no attempt: were it orphaned, it would be an entry of its budget alone
        bid = Bid((claim._replace(calibrated=False),), (), amounts, amounts, Amounts(1, 0), 0, nobody)
        try:
            self._log.hold(name)
            answer = await self.store.admit(Ticket(name, (bid,)))
            if isinstance(answer, Granted):
                self._held[claim.key] = (name, answer.strict.money, claim.end_s)
            else:
                self._log.drop(name)
        except StoreUnavailable as error:
            _log.warning("no allowance for %s: %s", claim.key, error)
        finally:
            self._asking.discard(claim.key)
