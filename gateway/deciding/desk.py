"""What a policy's decisions for one agent need, worked out once for each configuration."""

from __future__ import annotations

from dataclasses import replace
from typing import Final, NamedTuple

from gateway.config.snapshot import Agent, Snapshot
from gateway.deciding.budgets import covering
from gateway.ledger.budgets import Budget
from routing.router import Router
from routing.rules import CompiledPolicy, Rule

DOWNGRADED: Final = "downgraded"
"""In place of a rule: the run repeats itself or spends too quickly, and gets the weakest tier."""
_OF_BUDGETS: Final = frozenset(("budget.remaining_ratio", "budget.burn_ratio"))


class Desk(NamedTuple):
    """One agent's."""

    agent: Agent
    router: Router
    weakest: Router
    """For runs that are to be slowed down."""
    budgets: tuple[Budget, ...]
    """Those that may cover its requests."""
    ranks: dict[str, float]
    """How strong the policy's tiers are, 0 to 1."""
    reads_budgets: bool
    """Whether a decision depends on how they stand."""
    is_paced: bool
    """Whether a decision depends on what a dollar is worth now."""
    may_downgrade: bool
    """Whether one of them asks for cheaper models before it refuses."""


class Desks:
    """Of the latest snapshot that was asked for."""

    def __init__(self) -> None:
        self._snapshot: Snapshot | None = None
        self._routers: dict[str, tuple[Router, Router]] = {}
        self._desks: dict[str, Desk] = {}

    def of(self, snapshot: Snapshot, agent: Agent, policy: CompiledPolicy) -> Desk:
        """The desk of an agent and its policy."""
        if snapshot is not self._snapshot:
            self._snapshot, self._routers, self._desks = snapshot, {}, {}
        desk = self._desks.get(agent.id)
        if desk is None:
            desk = self._desks[agent.id] = self._make(snapshot, agent, policy)
        return desk

    def _make(self, snapshot: Snapshot, agent: Agent, policy: CompiledPolicy) -> Desk:
        routers = self._routers.get(policy.name)
        if routers is None:
            catalog = snapshot.catalog
            routers = self._routers[policy.name] = (Router(policy, catalog), Router(weakened(policy), catalog))
        budgets = covering(snapshot, agent.org, agent.team, agent.id)
        may_downgrade = any(budget.on_exceed == "downgrade" for budget in budgets)
        is_paced = any(rule.strategy == "value" for rule in (*policy.rules, policy.default))
        reads = bool(budgets) and (may_downgrade or is_paced or _reads_budgets(policy))
        return Desk(agent, *routers, budgets, ranks_of(policy), reads, is_paced, may_downgrade)


def ranks_of(policy: CompiledPolicy) -> dict[str, float]:
    """How strong the tiers are: the weakest 0, the strongest 1. A single one counts as strong."""
    last = len(policy.tiers) - 1
    return {tier.name: place / last if last else 1.0 for place, tier in enumerate(policy.tiers)}


def weakened(policy: CompiledPolicy) -> CompiledPolicy:
    """The policy for a run that is to be slowed down: its weakest tier, within the agent's floor."""
    if not policy.tiers:
        return policy
    return replace(policy, rules=(), default=Rule(DOWNGRADED, None, (policy.tiers[0].name,)))


def _reads_budgets(policy: CompiledPolicy) -> bool:
    return any(rule.condition is not None and rule.condition.reads & _OF_BUDGETS for rule in policy.rules)
