"""Rules in order, strategies, floors and ceilings, experiments, money and health: what is decided, and why."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from routing.catalog import Catalog, Model
from routing.conditions import CompiledCondition
from routing.decision import NO_FACTS, Budget, Decision, View, Wanted
from routing.money import NanoUsd
from routing.router import Router, decide
from routing.rules import Arm, CompiledPolicy, Rule, Tier
from tests.routing.world import LARGE, MIDDLE, SMALL, THREE, When, catalog, deployment, model, policy, price, wanted

ALL = ("small", "middle", "large")
BY_AGENT = Rule("vip", When(lambda facts: facts.agent == "vip"), ("best",))


def names(decision: Decision) -> list[str]:
    return [each.name for each in decision.models]


def by(strategy: Any, *use: str, **fields: Any) -> CompiledPolicy:
    """A policy whose default has this strategy."""
    return policy(default=Rule("default", None, use or ALL, strategy, **fields))


# --- what no policy routes ---


def test_a_model_that_no_policy_claims_is_called_as_asked() -> None:
    decision = decide(wanted(model="large"), policy(BY_AGENT), THREE)
    assert (names(decision), decision.rule, decision.reason) == (["large"], "asked", "as asked")
    assert decision.models[0] is LARGE
    assert decide(wanted(model="large"), None, THREE) == decision


def test_a_policy_may_claim_a_concrete_model() -> None:
    claims = frozenset(("auto", "large"))
    assert names(decide(wanted(model="large"), policy(claims=claims), THREE)) == ["middle"]


def test_the_gates_hold_for_what_is_asked_by_name_too() -> None:
    limited = catalog(model("m", vision=False, context_tokens=900), alias="m")
    assert decide(wanted(model="m", images=1), None, limited)[:3] == ((), "asked", "vision")
    assert decide(wanted(model="nobody"), None, limited)[:3] == ((), "asked", "unknown_model")
    assert names(decide(wanted(model="m"), None, limited)) == ["m"]  # the provider knows better how long a text is
    assert decide(wanted(model="m", input_tokens=9_000), None, limited)[:3] == ((), "asked", "context")  # not so much
    assert names(decide(wanted(model="alias", allowed=(frozenset(("alias",)),)), None, limited)) == ["m"]
    assert decide(wanted(model="m", residency=frozenset(("eu",))), None, limited).reason == "residency"


# --- rules ---


def test_the_first_rule_that_matches_is_obeyed() -> None:
    rules = policy(BY_AGENT, Rule("all", None, ("cheap",)), Rule("later", None, ("best",)))
    assert decide(wanted(agent="vip"), rules, THREE)[1] == "vip"
    decision = decide(wanted(), rules, THREE)
    assert (decision.rule, names(decision), decision.tier, decision.policy) == ("all", ["small"], "cheap", "test")


def test_without_a_match_the_default() -> None:
    decision = decide(wanted(), policy(BY_AGENT), THREE)
    assert (decision.rule, names(decision), decision.tier, decision.runner_up) == ("default", ["middle"], "good", "")


def test_a_condition_that_fails_is_no_match_and_is_told() -> None:
    decision = decide(wanted(), policy(Rule("broken", When(lambda _facts: None), ("best",))), THREE)
    assert (decision.rule, decision.failed) == ("default", ("broken",))


def test_shadow_rules_are_noted_and_not_obeyed() -> None:
    rules = policy(
        Rule("dearer", None, ("best",), shadow=True),
        Rule("real", None, ("cheap",)),
        Rule("after", None, ("best",), shadow=True),
    )
    decision = decide(wanted(), rules, THREE)
    assert (decision.rule, names(decision)) == ("real", ["small"])
    ((rule, chosen, cost),) = decision.shadows
    assert (rule, chosen) == ("dearer", "large")
    assert cost == 100 * decision.expected_cost


def test_a_rule_of_which_the_gates_leave_nothing_gives_way_to_the_next() -> None:
    blind = catalog(model("small", vision=False), MIDDLE, LARGE)
    rules = policy(Rule("blind", None, ("cheap",), shadow=True), Rule("thrifty", None, ("small",)), BY_AGENT)
    decision = decide(wanted(images=1), rules, blind)
    assert (decision.rule, names(decision), decision.skipped) == ("default", ["middle"], ("thrifty",))
    assert decision.shadows == (("blind", "", 0),)


def test_when_nothing_of_the_default_passes_any_tier_is_better_than_none() -> None:
    blind = catalog(SMALL, model("middle", tools=False), LARGE)
    decision = decide(wanted(tools=1), policy(), blind)
    assert (names(decision), decision.skipped) == (["small", "large"], ("default",))
    assert decide(wanted(tools=1), policy(floors={"tester": "good"}), blind).models == (LARGE,)


def test_when_nothing_passes_the_reason_is_given() -> None:
    decision = decide(wanted(residency=frozenset(("eu",))), policy(BY_AGENT), THREE)
    assert (decision.candidates, decision.rule, decision.reason) == ((), "default", "residency")
    assert set(decision.exclusions.values()) == {"residency"}
    gone = decide(wanted(), policy(), Catalog({}))
    assert (gone.models, gone.reason) == ((), "unknown_model")


def test_what_was_excluded_is_told_with_its_reason() -> None:
    decision = decide(wanted(images=1), by("ordered"), catalog(model("small", vision=False), MIDDLE, LARGE))
    assert names(decision) == ["middle", "large"]
    assert decision.exclusions == {"small": "vision"}
    assert decision.runner_up == "large"


def test_the_complexity_is_asked_for_once_and_only_if_something_reads_it() -> None:
    asked: list[int] = []

    def score() -> float:
        asked.append(1)
        return 0.7

    hard = When(lambda facts: facts.complexity > 0.6, frozenset(("complexity",)))
    reading = policy(
        BY_AGENT, Rule("same", hard, ("best",), shadow=True), Rule("hard", hard, ("best",)), Rule("x", None, ("cheap",))
    )
    decision = decide(wanted(), reading, THREE, View(complexity=score))
    assert (decision.rule, decision.complexity, len(asked)) == ("hard", 0.7, 1)
    assert decide(wanted(), policy(BY_AGENT), THREE, View(complexity=score)).complexity is None
    assert len(asked) == 1
    assert decide(wanted(complexity=0.9), reading, THREE).rule == "hard"  # as it is given


def test_the_complexity_is_not_worked_out_for_a_rule_that_is_about_somebody_else() -> None:
    condition = CompiledCondition('agent == "vip" && complexity > 0.6')
    rules = policy(Rule("hard", condition, ("best",)))

    def score() -> float:
        raise AssertionError("nobody should ask")

    assert decide(wanted(), rules, THREE, View(complexity=score)).complexity is None
    decision = decide(wanted(agent="vip"), rules, THREE, View(complexity=lambda: 0.7))
    assert (decision.rule, decision.complexity) == ("hard", 0.7)


# --- floors and ceilings ---


def test_floors_and_ceilings_move_a_rule_to_the_nearest_tier() -> None:
    bounds: dict[str, Any] = {"floors": {"tester": "good"}, "ceilings": {"tester": "good", "other": "cheap"}}
    for use in ("cheap", "small", "good", "best", "large"):
        rules = policy(Rule("r", None, (use,)), **bounds)
        assert names(decide(wanted(), rules, THREE)) == ["middle"]
        assert names(decide(wanted(agent="other"), rules, THREE)) == ["small"]
    everything = policy(Rule("r", None, ("cheap", "good", "best")), **bounds)
    assert names(decide(wanted(), everything, THREE)) == ["middle"]


def test_a_model_that_no_tier_lists_is_not_moved() -> None:
    rules = policy(Rule("r", None, ("extra", "small")), floors={"tester": "best"})
    decision = decide(wanted(), rules, catalog(SMALL, MIDDLE, LARGE, model("extra")))
    assert (names(decision), decision.tier) == (["extra", "large"], "")


# --- strategies ---


def test_cheapest_by_expected_cost() -> None:
    """One is cheap to read, the other to write: it depends on the answer's expected length, learned or bounded."""
    reads = model("reads", price=price(1_000_000, 20_000_000))
    writes = model("writes", price=price(4_000_000, 4_000_000))
    two = catalog(reads, writes)
    cheapest = by("cheapest", "writes", "reads")
    short = View(output_tokens=lambda _agent, _model: 10.0)
    long = View(output_tokens=lambda agent, _model: 1_000.0 if agent == "tester" else None)
    assert names(decide(wanted(), cheapest, two, short)) == ["reads", "writes"]
    assert names(decide(wanted(max_output_tokens=0), cheapest, two, long)) == ["writes", "reads"]
    assert names(decide(wanted(max_output_tokens=5), cheapest, two, long)) == ["reads", "writes"]  # bounded
    decision = decide(wanted(), cheapest, two, short)
    assert (decision.expected_cost, decision.reason) == (1_000 * 1_000 + 10 * 20_000, "cheapest")
    assert [each.score for each in decision.considered] == [0.0012, 0.00404]


