"""A decision as the journal keeps it."""

from __future__ import annotations

from collections.abc import Callable

from gateway.config.snapshot import Snapshot
from gateway.context import RequestContext
from gateway.deciding.choices import choice_of, would_cost
from gateway.deciding.decided import Decided
from routing.decision import Decision, Shadow, View
from routing.money import NanoUsd, Usage
from routing.router import Router
from tests.routing.world import wanted

POLICY = """\
tiers: {cheap: [small], best: [large]}
claims: [auto, little]
rules:
  - {name: shade, shadow: true, use: best}
  - {name: broken, when: 'tags["a"].size() > 1', use: best}
  - {name: dear, when: value_usd > 1.0, use: [best, cheap]}
default: cheap
"""
USAGE = Usage(1_000, 100)


def decided(snapshot: Snapshot, model: str = "auto", value_usd: float = 0.5) -> tuple[Decided, RequestContext]:
    asked = wanted(agent="dev", model=model, value_usd=value_usd, run_steps=3, run="dev/r", in_tool_loop=True)
    decision = Router(snapshot.agent_policies["dev"], snapshot.catalog).decide(asked, View(money_price=2.0))
    return Decided(decision, asked, "dev/r"), RequestContext("chat", snapshot)


def test_what_was_decided_and_what_others_would_have_cost(ruled: Callable[..., Snapshot]) -> None:
    known, context = decided(ruled(POLICY))
    known.usage, known.downgraded = USAGE, "budget"
    choice = choice_of(known, context)
    assert (choice.policy, choice.rule, choice.model, choice.tier) == ("main", "default", "small", "cheap")
    assert (choice.strongest, choice.strongest_paid_nano_usd) == ("large", 9 * 1_100_000)
    assert choice.asked_paid_nano_usd is None  # it was left to the policy
    assert (choice.value_usd, choice.money_price, choice.run_steps, choice.in_tool_loop) == (0.5, 2.0, 3, True)
    assert (choice.downgraded, choice.failed) == ("budget", ("broken",))
    assert choice.shadows == (Shadow("shade", "large", NanoUsd(9 * 1_400_000)),)
    assert choice.expected_cost_nano_usd == 1_400_000
    assert [each.model for each in choice.considered] == ["small"]


def test_an_alias_that_is_claimed_has_a_price_of_its_own(ruled: Callable[..., Snapshot]) -> None:
    known, context = decided(ruled(POLICY), model="little", value_usd=5.0)
    known.usage = USAGE
    choice = choice_of(known, context)
    assert (choice.rule, choice.model, choice.runner_up) == ("dear", "large", "small")
    assert choice.asked_paid_nano_usd == 1_100_000


def test_without_an_answer_nothing_was_paid(ruled: Callable[..., Snapshot]) -> None:
    known, context = decided(ruled(POLICY))
    choice = choice_of(known, context)
    assert (choice.strongest_paid_nano_usd, choice.asked_paid_nano_usd) == (None, None)


def test_an_empty_decision_is_kept_too(ruled: Callable[..., Snapshot]) -> None:
    known, context = decided(ruled(POLICY))
    known.decision = Decision((), "default", "tools", "main")
    choice = choice_of(known, context)
    assert (choice.model, choice.reason, choice.strongest_paid_nano_usd) == ("", "tools", None)


def test_what_nobody_can_tell(ruled: Callable[..., Snapshot]) -> None:
    catalog = ruled(POLICY).catalog
    assert would_cost(catalog, "", USAGE, 0.0, "default") is None
    assert would_cost(catalog, "gone", USAGE, 0.0, "default") is None
    assert would_cost(catalog, "large", None, 0.0, "default") is None
    assert would_cost(catalog, "little", USAGE, 0.0, "default") == 1_100_000
