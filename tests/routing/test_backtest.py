"""Backtests: what they add up to, and what they must not invent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.backtest import (
    CANDIDATE,
    CHEAPEST,
    RANDOM,
    STRONGEST,
    TODAY,
    WORLDS,
    AgentRules,
    Backtest,
    Report,
    Setting,
)
from routing.caps import Cap, Moment
from routing.lengths import ENOUGH, Lengths
from routing.money import NanoUsd, Usage
from routing.recorded import Recorded
from routing.rules import CompiledPolicy, Rule
from tests.routing.recordings import START_S, paid, recorded, recordings
from tests.routing.world import THREE, When, policy


def day_cap(limit: int, **fields: Any) -> Cap:
    return Cap("day", NanoUsd(limit), lambda _row, _model, _provider: ("",), lambda _s: Moment("w", 0.5), **fields)


def run(rows: Iterable[Recorded], by: CompiledPolicy | None, **fields: Any) -> Report:
    agents = dict.fromkeys(("tester", "writer"), AgentRules(by))
    backtest = Backtest(Setting(THREE, agents, **{"lengths": Lengths(rows), "draws": 3, **fields}))
    for row in rows:
        backtest.add(row)
    return backtest.report()


POLICIES = (
    policy(default="cheap"),
    policy(default="best"),
    policy(Rule("hard", When(lambda facts: facts.complexity > 0.4, frozenset(("complexity",))), ("best",))),
    policy(Rule("rich", When(lambda facts: facts.budget_remaining_ratio > 0.5), ("best", "cheap")), default="cheap"),
    policy(Rule("drawn", None, ("cheap", "good", "best"), "weighted", (1, 2, 3))),
    policy(default=Rule("default", None, ("cheap", "good", "best"), "cheapest")),
)


@given(recordings(), st.sampled_from(POLICIES), st.none() | st.integers(0, 10**9))
def test_totals_are_the_sums_of_the_rows(rows: list[Recorded], by: CompiledPolicy, limit: int | None) -> None:
    caps = () if limit is None else (day_cap(limit),)
    backtest = Backtest(
        Setting(THREE, {"tester": AgentRules(by), "writer": AgentRules(by)}, caps, Lengths(rows), draws=3)
    )
    placed = [backtest.add(row) for row in rows]
    report = backtest.report()
    for name in WORLDS:
        world = report.world(name)
        assert world.cost == sum(each[name].cost for each in placed)
        assert world.answered == sum(bool(each[name].model) for each in placed)
    assert report.world(TODAY).cost == sum(row.cost for row in rows)
    assert sum(agent.today for agent in report.agents) == report.world(TODAY).cost
    assert sum(agent.candidate for agent in report.agents) == report.world(CANDIDATE).cost
    assert sum(agent.requests for agent in report.agents) == report.requests == len(rows)
    assert sum(report.rules.values()) == report.routed


@given(recordings(models=("middle",)), st.none() | st.integers(0, 10**8))
def test_a_policy_like_todays_changes_nothing(rows: list[Recorded], limit: int | None) -> None:
    report = run(rows, policy(default="good"), caps=() if limit is None else (day_cap(limit),))
    assert report.world(CANDIDATE)[1:] == report.world(TODAY)[1:]
    assert report.increase == 0
    assert not any(agent.moved or agent.denied for agent in report.agents)
    assert report.lengths == ()


@given(recordings(), st.sampled_from(POLICIES))
def test_what_no_policy_routes_stays_as_it_was(rows: list[Recorded], by: CompiledPolicy) -> None:
    concrete = [row._replace(profile=row.profile._replace(model="middle")) for row in rows]
    report = run(concrete, by)
    assert report.routed == 0
    assert {world.cost for world in report.worlds} == {sum(row.cost for row in rows)}
    assert run(rows, None).routed == 0


@given(recordings(), st.sampled_from(POLICIES))
def test_the_same_rows_give_the_same_report(rows: list[Recorded], by: CompiledPolicy) -> None:
    assert run(rows, by) == run(rows, by)


def test_the_worlds_beside_it() -> None:
    rows = [recorded(number) for number in range(60)]
    report = run(rows, policy(default="cheap"))
    usage = Usage(1_000, 200)
    assert report.world(CHEAPEST).cost == report.world(CANDIDATE).cost == 60 * paid("small", usage)
    assert report.world(STRONGEST).cost == 60 * paid("large", usage)
    assert set(report.world(RANDOM).models) == {"small", "middle", "large"}
    assert report.world(CHEAPEST).cost < report.world(RANDOM).cost < report.world(STRONGEST).cost
    assert report.increase == pytest.approx(-0.9)
    (line,) = report.lengths
    assert line == ("small", 60, 0, 60 * 200, 60 * 200)


def test_everything_can_count_as_having_asked_for_the_policys_name() -> None:
    rows = [recorded(1, model="large", profile=recorded(1).profile._replace(model="large"))]
    assert run(rows, policy(default="cheap")).routed == 0
    assert run(rows, policy(default="cheap"), asked_as="auto").world(CANDIDATE).models == {"small": 1}


def test_lengths_are_learned_where_both_models_answered() -> None:
    rows = [recorded(number, "middle", usage=Usage(1_000, 200)) for number in range(ENOUGH)]
    rows += [recorded(100 + number, "small", usage=Usage(1_000, 300)) for number in range(ENOUGH)]
    report = run(rows, policy(default="cheap"))
    expected = ENOUGH * 2 * paid("small", Usage(1_000, 300))
    assert report.world(CANDIDATE).cost == expected
    assert report.lengths == (("small", ENOUGH, ENOUGH, ENOUGH * 200, ENOUGH * 300),)


def test_a_switch_within_a_conversation_pays_for_the_prompt_cache() -> None:
    cached = Usage(1_000, 200, 900)
    turns = [recorded(number, "middle", usage=cached, session="tester/s", messages=number) for number in (1, 3)]
    rises = policy(Rule("later", When(lambda facts: facts.session_turns > 2), ("best",)))
    report = run(turns, rises)
    assert report.world(CANDIDATE).cost == paid("middle", cached) + paid("large", Usage(1_000, 200))
    assert run(turns, policy(default="best")).world(CANDIDATE).cost == 2 * paid("large", cached)


def test_what_failed_on_the_way_is_paid_all_the_same() -> None:
    row = recorded(1, other_cost=NanoUsd(77), cost=NanoUsd(paid("middle", Usage(1_000, 200)) + 77))
    assert run([row], policy(default="cheap")).world(CANDIDATE).cost == paid("small", Usage(1_000, 200)) + 77


def test_a_dearer_policy_is_refused_by_the_budget() -> None:
    rows = [recorded(number) for number in range(10)]
    dear = paid("large", Usage(1_000, 200))
    report = run(rows, policy(default="best"), caps=(day_cap(3 * dear),))
    candidate = report.world(CANDIDATE)
    assert (candidate.cost, candidate.answered, candidate.denied) == (3 * dear, 3, 7)
    assert report.agents[0].denied == 7
    assert report.world(TODAY).denied == 0


def test_what_was_saved_lets_in_what_was_refused() -> None:
    rows = [recorded(number) for number in range(10)]
    refused = recorded(20, "", outcome="refused", error_code="budget_exceeded", usage=Usage())
    limit = 10 * paid("middle", Usage(1_000, 200))
    report = run([*rows, refused], policy(default="cheap"), caps=(day_cap(limit),))
    assert (report.world(TODAY).denied, report.world(CANDIDATE).denied) == (1, 0)
    assert report.world(CANDIDATE).answered == 11


def test_a_budget_that_downgrades_keeps_to_its_limit() -> None:
    rows = [recorded(number, max_output_tokens=200) for number in range(20)]
    limit = 4 * paid("large", Usage(1_000, 200)) + 16 * paid("middle", Usage(1_000, 200))
    by = policy(default=Rule("default", None, ("best", "cheap")))
    report = run(rows, by, caps=(day_cap(limit, downgrade=True),))
    candidate, blocked = report.world(CANDIDATE), run(rows, by, caps=(day_cap(limit),)).world(CANDIDATE)
    assert blocked.models == {"large": 5}
    assert set(candidate.models) == {"large", "middle"}
    assert candidate.denied < blocked.denied
    assert candidate.cost <= limit


def test_gates_leave_nothing() -> None:
    backtest = Backtest(Setting(THREE, {"tester": AgentRules(policy(), allowed=(frozenset(("nothing",)),))}))
    placed = backtest.add(recorded())
    assert placed[CANDIDATE] == ("", 0, "gates", 0, False)
    assert backtest.report().world(CANDIDATE).unroutable == 1


def test_complexity_that_was_not_recorded_is_counted() -> None:
    by = policy(Rule("hard", When(lambda facts: facts.complexity > 0.7, frozenset(("complexity",))), ("best",)))
    report = run([recorded(1), recorded(2, complexity=0.9)], by)
    assert report.guessed_complexity == 1
    assert report.world(CANDIDATE).models == {"middle": 1, "large": 1}


def test_nothing_recorded() -> None:
    report = run([], policy())
    assert (report.requests, report.increase, report.since_s, report.until_s) == (0, 0, 0, 0)


def test_times_are_those_of_the_rows() -> None:
    report = run([recorded(5), recorded(9)], policy())
    assert (report.since_s, report.until_s) == (START_S + 5, START_S + 9)
