"""Counts what policies decide: rules, arms, what shadow rules would have done, what other models would have cost."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from gateway.telemetry.events import WELL, Choice, RequestFinished
from gateway.telemetry.labels import Label, Owners
from gateway.telemetry.names import AGENT
from gateway.telemetry.series import Tally
from routing.rules import CompiledPolicy

if TYPE_CHECKING:
    from gateway.telemetry import exposition

DOWNGRADED = "downgraded"
"""The rule of runs that are slowed down."""
LABELS = ("policy", "rule", "tier", "arm")
"""Those of these metrics alone."""


class DecisionCounts:
    """The part of `gateway.telemetry.metrics.Metrics` about policies."""

    def __init__(self, labels: Mapping[str, Label], owners: Owners) -> None:
        """`labels` and `owners` are those of the metrics."""
        self._labels = labels
        self._owners = owners
        self._decisions = Tally("policy", "rule", "tier", "downgraded")
        self._arms = Tally("policy", "arm")
        self._shadows = Tally("policy", "rule", "would")
        self._failed = Tally("policy", "rule")
        self._paid = Tally(*AGENT, "policy", "asked")
        self._strongest = Tally(*AGENT, "policy", "asked")
        self._asked = Tally(*AGENT, "policy")

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
        policy = label["policy"].value(choice.policy)
        rule, tier = label["rule"].value(choice.rule), label["tier"].value(choice.tier)
        self._decisions.add((policy, rule, tier, choice.downgraded))
        if choice.arm:
            self._arms.add((policy, label["arm"].value(choice.arm)))
        for shadow in choice.shadows:
            would = "nothing" if not shadow.model else "same" if shadow.model == choice.model else "different"
            self._shadows.add((policy, label["rule"].value(shadow.rule), would))
        for failed in choice.failed:
            self._failed.add((policy, label["rule"].value(failed)))
        if choice.strongest_paid_nano_usd is None or event.outcome not in WELL:
            return
        owner = self._owners.of(event.agent)
        asked = "model" if choice.asked_paid_nano_usd is not None else "policy"
        self._paid.add((*owner, policy, asked), event.cost_nano_usd)
        self._strongest.add((*owner, policy, asked), choice.strongest_paid_nano_usd)
        if choice.asked_paid_nano_usd is not None:
            self._asked.add((*owner, policy), choice.asked_paid_nano_usd)

    def forget(self, label: str, value: str) -> None:
        """Drop all series of an id that is no longer configured and whose place is needed."""
        for _, tally in self._families():
            tally.forget(label, value)

    def copy(self) -> Iterator[tuple[str, exposition.Rows]]:
        """Every family's rows."""
        for name, tally in self._families():
            yield name, tally.copy()

    def _families(self) -> tuple[tuple[str, Tally], ...]:
        return (
            ("decisions_total", self._decisions),
            ("experiments_total", self._arms),
            ("shadow_decisions_total", self._shadows),
            ("failed_conditions_total", self._failed),
            ("routed_cost_usd_total", self._paid),
            ("routed_strongest_cost_usd_total", self._strongest),
            ("routed_asked_cost_usd_total", self._asked),
        )
