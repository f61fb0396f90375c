"""A budget as people look at it: what is spent, what is left, and how fast it goes. Pure."""

from __future__ import annotations

from typing import Final, NamedTuple

from gateway.ledger.budgets import Budget
from gateway.ledger.windows import FOREVER_S, Span
from routing.money import NanoUsd

TOO_EARLY: Final = 0.01
"""In the first hundredth of a window nobody can tell how it will end."""


class BudgetLine(NamedTuple):
    """One counter of a budget in its present window."""

    budget: Budget
    value: str
    span: Span
    limit: int
    """Nano-USD, as are all amounts here."""
    posted: int
    reserved: int
    now_s: float
    """The store's time."""

    @property
    def scope(self) -> str:
        """As errors name it: `agent:researcher`."""
        return self.budget.scope.describe(self.value)

    @property
    def remaining(self) -> NanoUsd:
        """What may still be spent; negative when overdrawn."""
        return NanoUsd(self.limit - self.posted - self.reserved)

    @property
    def used_ratio(self) -> float:
        """What is spent or set aside, of the limit."""
        return (self.posted + self.reserved) / self.limit if self.limit else float(self.posted + self.reserved > 0)

    @property
    def resets_at_s(self) -> float | None:
        """When it begins anew; None for rolling and total budgets, which never do."""
        return None if self.span.end_s >= FOREVER_S else self.span.end_s

    @property
    def elapsed(self) -> float | None:
        """The share of the window that is over; None for windows without an end."""
        if self.resets_at_s is None:
            return None
        return min(1.0, max(0.0, (self.now_s - self.span.start_s) / (self.span.end_s - self.span.start_s)))

    @property
    def burn_rate(self) -> float | None:
        """How fast it goes: 1 spends exactly the limit by the window's end, 2 twice as much.

        Of a rolling budget: what its window holds, of the limit. None for a total one, and too early in a window.
        """
        if not self.limit:
            return None
        if self.budget.window.period == "rolling":
            return self.posted / self.limit
        elapsed = self.elapsed
        return None if elapsed is None or elapsed < TOO_EARLY else self.posted / self.limit / elapsed

    @property
    def projected(self) -> NanoUsd | None:
        """What will be spent by the window's end if it goes on like this; None where there is no telling."""
        elapsed = self.elapsed
        if elapsed is None or elapsed < TOO_EARLY:
            return None
        passed_s, length_s = self.now_s - self.span.start_s, self.span.end_s - self.span.start_s
        return NanoUsd(max(self.posted, self.posted * int(length_s * 1_000) // max(1, int(passed_s * 1_000))))


def counter_key(budget: Budget, value: str, span: Span) -> str:
    """The key of a budget's counter (`gateway.ledger.operations` lists the forms)."""
    return f"b|{budget.id}|{value}|{span.id}"


def value_of(key: str, budget: Budget, window: str) -> str | None:
    """Which of a budget's counters a key is; None when it is another budget's or window's.

    A value may hold anything, `|` too: what is around it tells.
    """
    head, tail = f"b|{budget.id}|", f"|{window}"
    if not (key.startswith(head) and key.endswith(tail)) or len(key) < len(head) + len(tail):
        return None
    return key[len(head) : len(key) - len(tail)]
