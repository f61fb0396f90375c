"""Which counters an attempt counts in."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gateway.admission.claims import LabelMissing, Rulebook
from gateway.config.snapshot import Agent
from gateway.guard.settings import LoopRule, VelocityRule
from gateway.ledger.budgets import Budget, Quota, RateLimit, RunLimits
from gateway.ledger.claiming import carve_id
from gateway.ledger.operations import Claim, Run, Unit
from gateway.ledger.scopes import SHARED, Labels, Scope
from gateway.ledger.windows import Window
from routing.catalog import Deployment
from routing.money import NANO_PER_USD, NanoUsd
from tests.gateway.snapshots import snapshot_of

NOW_S = 1_796_000_000.0  # in November 2026
USD = NANO_PER_USD
AGENT = Agent("researcher", "research", "acme")
LABELS = Labels("acme", "research", "researcher", "gpt", "openai")
MONTH = Window("month")


def budget(name: str, scope: Scope, **changes: Any) -> Budget:
    return Budget(name, scope, NanoUsd(5 * USD), **{"window": MONTH, **changes})


def rulebook(
    *budgets: Budget, limits: tuple[RateLimit, ...] = (), agent: Agent = AGENT, capacities: tuple[RateLimit, ...] = ()
) -> Rulebook:
    return Rulebook(
        snapshot_of(
            agents={agent.id: agent},
            budgets=budgets,
            rate_limits=limits,
            capacities=capacities,
            limits_version=7,
        )
    )


def run(name: str, *ancestors: str, **changes: Any) -> Run:
    path = (f"researcher/{name}", *(f"researcher/{ancestor}" for ancestor in ancestors))
    written = {"limits": RunLimits(), "opened_at_s": NOW_S, "closes_at_s": NOW_S + 60, **changes}
    return Run(path[0], path, "acme", "researcher", **written)


def claims(rules: Rulebook, labels: Labels = LABELS, runs: tuple[Run, ...] = (), agent: Agent = AGENT) -> list[Claim]:
    labels = labels._replace(runs=tuple(found.id for found in runs))
    return list(rules.coverage(agent, labels, runs, metered=True, now_s=NOW_S).claims)


def keys(rules: Rulebook, labels: Labels = LABELS, runs: tuple[Run, ...] = ()) -> list[str]:
    return [claim.key for claim in claims(rules, labels, runs)]


EACH_SCOPE = (
    budget("all", Scope("global")),
    budget("org", Scope("org", "acme")),
    budget("team", Scope("team", "*")),
    budget("agent", Scope("agent", "researcher")),
    budget("model", Scope("model", "gpt")),
    budget("provider", Scope("provider", "*")),
    budget("user", Scope("user", "*")),
    budget("tag", Scope("tag", "search", "feature")),
    budget("run", Scope("run", "*")),
)


def test_every_kind_of_scope() -> None:
    labels = LABELS._replace(user="ann", tags=(("feature", "search"), ("plan", "pro")))
    assert keys(rulebook(*EACH_SCOPE), labels, (run("child", "root"), run("root"))) == [
        "b|all||2026-11",
        "b|org|acme|2026-11",
        "b|team|research|2026-11",
        "b|agent|researcher|2026-11",
        "b|model|gpt|2026-11",
        "b|provider|openai|2026-11",
        "b|user|ann|2026-11",
        "b|tag|search|2026-11",
        "b|run|researcher/child|2026-11",
        "b|run|researcher/root|2026-11",
    ]


def test_other_peoples_budgets_do_not_count() -> None:
    rules = rulebook(budget("org", Scope("org", "elsewhere")), budget("user", Scope("user", "bob")))
    assert keys(rules, LABELS._replace(user="ann")) == []


def test_a_claim_says_all_that_a_store_needs() -> None:
    (found,) = claims(rulebook(budget("all", Scope("agent", "*"), enforce=False, reserve="calibrated")))
    assert found.unit is Unit.MONEY
    assert (found.limit, found.version, found.scope) == (5 * USD, 7, "agent:researcher")
    assert (found.enforced, found.calibrated, found.bucket_s) == (False, True, 0)
    assert found.start_s <= NOW_S < found.end_s


def test_reserve_is_the_budgets_then_the_agents_and_needs_a_stream_that_can_be_counted() -> None:
    rules = rulebook(budget("own", Scope("global"), reserve="strict"), budget("agents", Scope("global")))
    calibrated = replace(AGENT, reserve="calibrated")
    assert [claim.calibrated for claim in claims(rules, agent=calibrated)] == [False, True]
    plain = rules.coverage(calibrated, LABELS, (), metered=False, now_s=NOW_S)
    assert not plain.calibrated
    assert not any(claim.calibrated for claim in plain.claims)


def test_windows_move_on() -> None:
    rules = rulebook(budget("all", Scope("global"), window=Window("hour")))
    first = rules.coverage(AGENT, LABELS, (), metered=False, now_s=NOW_S)
    assert rules.coverage(AGENT, LABELS, (), metered=False, now_s=NOW_S).claims is first.claims
    later = rules.coverage(AGENT, LABELS, (), metered=False, now_s=first.until_s)
    assert later.claims != first.claims
    assert later.claims[0].start_s == first.until_s


def test_a_label_that_is_needed_and_missing() -> None:
    with pytest.raises(LabelMissing) as missing:
        keys(rulebook(budget("user", Scope("user", "*"))))
    assert missing.value.label == "user"
    with pytest.raises(LabelMissing) as missing:
        keys(rulebook(budget("tag", Scope("tag", "*", "feature"))))
    assert missing.value.label == "tag:feature"
    assert keys(rulebook(budget("user", Scope("user", "*"), when_missing="shared"))) == [f"b|user|{SHARED}|2026-11"]
    assert keys(rulebook(budget("user", Scope("user", "*"), enforce=False))) == []


def test_rates_and_requests_at_a_time() -> None:
    limit = RateLimit("fair", Scope("agent", "*"), Quota(60, 60.0, 10), Quota(1000, 60.0, 1000), 4)
    found = rulebook(limits=(limit,)).coverage(AGENT, LABELS, (), metered=False, now_s=NOW_S)
    assert [(claim.key, claim.unit, claim.limit) for claim in found.claims] == [("c|fair|researcher", Unit.SLOTS, 4)]
    assert [(rate.key, rate.unit, rate.burst) for rate in found.rates] == [
        ("g|fair|researcher|requests", Unit.REQUESTS, 10),
        ("g|fair|researcher|tokens", Unit.TOKENS, 1000),
    ]


def test_rates_of_what_the_request_names_are_counted_for_it() -> None:
    """Users, tags and runs: known with the request only."""
    limits = (
        RateLimit("people", Scope("user", "*"), Quota(60, 60.0, 10)),
        RateLimit("runs", Scope("run", "*"), None, None, 4),
    )
    rules = rulebook(limits=limits)
    found = rules.coverage(
        AGENT, LABELS._replace(user="ann", runs=("researcher/root",)), (run("root"),), metered=False, now_s=NOW_S
    )
    assert [claim.key for claim in found.claims] == ["c|runs|researcher/root"]
    assert [rate.key for rate in found.rates] == ["g|people|ann|requests"]
    assert rules.coverage(AGENT, LABELS, (), metered=False, now_s=NOW_S)[:2] == ((), ()), "nobody's are not counted"


def test_a_runs_limits_hold_for_its_sub_runs() -> None:
    root = run("root", limits=RunLimits(cost=NanoUsd(USD), requests=10, tokens=1000))
    assert keys(rulebook(), runs=(run("child", "root", limits=RunLimits(requests=3)), root)) == [
        "r|researcher/child|requests",
        "r|researcher/root|cost",
        "r|researcher/root|requests",
        "r|researcher/root|tokens",
    ]


def test_a_carved_run_spends_its_carve_and_not_its_parents_scopes_again() -> None:
    carved = run("carved", "root", carve=NanoUsd(USD))
    root = run("root", limits=RunLimits(cost=NanoUsd(USD), requests=9))
    labels = LABELS._replace(user="ann", tags=(("feature", "search"),))
    assert keys(rulebook(*EACH_SCOPE), labels, (run("child", "carved", "root"), carved, root)) == [
        "b|model|gpt|2026-11",
        "b|provider|openai|2026-11",
        "b|user|ann|2026-11",
        "b|tag|search|2026-11",
        "b|run|researcher/child|2026-11",
        "b|run|researcher/carved|2026-11",
        "r|researcher/root|requests",
        "k|researcher/carved",
    ]


def test_what_a_carve_is_reserved_in() -> None:
    rules = rulebook(*EACH_SCOPE)
    root = run("root", limits=RunLimits(cost=NanoUsd(USD)))
    found, via = rules.carve_claims(AGENT, (root,), NOW_S)
    assert via is None
    assert [claim.key for claim in found] == [
        "b|all||2026-11",
        "b|org|acme|2026-11",
        "b|team|research|2026-11",
        "b|agent|researcher|2026-11",
        "b|run|researcher/root|2026-11",
        "r|researcher/root|cost",
    ]
    carved = run("carved", "root", carve=NanoUsd(USD))
    found, via = rules.carve_claims(AGENT, (run("child", "carved", "root"), carved, root), NOW_S)
    assert via == carve_id("researcher/carved")
    assert [claim.key for claim in found] == [
        "b|run|researcher/child|2026-11",
        "b|run|researcher/carved|2026-11",
        "k|researcher/carved",
    ]


def test_velocity_is_a_rolling_claim_of_the_run() -> None:
    agent = replace(AGENT, velocity=VelocityRule(NanoUsd(USD), 90, "block"))
    (found,) = claims(rulebook(), runs=(run("r1"),), agent=agent)
    assert (found.key, found.bucket_s, found.enforced) == ("v|researcher|researcher/r1|rolling:90", 2, True)
    assert found.version == 7, "another limit in the configuration holds at once"
    observed = replace(AGENT, velocity=VelocityRule(NanoUsd(USD), 60, "warn"))
    assert not claims(rulebook(), runs=(run("r1"),), agent=observed)[0].enforced


def test_runs_are_only_followed_where_something_depends_on_them() -> None:
    assert not rulebook(budget("all", Scope("global"))).follows_runs(AGENT)
    assert rulebook(budget("run", Scope("run", "*"))).follows_runs(AGENT)
    for changes in (
        {"require_run": True},
        {"run_limits": RunLimits(depth=0)},
        {"loops": LoopRule("block")},
        {"velocity": VelocityRule(NanoUsd(1))},
    ):
        assert rulebook().follows_runs(replace(AGENT, **changes)), changes  # type: ignore[arg-type]


def test_an_agent_is_ungoverned_without_budgets_rates_and_rules_on_runs() -> None:
    requests = RateLimit("requests", Scope("global"), requests=Quota(5, 60.0, 5))
    assert AGENT.id in rulebook().ungoverned
    assert AGENT.id not in rulebook(budget("all", Scope("global"))).ungoverned
    assert AGENT.id not in rulebook(limits=(requests,)).ungoverned
    for changes in ({"require_run": True}, {"velocity": VelocityRule(NanoUsd(1))}):
        assert AGENT.id not in rulebook(agent=replace(AGENT, **changes)).ungoverned, changes  # type: ignore[arg-type]


# --- deployments ---

AZURE = LABELS._replace(provider="azure", deployment="azure/gpt")
OTHER = AZURE._replace(deployment="azure/other")


def capacity(deployment: str, concurrency: int = 10) -> RateLimit:
    return RateLimit("@capacity", Scope("deployment", deployment), Quota(600, 60.0, 600), None, concurrency)


def test_a_scope_of_deployments_is_worked_out_for_each() -> None:
    rules = rulebook(budget("one", Scope("deployment", "azure/gpt")), budget("each", Scope("deployment", "*")))
    for _ in range(2):  # the second time from what was kept
        assert [key.split("|")[1:3] for key in keys(rules, AZURE)] == [["one", "azure/gpt"], ["each", "azure/gpt"]]
        assert [key.split("|")[1:3] for key in keys(rules, OTHER)] == [["each", "azure/other"]]


def test_what_a_deployment_can_take_is_counted_with_all_else() -> None:
    rules = rulebook(capacities=(capacity("azure/gpt"),))
    covered = rules.coverage(AGENT, AZURE, (), metered=False, now_s=NOW_S)
    assert covered.claims == (Claim("c|@capacity|azure/gpt", Unit.SLOTS, 10, 7, "deployment:azure/gpt"),)
    assert [(rate.key, rate.limit) for rate in covered.rates] == [("g|@capacity|azure/gpt|requests", 600)]
    assert rules.coverage(AGENT, OTHER, (), metered=False, now_s=NOW_S)[:2] == ((), ())


def test_a_capacity_governs_its_own_deployment_only() -> None:
    rules = rulebook(capacities=(capacity("azure/gpt"),))
    azure, other = (Deployment(name, "azure", "m", None) for name in ("azure/gpt", "azure/other"))
    assert rules.ungoverned == {"researcher"}
    assert rules.has_capacity((other, azure))
    assert not rules.has_capacity((other,))
    assert not rulebook().has_capacity((azure,))


def test_what_depends_on_no_request_is_known_the_second_time_until_its_window_ends() -> None:
    rules = rulebook(budget("all", Scope("global"), window=Window("hour")))
    first = rules.coverage(AGENT, LABELS, (), metered=False, now_s=NOW_S)
    where = Deployment(LABELS.deployment, LABELS.provider, "m", None, model=LABELS.model)
    assert rules.usual(AGENT, where, metered=False, now_s=NOW_S) is first
    assert rules.usual(AGENT, where, metered=True, now_s=NOW_S) is None
    assert rules.usual(AGENT, where, metered=False, now_s=first.until_s) is None
    by_user = rulebook(budget("u", Scope("user", "*")))
    by_user.coverage(AGENT, LABELS._replace(user="ann"), (), metered=False, now_s=NOW_S)
    assert by_user.usual(AGENT, where, metered=False, now_s=NOW_S) is None, "it counts in another counter for bob"
