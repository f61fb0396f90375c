"""Puts a demand to the store: for how much, how often, and anew when a window has ended meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final, TypeGuard

from gateway.admission.demand import Demand, Takes
from gateway.admission.refusals import waits
from gateway.ledger.operations import Granted, OutsideWindow, Refused, Ticket, Unit
from gateway.store.protocol import Store, StoreUnavailable

WINDOWS: Final = 3
"""So many windows may end, one after the other, while one admission is asked for."""


class Asking:
    """Asks one store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def ask(self, demand: Demand, only: Sequence[int] | None = None, *, last: bool = False) -> Granted | Refused:
        """Ask for all bids, or for some `only`. Raises StoreUnavailable.

        Before its `last` time a metered request waits for all that answers like its own take rather than begin with a
        part: it would only be cut short. Where posted money has left less than that for good, a part will do; and where
        hardly anything is still to come back, or no time is left, one that the provider bounds, which needs no margin.
        """
        if not demand.metered:
            return await self._once(demand, only)
        demand.bounded = False
        answer = await self._once(demand, only, "opening" if last else "whole")
        if not last and _is_in_vain(answer) and demand.others_hold(answer.denials, only):
            answer = await self._once(demand, only, "opening")
        if isinstance(answer, Granted) or not (last or _is_in_vain(answer)):
            return answer
        demand.bounded = True
        return await self._once(demand, only)

    async def _once(self, demand: Demand, only: Sequence[int] | None, takes: Takes = "least") -> Granted | Refused:
        """Ask the store once. `takes`: what a metered bid is content with."""
        ticket = demand.taking(takes)
        try:
            for _ in range(WINDOWS):
                try:
                    if only is None or len(only) == len(ticket.bids):
                        return await self._store.admit(ticket)
                    answer = await self._store.admit(ticket._replace(bids=tuple(ticket.bids[at] for at in only)))
                    return answer._replace(bid=only[answer.bid]) if isinstance(answer, Granted) else answer
                except OutsideWindow:  # one has ended since the ticket was made
                    ticket = demand.again(takes)
        except asyncio.CancelledError:
            self._store.release(ticket.id)  # it may have been applied all the same
            raise
        raise StoreUnavailable("its clock does not stand still")

    async def is_spent(self, ticket: Ticket) -> bool:
        """Whether posted money alone refuses all of a ticket's bids, so that waiting is in vain."""
        claims = [claim for bid in ticket.bids for claim in bid.claims if claim.unit is Unit.MONEY and claim.enforced]
        room = {state.key: state.limit - state.posted for state in await self._store.counters([c.key for c in claims])}
        return all(
            any(
                min(bid.least.money, bid.calibrated.money if claim.calibrated else bid.strict.money)
                > room.get(claim.key, claim.limit)
                for claim in bid.claims
                if claim.unit is Unit.MONEY and claim.enforced
            )
            for bid in ticket.bids
        )


def _is_in_vain(answer: Granted | Refused) -> TypeGuard[Refused]:
    """Whether an answer is a refusal that waiting does not mend."""
    return isinstance(answer, Refused) and waits(answer.denials) is None
