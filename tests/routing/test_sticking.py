"""Sessions: no other model in a tool loop, a tier that rises at once and falls at the start, a cache that counts."""

from __future__ import annotations

from typing import Any

import pytest

from routing.decision import Budget, Decision, Session, View
from routing.money import NanoUsd
from routing.router import decide
from routing.rules import Arm, CompiledPolicy, Rule, Tier
from routing.sessions import CACHE_S, IDLE_S, Sessions
from tests.routing.world import LARGE, MIDDLE, SMALL, THREE, catalog, model, policy, wanted

TWINS = (Tier("cheap", ("small",)), Tier("good", ("middle", "twin")), Tier("best", ("large",)))
TWIN = model("twin", 900_000)
FOUR = catalog(SMALL, MIDDLE, TWIN, LARGE)


def after(session: Session, rules: CompiledPolicy, view: View = View(), **request: Any) -> Decision:  # noqa: B008 -- a value
    memory = Sessions()
    memory.note("s", session)
    return decide(wanted(session="s", **request), rules, FOUR, view._replace(memory=memory))


def first(decision: Decision) -> str:
    return decision.models[0].name


def to(*use: str, strategy: Any = "ordered", **fields: Any) -> CompiledPolicy:
    return policy(default=Rule("default", None, use, strategy), tiers=TWINS, **fields)


@pytest.mark.parametrize("use", ["cheap", "twin", "best"])
def test_inside_a_tool_loop_the_model_stays(use: str) -> None:
    cases: tuple[tuple[Session, dict[str, Any]], ...] = (
        (Session("middle", "good"), {"in_tool_loop": True}),
        (Session("middle", "good", called_tools=True), {}),
    )
    for session, request in cases:
        decision = after(session, to(use), **request)
        assert (first(decision), decision.reason, decision.tier) == ("middle", "tool loop", "good")
        assert decision.runner_up  # there is somebody to fall back on
    assert first(after(Session("middle", "good"), to("best"))) == "large"


def test_the_tier_rises_at_once_and_falls_only_at_the_start() -> None:
    assert first(after(Session("middle", "good"), to("best"))) == "large"
    decision = after(Session("middle", "good"), to("cheap"))
    assert (first(decision), decision.reason) == ("middle", "session keeps its tier")
    assert first(decide(wanted(session="s"), to("cheap"), FOUR)) == "small"


def test_another_model_pays_for_the_cache_that_is_lost() -> None:
    """1,000 tokens in and 400 out: twin costs 0.9 of middle, whose cached prompt costs a tenth."""
    cold, warm = Session("middle", "good"), Session("middle", "good", cached_tokens=900)
    assert first(after(cold, to("twin", "middle"))) == "twin"
    decision = after(warm, to("twin", "middle"))
    assert (first(decision), decision.reason) == ("middle", "session keeps its model")
    assert decision.expected_cost == 100 * 1_000 + 900 * 100 + 400 * 4_000
    assert (
        first(after(Session("middle", "good", cached_tokens=100), to("twin", "middle"))) == "twin"
    )  # 0.09 of 1,000 lost


def test_strategies_by_cost_have_the_cache_in_their_scores() -> None:
    for cached_tokens, expected in ((0, "twin"), (100, "twin"), (900, "middle")):
        session = Session("middle", "good", cached_tokens=cached_tokens)
        assert first(after(session, to("good", strategy="cheapest"))) == expected
        view = View(quality=lambda _model, _tier: 0.8)
        assert first(after(session, to("good", strategy="value"), view, value_usd=1.0)) == expected


def test_nothing_is_drawn_anew() -> None:
    rules = policy(default=Rule("default", None, ("middle", "twin"), "weighted"), tiers=TWINS)
    memory = Sessions()
    memory.note("s", Session("twin", "good"))
    decisions = [decide(wanted(session="s"), rules, FOUR, View(memory=memory), draw=place / 10) for place in range(10)]
    assert {(first(decision), decision.probability) for decision in decisions} == {("twin", 1.0)}


def test_money_may_lower_a_tier() -> None:
    short = View(budgets=(Budget("b", NanoUsd(10_000_000), downgrade=True),))
    assert first(after(Session("large", "best"), to("best"), short)) == "middle"
    assert first(after(Session("large", "best"), to("best"), short, in_tool_loop=True)) == "middle"


def test_what_the_gates_exclude_does_not_stay() -> None:
    others = (frozenset(("middle", "small")),)
    assert first(after(Session("large", "best"), to("cheap"), allowed=others, in_tool_loop=True)) == "small"
    unwell = View(unwell=frozenset(("p/middle",)))
    assert first(after(Session("middle", "good"), to("cheap"), unwell, in_tool_loop=True)) == "small"
    lowered = to("cheap", ceilings={"tester": "cheap"})
    assert first(after(Session("middle", "good"), lowered)) == "small"


def test_a_model_that_the_policy_has_no_longer_is_forgotten() -> None:
    assert first(after(Session("gone", "good", called_tools=True), to("cheap"))) == "small"
    assert first(after(Session("gone", "", called_tools=True), to("cheap"))) == "small"
    moved = Session("middle", "a tier that was renamed", called_tools=True)
    assert first(after(moved, to("cheap"))) == "middle"


def test_models_without_tiers_stay_as_well() -> None:
    rules = policy(default=("middle", "twin"), tiers=())
    assert first(after(Session("twin"), rules, in_tool_loop=True)) == "twin"
    assert first(after(Session("large"), rules, in_tool_loop=True)) == "middle"  # the policy does not name it


def test_another_arms_model_counts_for_no_arm() -> None:
    arms = (Arm("a", 50, ("middle",)), Arm("b", 50, ("middle",)))
    rules = policy(Rule("trial", None, (), arms=arms), tiers=TWINS)
    assert after(Session("middle", "good", cached_tokens=900), rules).arm in ("trial/a", "trial/b")
    assert after(Session("twin", "good", cached_tokens=900), rules).arm == ""


def test_the_run_stands_for_the_session_where_there_is_none() -> None:
    memory = Sessions()
    memory.note("r", Session("large", "best"))
    assert first(decide(wanted(run="r"), to("cheap"), THREE, View(memory=memory))) == "large"


# --- memory ---


def test_the_cache_goes_cold_and_the_session_ends() -> None:
    sessions = Sessions()
    sessions.note("s", Session("m", "good", 500, at_s=1_000.0))
    assert sessions.get("s", 1_000.0 + CACHE_S) == Session("m", "good", 500, at_s=1_000.0)
    assert sessions.get("s", 1_001.0 + CACHE_S) == Session("m", "good", 0, at_s=1_000.0)
    assert sessions.get("s", 1_001.0 + IDLE_S) is None
    assert sessions.get("t", 1_000.0) is None


def test_the_longest_unheard_is_forgotten() -> None:
    sessions = Sessions(2)
    for name in ("a", "b", "a", "c"):
        sessions.note(name, Session("m"))
    assert len(sessions) == 2
    assert (sessions.get("a", 0.0), sessions.get("b", 0.0), sessions.get("c", 0.0)) == (
        Session("m"),
        None,
        Session("m"),
    )
