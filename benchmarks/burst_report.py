"""What the burst says: its JSON, and a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from rich.table import Table

from benchmarks.burst_client import Seen
from benchmarks.burst_judge import BILL, LEDGER, ORPHANS, Judge, quantile, usd
from benchmarks.burst_plan import OUTPUT_NANO_USD

Json = dict[str, Any]
FAILED_MAX = 0.03
"""The share of calls that may fail for other reasons than money, beside what the provider was told to refuse."""
_ROWS = (
    ("overspend", "overspend_usd", "USD"),
    ("utilisation, worst scope", "utilisation", ""),
    ("false denials: every row at its charge", "false_denial_ratio", ""),
    ("the same, orphaned rows at their charge", "false_denial_ratios.each.orphans", ""),
    ("the same, by the bill alone", "false_denial_ratios.each.bill", ""),
    ("ledger - bill", "ledger_minus_bill_usd", "USD"),
    ("wait, p99", "wait_p99_s", "s"),
    ("differences found by verify", "verify_differences", ""),
    ("refused or broken for other reasons", "failed_ratio", ""),
)
BEHIND_MAX_TOKENS = 16
"""Tokens by which an answer's bill may exceed our estimate before the machine is blamed."""
_CAPTION = (
    "False denials: refused, or ended too early, though it would have fitted beside what others took. What one that "
    "has ended took: its charge (if it was broken off or orphaned, the most that it can have cost: we know no better); "
    "the bill, but an orphan its charge; or the bill alone, by which no hard limit can be right after a kill."
)


class Course(Protocol):
    """How a burst went."""

    restart_s: float
    elapsed_s: float

    @property
    def time_scale(self) -> float:
        """How much longer everything took."""
        ...


def burst_report(
    judge: Judge, seen: Sequence[Seen], arrivals: Mapping[str, float], verified: Json, course: Course
) -> Json:
    """One burst's figures. Times are given at the real pace, unless their name says otherwise."""
    ledger, denials = judge.ledger_minus_bill(), judge.denials()
    utilisation, waits = judge.utilisation(), judge.waits(arrivals)
    orphaned, surplus = judge.orphaned(), judge.least_surplus()
    outcomes = Counter(one.outcome for one in seen)
    return {
        "overspend_usd": usd(judge.overspend()),
        "utilisation": round(min(utilisation.values()), 4) if utilisation else None,
        "false_denial_ratio": round(denials.ratio, 4),
        "ledger_minus_bill_usd": usd(sum(ledger.values())),
        "wait_p99_s": round(quantile(waits, 0.99) / course.time_scale, 3),
        "verify_differences": len(verified["differences"]),
        "verify_compared": verified["compared"],
        "utilisation_by_scope": {scope: round(share, 4) for scope, share in sorted(utilisation.items())},
        "false_denials": dict(denials.false),
        "requests": len(seen),
        "fitted": denials.fitted,
        "false_denial_ratios": _ratios(judge),
        "ledger_minus_bill_usd_by_row": {kind: usd(amount) for kind, amount in ledger.items()},
        "least_estimate_surplus_tokens": None if surplus is None else round(surplus / OUTPUT_NANO_USD, 1),
        "orphaned": {"rows": orphaned["rows"], "excess_usd": usd(orphaned["excess"])},
        "failed_ratio": round(outcomes["failed"] / len(seen), 4),
        "outcomes": dict(sorted(outcomes.items())),
        "refusals": dict(
            sorted(Counter(f"{one.reason} {one.scope}" for one in seen if one.outcome == "refused").items())
        ),
        "failures": dict(Counter(f"{one.status} {one.reason}" for one in seen if one.outcome == "failed")),
        "unknown_generations": len(judge.unknown),
        "wait_p50_s": round(quantile(waits, 0.5) / course.time_scale, 3),
        "time_scale": course.time_scale,
        "restart_real_s": round(course.restart_s, 2),
        "elapsed_real_s": round(course.elapsed_s, 1),
    }


def invalid(burst: Json) -> str | None:
    """Why a burst's figures say nothing of budgets; None if they do."""
    if burst["failed_ratio"] > FAILED_MAX:
        return f"{burst['failed_ratio']:.1%} of the calls failed, for other reasons than money: {burst['failures']}"
    if burst["utilisation"] is None:
        return f"no budget was ever used up: {burst['outcomes']}"
    return None


def busy(burst: Json) -> str | None:
    """Why a burst was one of the machine's, not of the gateway's; None if it was not."""
    surplus = burst["least_estimate_surplus_tokens"]
    if surplus is None or surplus >= -BEHIND_MAX_TOKENS:
        return None
    return f"the provider billed up to {-surplus:g} tokens more than it had sent in time: the machine was too busy"


def _ratios(judge: Judge) -> Json:
    """The ratio by what an ended request counts for, each denial for itself, and in turn."""
    return {
        name: {basis: round(judge.denials(basis, in_turn=in_turn).ratio, 4) for basis in (BILL, ORPHANS, LEDGER)}
        for name, in_turn in (("each", False), ("in_turn", True))
    }


def table(report: Json) -> Table:
    """The same for people."""
    found = Table(title="200 agents at once, judged by the provider's bill", caption=_CAPTION)
    for column in ("", "calibrated", "strict", "cold"):
        found.add_column(column, justify="right")
    bursts = [report, report.get("strict", {}), report.get("cold", {})]
    for title, key, unit in _ROWS:
        found.add_row(title, *(_text(_value(burst, key), unit) for burst in bursts))
    for title, key in (("requests", "requests"), ("of these fitted on arrival", "fitted")):
        found.add_row(title, *(_text(burst.get(key), "") for burst in bursts))
    return found


def _value(burst: Json, path: str) -> float | None:
    *folders, name = path.split(".")
    for folder in folders:
        burst = burst.get(folder, {})
    value: float | None = burst.get(name)
    return value


def _text(value: float | None, unit: str) -> str:
    return "-" if value is None else f"{value:g} {unit}".strip()