def test_fastest_by_first_byte() -> None:
    known = {"p/small": 0.9, "p/middle": 0.2, "p/large": 0.5}
    assert names(decide(wanted(), by("fastest"), THREE, View(latency_s=known.get))) == ["middle", "large", "small"]
    del known["p/large"]  # nothing is known: it is tried
    decision = decide(wanted(), by("fastest"), THREE, View(latency_s=known.get))
    assert (names(decision)[0], decision.reason) == ("large", "fastest")


def test_weighted_is_drawn_as_often_as_its_weights_say() -> None:
    router = Router(by("weighted", weights=(1, 3, 0)), THREE)
    firsts = Counter[str]()
    for place in range(100):
        decision = router.decide(wanted(), draw=(place + 0.5) / 100)
        first = names(decision)[0]
        firsts[first] += 1
        assert decision.probability == {"small": 0.25, "middle": 0.75}[first]
        assert names(decision)[2] == "large"
    assert firsts == {"small": 25, "middle": 75}


def test_weights_are_of_those_that_pass_the_gates() -> None:
    blind = catalog(SMALL, model("middle", 1_000_000, vision=False), LARGE)
    decision = decide(wanted(images=1), by("weighted", weights=(1, 8, 1)), blind, draw=0.6)
    assert (names(decision), decision.probability) == (["large", "small"], 0.5)


