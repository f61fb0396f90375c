"""One attempt's wish, as it is put to the store. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from gateway.admission.bids import Offer
from gateway.ledger.operations import Amounts, Denial, Ticket, Unit

Takes = Literal["whole", "opening", "least"]
"""What a metered bid is content with: all that it expects, enough to begin with, or what is useful if it is bounded."""


class Demand:
    """One request's wish: its offers, made anew when a window ends while it waits."""

    __slots__ = ("_make", "bounded", "metered", "offers", "ticket", "wait_s")

    def __init__(self, make: Callable[[], tuple[list[Offer], Ticket]], wait_s: float) -> None:
        self._make = make
        self.wait_s = wait_s
        """How long it may wait for money that others have reserved."""
        self.offers, self.ticket = make()
        self.metered = any(found.metered for found in self.offers)
        """Whether a stream of any candidate is counted while it runs: by the deployments, so it stays so."""
        self.bounded = False
        """Whether a metered stream that was granted less than it expects is to be bounded by the provider."""

    def again(self, takes: Takes = "least") -> Ticket:
        """The ticket, made anew for the windows of this moment."""
        self.offers, self.ticket = self._make()
        return self.taking(takes)

    def taking(self, takes: Takes = "least") -> Ticket:
        """The ticket as it was made. `takes`: what a metered bid is content with."""
        if takes == "least":
            return self.ticket
        bids = []
        for found in self.offers:
            content = found.bid.calibrated if takes == "whole" else found.opening
            if found.is_mixed:  # strict claims hold the whole bound on the input, and part of an answer too
                content = Amounts(*map(max, content, found.bid.least))
            bids.append(found.bid._replace(least=content) if found.metered else found.bid)
        return self.ticket._replace(bids=tuple(bids))

    def others_hold(self, denials: Sequence[Denial], only: Sequence[int] | None) -> bool:
        """Whether requests under way hold so much where this one was denied that some of it may come back in time."""
        offers = self.offers if only is None else [self.offers[at] for at in only]
        for found, denial in zip(offers, denials, strict=True):
            unit = next((claim.unit for claim in found.bid.claims if claim.key == denial.key), Unit.SLOTS)
            if unit in (Unit.MONEY, Unit.TOKENS) and denial.reserved > found.opening[unit]:
                return True
        return False
