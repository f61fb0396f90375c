"""Budgets as the APIs show them."""

from __future__ import annotations

from typing import Any

from gateway.api.runs import moment
from gateway.ledger.report import BudgetLine
from routing.money import NanoUsd, format_usd


def budget_object(line: BudgetLine) -> dict[str, Any]:
    """A budget's counter as people may see it."""
    budget, resets_at_s, burn = line.budget, line.resets_at_s, line.burn_rate
    return {
        "id": budget.id,
        "object": "budget",
        "scope": line.scope,
        "value": line.value,
        "mode": "enforce" if budget.enforce else "shadow",
        "window": line.span.id,
        "period": budget.window.period,
        "starts_at": moment(line.span.start_s) if resets_at_s is not None else None,
        "resets_at": None if resets_at_s is None else moment(resets_at_s),
        "limit_usd": format_usd(NanoUsd(line.limit)),
        "posted_usd": format_usd(NanoUsd(line.posted)),
        "reserved_usd": format_usd(NanoUsd(line.reserved)),
        "remaining_usd": format_usd(line.remaining),
        "used_ratio": round(line.used_ratio, 6),
        "burn_rate": None if burn is None else round(burn, 4),
        "projected_usd": None if line.projected is None else format_usd(line.projected),
    }
