"""The figures of the outage benchmark, from what clients saw. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

from rich.table import Table

from benchmarks.outage_client import Shot
from benchmarks.outage_servers import HEDGED, MODEL, PRIMARY, Turn

_BACK_SHARE = 0.9
_FIRST_S = 1.0
_OPENED_AFTER_S = 1.0
_ALL_S = 1.0

Json = dict[str, Any]
Call = tuple[float, int]


@dataclass(frozen=True, slots=True)
class Outage:
    """When the primary was down. Unix seconds."""

    from_s: float
    until_s: float


def outage_figures(shots: Sequence[Shot], outage: Outage, calls: Sequence[Call], turns: Sequence[Turn]) -> Json:
    """What an outage did to clients. `calls`: when each request arrived, and how many of providers it took."""
    down = [shot for shot in shots if outage.from_s <= shot.due_s < outage.until_s]
    opened_s = next((turn.at_s for turn in turns if turn.after == "open" and turn.at_s >= outage.from_s), None)
    open_s = outage.from_s if opened_s is None else opened_s
    return {
        "error_ratio": error_ratio(shots),
        "error_ratio_after_open": error_ratio(shot for shot in shots if shot.due_s >= open_s + _OPENED_AFTER_S),
        "upstream_calls_per_request": calls_per_request(calls, shots[0].due_s, float("inf")),
        "added_p99_ms": added_ms(shots, outage, 0.99),
        "added_p50_ms": added_ms(shots, outage, 0.5),
        "recovery_s": recovery_s(shots, outage),
        "probe_interval_s": probe_interval_s(turns, outage),
        "opened_after_s": None if opened_s is None else round(opened_s - outage.from_s, 3),
        "during_outage": {
            "error_ratio": error_ratio(down),
            "upstream_calls_per_request": calls_per_request(calls, outage.from_s, outage.until_s),
        },
        "requests": len(shots),
        "errors": sum(not shot.complete for shot in shots),
    }


def error_ratio(shots: Iterable[Shot]) -> float:
    """The share of clients that got an error, or no complete answer."""
    failed = [not shot.complete for shot in shots]
    return round(sum(failed) / len(failed), 5) if failed else 0.0


def added_ms(shots: Sequence[Shot], outage: Outage, share: float) -> float | None:
    """A percentile of the latency outside the first second of the outage, less that of the calm time before it."""
    calm = [shot.latency_s for shot in shots if shot.due_s < outage.from_s]
    rest = [shot.latency_s for shot in shots if shot.due_s >= outage.from_s + _FIRST_S]
    before, after = percentile(calm, share), percentile(rest, share)
    return None if before is None or after is None else round((after - before) * 1000, 2)


def recovery_s(shots: Sequence[Shot], outage: Outage) -> float | None:
    """From the end of the outage to the first second in which nine of ten requests are served by the primary again.

    None: not in this run. The second counts from its beginning.
    """
    after = [shot for shot in shots if shot.due_s >= outage.until_s]
    for number, shot in enumerate(after):
        second = [each for each in after[number:] if each.due_s < shot.due_s + _ALL_S]
        if after[-1].due_s - shot.due_s < _ALL_S * 0.9:
            return None
        back = sum(each.complete and each.deployment.startswith(f"{PRIMARY}/") for each in second)
        if back >= _BACK_SHARE * len(second):
            return round(shot.due_s - outage.until_s, 2)
    return None


def probe_interval_s(turns: Sequence[Turn], outage: Outage) -> float | None:
    """How long the breaker waited before the probes that found the primary well again; None when nothing was seen."""
    opened: dict[str, float] = {}
    for turn in turns:
        if turn.after == "open":
            opened[turn.name] = turn.at_s
        elif turn.after == "half_open" and turn.at_s >= outage.until_s and turn.name in opened:
            return round(turn.at_s - opened[turn.name], 2)
    return None


def cut_figures(shots: Sequence[Shot], outage: Outage) -> Json:
    """Streams whose provider broke them off in the middle: nobody can mend them, but the client is told."""
    down = [shot for shot in shots if outage.from_s <= shot.due_s < outage.until_s]
    broken = [shot for shot in down if not shot.complete]
    return {
        "error_ratio": error_ratio(shots),
        "during_outage": error_ratio(down),
        "told_ratio": round(sum(shot.told for shot in broken) / len(broken), 5) if broken else None,
        "broken": len(broken),
        "requests": len(shots),
    }


def hedge_figures(shots: Sequence[Shot], costs: Mapping[str, int]) -> Json:
    """p99 of the first byte with hedging as a share of that without, and what the providers billed more for it."""
    plain, hedged = ([shot for shot in shots if shot.model == model] for model in (MODEL, HEDGED))
    p99 = [percentile([shot.latency_s for shot in group if shot.stream], 0.99) for group in (plain, hedged)]
    bills = [sum(costs.get(shot.request_id, 0) for shot in group) / max(1, len(group)) for group in (plain, hedged)]
    return {
        "p99_ratio": None if p99[0] is None or p99[1] is None else round(p99[1] / p99[0], 3),
        "extra_cost_ratio": round(bills[1] / bills[0] - 1, 4) if bills[0] else None,
        "p99_ms": _ms(p99[1]),
        "unhedged_p99_ms": _ms(p99[0]),
        "error_ratio": error_ratio(shots),
        "requests": len(shots),
    }


def percentile(values: Iterable[float | None], share: float) -> float | None:
    """The value that a share of all are no greater than; None when there are none."""
    known = sorted(value for value in values if value is not None)
    return known[max(0, ceil(share * len(known)) - 1)] if known else None


def calls_per_request(calls: Sequence[Call], from_s: float, until_s: float) -> float | None:
    """The mean over the requests that arrived in that time."""
    found = [count for at_s, count in calls if from_s <= at_s < until_s]
    return round(sum(found) / len(found), 4) if found else None


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 1)


_GOALS = {
    "error_ratio": "<= 0.003",
    "error_ratio_after_open": "0",
    "upstream_calls_per_request": "<= 1.2",
    "added_p99_ms": "<= 5",
    "recovery_s": "<= probe_interval_s",
    "hedge.p99_ratio": "<= 0.5",
    "hedge.extra_cost_ratio": "<= 0.03",
}


def table(report: Json) -> Table:
    """The report for people."""
    found = Table(title="a provider's outage, seen by clients")
    for column in ("figure", "value", "goal"):
        found.add_column(column, justify="left" if column == "figure" else "right")
    for name, value in _flat(report, ""):
        found.add_row(name, "-" if value is None else f"{value:g}", _GOALS.get(name, ""))
    return found


def _flat(report: Json, prefix: str) -> Iterable[tuple[str, float | None]]:
    for name, value in report.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        elif value is None or isinstance(value, int | float):
            yield f"{prefix}{name}", value