QUALITY = {"small": 0.6, "middle": 0.8, "large": 0.9}


def worth(value_usd: float, quality: dict[str, float] = QUALITY, money_price: float = 1.0) -> Decision:
    view = View(quality=lambda model, _tier: quality.get(model), money_price=money_price)
    return decide(wanted(value_usd=value_usd), by("value"), THREE, view)


def test_value_takes_the_model_that_earns_most() -> None:
    """Costs: 0.00026, 0.0026, 0.026. From small to middle +0.2 V is worth it from V = 0.0117, to large from 0.234."""
    assert names(worth(0.01)) == ["small", "middle", "large"]
    assert names(worth(0.1))[0] == "middle"
    assert names(worth(0.3))[0] == "large"
    decision = worth(0.1)
    assert (decision.reason, decision.p_correct, decision.runner_up) == ("value", 0.8, "large")
    scores = {each.model: each.score for each in decision.considered}
    assert scores == pytest.approx({"small": 0.05974, "middle": 0.0774, "large": 0.064}, abs=1e-6)


def test_a_dollar_that_is_worth_more_buys_less() -> None:
    assert names(worth(0.3, money_price=10))[0] == "middle"
    assert names(worth(0.3, money_price=100))[0] == "small"
    assert worth(0.3, money_price=100).money_price == 100


def test_without_a_value_or_evidence_the_strong_model() -> None:
    assert (names(worth(0.0))[0], worth(0.0).reason) == ("large", "strong: no value declared")
    unknown = worth(0.01, {"small": 0.9, "middle": 0.9})
    assert (names(unknown), unknown.reason) == (["large", "small", "middle"], "strong: too little known")
    assert names(worth(0.01, {"large": 0.9, "middle": 0.8}))[0] == "middle"  # what is unknown is not dared
    assert names(worth(0.01, {}))[0] == "large"
    assert names(decide(wanted(value_usd=1.0), by("value"), THREE))[0] == "large"


def test_the_strong_model_of_no_tiers_is_the_dearest() -> None:
    untiered = policy(tiers=(), default=Rule("default", None, ("middle", "large", "small"), "value"))
    assert names(decide(wanted(), untiered, THREE))[0] == "large"


def test_the_strongest_candidate_is_what_it_might_have_cost() -> None:
    decision = decide(wanted(), policy(default="cheap", ceilings={"tester": "good"}), THREE)
    assert (decision.expected_cost, decision.strongest, decision.strongest_cost) == (260_000, "large", 26_000_000)
    blind = catalog(SMALL, MIDDLE, model("large", vision=False))
    assert decide(wanted(images=1), policy(), blind).strongest == "middle"


# --- experiments ---

ARMS = (Arm("old", 75, ("good",)), Arm("new", 25, ("cheap",)))


def test_an_experiment_is_sticky_by_run_and_splits_as_it_says() -> None:
    router = Router(policy(Rule("trial", None, (), arms=ARMS)), THREE)
    arms = Counter[str]()
    for run in range(2_000):
        decision = router.decide(wanted(run=f"run-{run}", request_id="a"))
        assert decision.arm == router.decide(wanted(run=f"run-{run}", request_id="b"), draw=0.9).arm
        assert names(decision) == (["middle"] if decision.arm == "trial/old" else ["small"])
        assert decision.probability == (0.75 if decision.arm == "trial/old" else 0.25)
        arms[decision.arm] += 1
    assert 1_400 < arms["trial/old"] < 1_600  # six standard deviations around 1,500: the hash is always the same


