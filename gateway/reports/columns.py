"""A report as columns: for CSV, Parquet, JSON and tables alike. Money is decimal text, exact to a nano-dollar. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from gateway.reports.periods import date_of
from gateway.reports.spending import Line, Report
from routing.money import NanoUsd, format_usd

MONEY: Final = (
    *("cost_usd", "before_usd", "waste_usd", "saved_strongest_usd", "saved_asked_usd", "estimated_usd"),
    "unpriced_usd",
)
COUNTS: Final = ("requests", "errors", "attempts", "input_tokens", "output_tokens", "cache_read_tokens")


def columns(report: Report) -> tuple[str, ...]:
    """The names, in their order."""
    return (
        *report.by,
        *("requests", "errors", "attempts", "input_tokens", "output_tokens", "cache_read_tokens"),
        *("cost_usd", "before_usd", "trend", "waste_usd", "waste_ratio", "saved_strongest_usd", "saved_asked_usd"),
        *("estimated_usd", "unpriced_usd"),
    )


def values(line: Line) -> tuple[Any, ...]:
    """A line's values in the order of `columns`: text, whole numbers, ratios; None where it is not known."""
    amounts, calls, savings = line.amounts, line.calls, line.savings
    return (
        *line.group,
        *((None, None) if calls is None else (calls.requests, calls.errors)),
        *amounts[:4],
        usd(amounts.cost),
        usd(line.before),
        ratio(line.trend),
        usd(line.waste),
        ratio(line.waste / amounts.cost if amounts.cost > 0 else None),
        None if savings is None else usd(savings.strongest - savings.routed),
        None if savings is None else usd(savings.asked - savings.routed_asked),
        usd(amounts.estimated),
        usd(amounts.unpriced),
    )


def rows(report: Report) -> Iterator[tuple[Any, ...]]:
    """The lines, without the total."""
    return map(values, report.lines)


def report_object(report: Report) -> dict[str, Any]:
    """A report as JSON. `to` is the first day that is not in it any more."""
    names = columns(report)
    total = dict(zip(names, values(report.total), strict=True))
    return {
        "object": "report",
        "by": list(report.by),
        "from": date_of(report.period.first),
        "to": date_of(report.period.end),
        "data": [{**dict(zip(names, values(line), strict=True)), "waste": _wasted(line)} for line in report.lines],
        "total": {**{name: total[name] for name in names[len(report.by) :]}, "waste": _wasted(report.total)},
    }


def _wasted(line: Line) -> dict[str, str]:
    return {purpose: usd(amount) for purpose, amount in sorted(line.wasted.items())}


def usd(amount: int) -> str:
    """An amount of nano-USD as decimal text."""
    return format_usd(NanoUsd(amount))


def ratio(value: float | None) -> float | None:
    """A ratio, to a millionth."""
    return None if value is None else round(value, 6)
