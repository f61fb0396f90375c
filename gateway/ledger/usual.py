"""Claims that come again and again, worked out once: which counters they are on, and what they take. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Final

from gateway.ledger.counters import Counter
from gateway.ledger.operations import Amounts, Bid, Claim, Unit

KEPT: Final = 1_024
"""So many combinations of claims are kept worked out."""


class Usual:
    """The claims of one agent's requests to one deployment, say, all of them enforced.

    It holds as long as its counters are the book's: limits, and what is posted and reserved, are read from them.
    """

    __slots__ = ("_places", "_single", "claims", "counters", "from_s", "is_metered", "is_plain", "rolling", "until_s")

    def __init__(self, claims: tuple[Claim, ...], counters: Sequence[Counter]) -> None:
        """`counters` have the limits of these claims, or newer ones."""
        self.claims = claims
        """Kept, so that no other claims can have their identity."""
        self.counters = list(counters)
        self.from_s = max([claim.start_s for claim in claims], default=0.0)
        self.until_s = min([claim.end_s for claim in claims], default=0.0)
        self.is_metered = any(claim.calibrated for claim in claims)
        self.rolling = [counter for counter in counters if counter.bucket_s]
        self._places = [int(claim.unit) + 4 * claim.calibrated for claim in claims]
        """What each takes, of strict money, tokens, 1 and 1, then the same of calibrated amounts."""
        self._single = self._places[0] if len(set(self._places)) == 1 else -1
        self.is_plain = self._single in (Unit.MONEY, 4 + Unit.MONEY) and not self.rolling
        """Whether all of them take the same money, and what is spent is simply added."""

    def wanted(self, strict: Amounts, calibrated: Amounts) -> list[int]:
        """What each claim takes of these amounts."""
        if self.is_plain:
            return [calibrated[0] if self._single else strict[0]] * len(self.counters)
        amounts = (*strict, 1, 1, *calibrated, 1, 1)
        return [amounts[place] for place in self._places]

    def take(self, amounts: list[int]) -> tuple[tuple[str, int] | None] | None:
        """Reserve these amounts, if all counters have room; the scope with the least money left, and that. Else None.

        Nobody may come first in any of the counters, and what rolls has to be rolled.
        """
        least, tightest = inf, None
        if self.is_plain:
            amount = amounts[0]
            for counter in self.counters:
                left = counter.limit - counter.posted - counter.reserved
                if left < least:
                    least, tightest = left, counter
            least -= amount
            if least < 0:
                return None
            for counter in self.counters:
                counter.reserved += amount
        else:
            for counter, amount in zip(self.counters, amounts, strict=True):
                left = counter.limit - counter.posted - counter.reserved - amount
                if left < least:
                    if left < 0:
                        return None
                    if not counter.unit:
                        least, tightest = left, counter
            for counter, amount in zip(self.counters, amounts, strict=True):
                counter.reserved += amount
        return (None if tightest is None else (tightest.scope, int(least)),)


class Usuals:
    """Those of one book. Whoever takes a counter out of the book has to `clear` them."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[int, Usual] = {}

    def get(self, bid: Bid, now_s: float) -> Usual | None:
        """What is known of a bid's claims, if they are in their windows."""
        usual = self._known.get(id(bid.claims))
        return usual if usual is not None and usual.from_s <= now_s < usual.until_s else None

    def learn(self, bid: Bid, counters: Sequence[Counter]) -> None:
        """Work out a bid that was granted, if its claims are enforced and come again. They count in `counters`."""
        claims = bid.claims
        if bid.recurs and claims and all(claim.enforced for claim in claims):
            if len(self._known) >= KEPT:
                self._known.clear()
            self._known[id(claims)] = Usual(claims, counters)

    def clear(self) -> None:
        """Counters are gone: others may come in their place."""
        self._known.clear()
