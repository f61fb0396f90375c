"""What budgets stand at, as gauges. Only counters whose scope the configuration declares have series."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from gateway.ledger.windows import FOREVER_S
from gateway.telemetry.labels import Label, Owner, Owners

if TYPE_CHECKING:
    from gateway.ledger.report import BudgetLine
    from gateway.telemetry import exposition
    from gateway.telemetry.series import Key

    Standing = tuple[Key, BudgetLine]

_EVERYBODY = Owner("", "", "")
_CAPPED = frozenset(("model", "provider", "deployment"))
"""Kinds of scopes whose values are labels elsewhere, too: held to the same places."""


class BudgetGauges:
    """From budget lines to rows. The lines are those of declared scopes: no users, runs or tags that clients name."""

    def __init__(self, labels: Mapping[str, Label], owners: Owners) -> None:
        self._labels = labels
        self._owners = owners

    def set_known(self, budgets: Iterable[str]) -> None:
        """Declare the budgets' names."""
        self._labels["budget"].set_known(budgets)

    def copy(self, lines: Sequence[BudgetLine]) -> list[Standing]:
        """Each line with its labels, for `budget_rows`."""
        return [(key, line) for line in lines if (key := self._key(line)) is not None]

    def _key(self, line: BudgetLine) -> Key | None:
        """The line's labels; None where it has no place of its own. Two lines never share one."""
        budget = line.budget
        owner = self._owner(budget.scope.kind, line.value)
        if owner is None or not self._labels["budget"].take(budget.id):
            return None
        window = budget.window
        period = f"{window.length_s}s" if window.period == "rolling" else window.period
        return (budget.id, line.scope, period, "enforce" if budget.enforce else "shadow", *owner)

    def _owner(self, kind: str, value: str) -> Owner | None:
        owners = self._owners
        if kind == "agent":
            return owners.of_agent_scope(value)
        if kind == "team":
            return owners.of_team_scope(value)
        if kind == "org":
            return owners.of_org_scope(value)
        return _EVERYBODY if kind not in _CAPPED or self._labels[kind].take(value) else None


def budget_rows(standing: Sequence[Standing]) -> Iterator[tuple[str, exposition.Rows]]:
    """Every family's rows, in nano-USD, seconds and ratios. Works out what is not copied, off the event loop."""
    yield "budget_limit_usd", [(key, line.limit) for key, line in standing]
    yield "budget_posted_usd", [(key, line.posted) for key, line in standing]
    yield "budget_reserved_usd", [(key, line.reserved) for key, line in standing]
    yield "budget_remaining_ratio", [(key, 1.0 - line.used_ratio) for key, line in standing]
    yield "budget_burn_ratio", [(key, rate) for key, line in standing if (rate := line.burn_rate) is not None]
    yield "budget_projected_usd", [(key, money) for key, line in standing if (money := line.projected) is not None]
    bounded = [(key, line.span) for key, line in standing if line.span.end_s < FOREVER_S]
    yield "budget_window_start_timestamp_seconds", [(key, span.start_s) for key, span in bounded]
    yield "budget_window_end_timestamp_seconds", [(key, span.end_s) for key, span in bounded]