def test_experiments_are_independent_of_each_other() -> None:
    one, two = (Router(policy(Rule(name, None, (), arms=ARMS)), THREE) for name in ("one", "two"))
    both = Counter(
        (one.decide(wanted(run=f"{run}")).arm[-3:], two.decide(wanted(run=f"{run}")).arm[-3:]) for run in range(2_000)
    )
    assert 70 < both["new", "new"] < 190  # an eighth of a half: 125


def test_without_a_run_it_goes_by_the_session_and_else_by_the_request() -> None:
    router = Router(policy(Rule("trial", None, (), arms=ARMS)), THREE)
    sessions = [{router.decide(wanted(session=f"s{s}", request_id=f"{r}")).arm for r in range(10)} for s in range(20)]
    assert {len(arms) for arms in sessions} == {1}
    assert len({router.decide(wanted(request_id=f"{r}")).arm for r in range(50)}) == 2


# --- money ---


def money(left_usd: float, **fields: Any) -> View:
    return View(budgets=(Budget("b", NanoUsd(int(left_usd * 1e9)), downgrade=True, **fields),))


def test_a_budget_that_downgrades_takes_the_dearest_that_fits() -> None:
    best = policy(default="best")
    assert names(decide(wanted(), best, THREE, money(100))) == ["large"]
    decision = decide(wanted(), best, THREE, money(0.02))
    assert (names(decision), decision.reason, decision.exclusions) == (
        ["middle", "small"],
        "budget b",
        {"large": "budget:b"},
    )
    assert names(decide(wanted(), best, THREE, money(0.001))) == ["small"]
    gapped = policy(default=("best", "cheap"))
    assert names(decide(wanted(), gapped, THREE, money(0.02))) == ["middle", "small"]


def test_near_the_end_of_the_money_cheaper_ones_stand_behind() -> None:
    decision = decide(wanted(), policy(default="best"), THREE, money(1.0))
    assert (names(decision), decision.reason) == (["large", "middle", "small"], "first")


def test_where_nothing_fits_admission_refuses() -> None:
    assert names(decide(wanted(), policy(default="best"), THREE, money(0)))[0] == "large"


def test_no_downgrade_below_the_agents_floor() -> None:
    floor = policy(default="best", floors={"tester": "good"})
    assert names(decide(wanted(), floor, THREE, money(0.02))) == ["middle"]
    assert names(decide(wanted(), floor, THREE, money(0.001)))[0] == "large"


def test_budgets_that_block_and_those_of_others_change_nothing() -> None:
    best = policy(default="best")
    blocking = View(budgets=(Budget("b", NanoUsd(0)),))
    assert names(decide(wanted(), best, THREE, blocking)) == ["large"]
    assert names(decide(wanted(), best, THREE, money(0, model="small"))) == ["large"]
    assert names(decide(wanted(), best, THREE, money(0, model="large"))) == ["middle", "small"]
    two = Model("large", (deployment("large", 10_000_000), deployment("large", 10_000_000, provider="q")))
    spread = catalog(SMALL, MIDDLE, two)
    assert names(decide(wanted(), best, spread, money(0, provider="p")))[0] == "large"  # the other one is not covered


# --- health ---


def test_what_cannot_be_called_now_comes_last() -> None:
    decision = decide(wanted(), by("ordered"), THREE, View(unwell=frozenset(("p/small",))))
    assert (names(decision), decision.reason) == (["middle", "large", "small"], "health")
    two = Model("small", (deployment("small"), deployment("small", provider="q")))
    half = decide(wanted(), by("ordered"), catalog(two, MIDDLE, LARGE), View(unwell=frozenset(("p/small",))))
    assert names(half)[0] == "small"
    everything = frozenset(("p/small", "p/middle", "p/large"))
    assert names(decide(wanted(), by("ordered"), THREE, View(unwell=everything))) == list(ALL)


# --- many ---


def test_candidates_are_all_deployments_in_order() -> None:
    two = Model("small", (deployment("small"), deployment("small", provider="q")))
    decision = decide(wanted(), by("ordered"), catalog(two, MIDDLE, LARGE))
    assert [each.id for each in decision.candidates] == ["p/small", "q/small", "p/middle", "p/large"]
    assert [each.model for each in decision.candidates] == ["small", "small", "middle", "large"]


def test_a_model_comes_once() -> None:
    tiers = (Tier("cheap", ("small",)), Tier("good", ("middle", "small")), Tier("best", ("large", "middle")))
    decision = decide(wanted(), policy(default=("good", "best", "small"), tiers=tiers), THREE)
    assert names(decision) == ["middle", "small", "large"]


def test_an_unnamed_request_is_decided_too() -> None:
    decision = decide(Wanted(NO_FACTS._replace(model="auto")), policy(), THREE)
    assert names(decision) == ["middle"]
