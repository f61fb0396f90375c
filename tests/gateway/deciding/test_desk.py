"""What a policy's decisions for an agent need."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gateway.config.snapshot import Snapshot
from gateway.deciding.desk import DOWNGRADED, Desk, Desks, ranks_of, weakened
from routing.decision import View
from routing.rules import Rule, Tier
from tests.routing.world import policy, wanted

TIERS = "tiers: {cheap: [small], good: [spare], best: [large]}\n"


def desk(snapshot: Snapshot, agent: str = "dev") -> Desk:
    return Desks().of(snapshot, snapshot.agents[agent], snapshot.agent_policies[agent])


@pytest.mark.parametrize(
    ("rules", "budget", "reads", "paced", "downgrades"),
    [
        ("default: cheap", "", False, False, False),
        ("rules: [{name: r, when: budget.burn_ratio > 1.0, use: cheap}]", "", True, False, False),
        ("rules: [{name: r, when: 2.0 * budget.remaining_ratio < 1.0, use: cheap}]", "", True, False, False),
        ("rules: [{name: r, when: run.steps > 3, use: cheap}]", "", False, False, False),
        ("strategy: value", "", True, True, False),
        ("rules: [{name: r, use: [cheap, best], strategy: value}]", "", True, True, False),
        ("default: cheap", ", on_exceed: downgrade", True, False, True),
    ],
)
def test_budgets_are_read_only_where_a_decision_depends_on_them(
    ruled: Callable[..., Snapshot], rules: str, budget: str, reads: bool, paced: bool, downgrades: bool
) -> None:
    found = desk(ruled(TIERS + rules, budget))
    assert (found.reads_budgets, found.is_paced, found.may_downgrade) == (reads, paced, downgrades)
    assert [each.id for each in found.budgets] == ["devs"]  # one that is only watched decides nothing


def test_an_agent_without_a_budget_reads_none(ruled: Callable[..., Snapshot]) -> None:
    found = desk(ruled(TIERS + "strategy: value", ", on_exceed: downgrade"), "other")
    assert (found.budgets, found.reads_budgets, found.is_paced, found.may_downgrade) == ((), False, True, False)


def test_desks_are_made_once_for_each_configuration(ruled: Callable[..., Snapshot]) -> None:
    snapshot, desks = ruled(TIERS), Desks()
    policy = snapshot.agent_policies["dev"]
    first = desks.of(snapshot, snapshot.agents["dev"], policy)
    assert desks.of(snapshot, snapshot.agents["dev"], policy) is first
    other = desks.of(snapshot, snapshot.agents["other"], policy)
    assert other.router is first.router  # one policy, one router
    newer = ruled(TIERS + "default: cheap")
    again = desks.of(newer, newer.agents["dev"], newer.agent_policies["dev"])
    assert again.router is not first.router
    assert again.router.decide(wanted(agent="dev"), View()).models[0].name == "small"


def test_tiers_have_ranks() -> None:
    assert ranks_of(policy()) == {"cheap": 0.0, "good": 0.5, "best": 1.0}
    assert ranks_of(policy(tiers=(Tier("only", ("small",)),), default="only")) == {"only": 1.0}
    assert ranks_of(policy(tiers=(), default=("small",))) == {}


def test_who_is_slowed_down_gets_the_weakest_tier() -> None:
    written = policy(Rule("all", None, ("best",)), floors={"vip": "good"})
    slow = weakened(written)
    assert (slow.rules, slow.default.name, slow.default.use) == ((), DOWNGRADED, ("cheap",))
    assert slow.floors == {"vip": "good"}  # within the agent's floor
    flat = policy(tiers=(), default=("small",))
    assert weakened(flat) is flat  # no tier is the weakest
