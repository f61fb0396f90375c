"""Claims on budgets and the names of carves, as admission and the stores make them alike. Pure."""

from __future__ import annotations

from gateway.ledger.budgets import Budget
from gateway.ledger.operations import Claim, Unit


def claim_of(budget: Budget, value: str, now_s: float, version: int, *, calibrated: bool = False) -> Claim:
    """The claim on one of a budget's counters, in the window of the store's time `now_s`."""
    span = budget.window.at(now_s)
    return Claim(
        f"b|{budget.id}|{value}|{span.id}",
        Unit.MONEY,
        budget.limit,
        version,
        budget.scope.describe(value),
        budget.enforce,
        calibrated,
        budget.window.bucket_s,
        span.start_s,
        span.end_s,
    )


def carve_id(run: str) -> str:
    """The reservation that holds what a run (`agent/run`) carved from its parents."""
    return f"carve:{run}"
