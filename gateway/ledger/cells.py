"""The cells of all rates: what bids ask of them, and what is corrected when an attempt is over. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.ledger.operations import Bid, Rate, RateState, Unit
from gateway.limits import gcra

Asked = tuple[tuple[RateState, ...], list[float]]
"""How the rates stand after a bid, and the `tat` of their cells."""
NO_RATES: Asked = ((), [])


class Cells:
    """A book's cells. One that was never used has the `tat` 0."""

    __slots__ = ("_tats_s",)

    def __init__(self) -> None:
        self._tats_s: dict[str, float] = {}

    def ask(self, bid: Bid, now_s: float) -> Asked | None:
        """How all rates would stand after a bid; None when one refuses it. Changes nothing."""
        get = self._tats_s.get
        states: list[RateState] = []
        tats_s: list[float] = []
        for rate in bid.rates:
            key, unit, limit, period_s, burst, _, enforced = rate
            units = bid.rate_tokens if unit == 1 else 1
            tat_s, wait_s, left = gcra.take(get(key, 0.0), now_s, units, limit, period_s, burst)
            if wait_s and enforced:
                return None
            tats_s.append(tat_s)
            states.append(RateState(rate, left, tat_s - now_s))
        return tuple(states), tats_s

    def keep(self, rates: Sequence[Rate], tats_s: Sequence[float]) -> None:
        """What was asked becomes so."""
        for rate, tat_s in zip(rates, tats_s, strict=True):
            self._tats_s[rate[0]] = tat_s

    def waits(self, bid: Bid, now_s: float) -> list[tuple[Rate, float]]:
        """The rates and how many seconds a bid would have to wait for each."""
        found = []
        for rate in bid.rates:
            tat_s = self._tats_s.get(rate.key, 0.0)
            _, wait_s = gcra.ask(tat_s, now_s, _counted(bid, rate), rate.limit, rate.period_s, rate.burst)
            found.append((rate, wait_s))
        return found

    def correct(self, bid: Bid, tokens: int, now_s: float) -> None:
        """The attempt took so many tokens in the end."""
        tats_s = self._tats_s
        for key, unit, limit, period_s, _, _, _ in bid.rates:
            if unit == 1 and key in tats_s:
                tats_s[key] = gcra.correct(tats_s[key], now_s, bid.rate_tokens, tokens, limit, period_s)

    def undo(self, bid: Bid, now_s: float) -> None:
        """Give back all that a bid counted, requests too."""
        for rate in bid.rates:
            tat_s = self._tats_s.get(rate.key)
            if tat_s is not None:
                counted = _counted(bid, rate)
                self._tats_s[rate.key] = gcra.correct(tat_s, now_s, counted, 0, rate.limit, rate.period_s)

    def forget(self, now_s: float) -> None:
        """Drop the cells in which corrections change nothing any more."""
        for key in [key for key, tat_s in self._tats_s.items() if tat_s + gcra.IDLE_S <= now_s]:
            del self._tats_s[key]


def _counted(bid: Bid, rate: Rate) -> int:
    return bid.rate_tokens if rate.unit == Unit.TOKENS else 1
