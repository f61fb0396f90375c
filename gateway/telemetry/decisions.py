"""Counts what policies decide: rules, arms, what shadow rules would have done, what other models would have cost."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from gateway.telemetry.events import WELL, Choice, RequestFinished
from gateway.telemetry.labels import Label
from routing.rules import CompiledPolicy

if TYPE_CHECKING:
    from gateway.telemetry import exposition

_Counts = dict[tuple[str, ...], int]
DOWNGRADED = "downgraded"
"""The rule of runs that are slowed down."""
LABELS = ("policy", "rule", "tier", "arm")
"""Those of these metrics alone."""


class DecisionCounts:
    """The part of `gateway.telemetry.metrics.Metrics` about policies."""

    def __init__(self, labels: Mapping[str, Label]) -> None:
        """`labels` are those of the metrics."""
        self._labels = labels
        self._decisions: _Counts = {}
        self._arms: _Counts = {}
        self._shadows: _Counts = {}
        self._failed: _Counts = {}
        self._paid: _Counts = {}
        self._strongest: _Counts = {}
        self._asked: _Counts = {}

    def set_known(self, policies: Iterable[CompiledPolicy]) -> None:
        """Declare the configured policies."""
        policies = tuple(policies)
        rules = [rule for policy in policies for rule in (*policy.rules, policy.default)]
        self._labels["policy"].set_known(policy.name for policy in policies)
        self._labels["rule"].set_known((DOWNGRADED, *(rule.name for rule in rules)))
        self._labels["tier"].set_known(tier.name for policy in policies for tier in policy.tiers)
        self._labels["arm"].set_known(f"{rule.name}/{arm.name}" for rule in rules for arm in rule.arms)

    def count(self, event: RequestFinished, choice: Choice) -> None:
        """Count a request that a policy decided."""
        label = self._labels
        policy, agent = label["policy"].value(choice.policy), label["agent"].value(event.agent)
        _add(
            self._decisions,
            1,
            policy,
            label["rule"].value(choice.rule),
            label["tier"].value(choice.tier),
            choice.downgraded,
        )
        if choice.arm:
            _add(self._arms, 1, policy, label["arm"].value(choice.arm))
        for shadow in choice.shadows:
            would = "nothing" if not shadow.model else "same" if shadow.model == choice.model else "different"
            _add(self._shadows, 1, policy, label["rule"].value(shadow.rule), would)
        for rule in choice.failed:
            _add(self._failed, 1, policy, label["rule"].value(rule))
        if choice.strongest_paid_nano_usd is None or event.outcome not in WELL:
            return
        asked = "model" if choice.asked_paid_nano_usd is not None else "policy"
        _add(self._paid, event.cost_nano_usd, agent, policy, asked)
        _add(self._strongest, choice.strongest_paid_nano_usd, agent, policy, asked)
        if choice.asked_paid_nano_usd is not None:
            _add(self._asked, choice.asked_paid_nano_usd, agent, policy)

    def forget(self, label: str, value: str) -> None:
        """Drop all series of an id that is no longer configured and whose place is needed."""
        stores: tuple[tuple[_Counts, tuple[str, ...]], ...] = (
            (self._decisions, ("policy", "rule", "tier")),
            (self._arms, ("policy", "arm")),
            (self._shadows, ("policy", "rule")),
            (self._failed, ("policy", "rule")),
            (self._paid, ("agent", "policy")),
            (self._strongest, ("agent", "policy")),
            (self._asked, ("agent", "policy")),
        )
        for counts, names in stores:
            if label in names:
                place = names.index(label)
                for key in [key for key in counts if key[place] == value]:
                    del counts[key]

    def copy(self) -> Iterator[tuple[str, exposition.Rows]]:
        """Every family's rows."""
        yield "decisions_total", list(self._decisions.items())
        yield "experiments_total", list(self._arms.items())
        yield "shadow_decisions_total", list(self._shadows.items())
        yield "failed_conditions_total", list(self._failed.items())
        yield "routed_cost_usd_total", list(self._paid.items())
        yield "routed_strongest_cost_usd_total", list(self._strongest.items())
        yield "routed_asked_cost_usd_total", list(self._asked.items())


def _add(counts: _Counts, amount: int, *labels: str) -> None:
    counts[labels] = counts.get(labels, 0) + amount
