"""What a case can say of a request, and expect of its route."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.config.loader import load
from gateway.config.models.cases import Case, CaseRequest, Expectation
from gateway.config.snapshot import Snapshot
from gateway.pricing.table import PriceTable
from gateway.reports.cases import Difference, run_case
from routing.money import parse_usd
from routing.rules import Facts

NOW_S = 1_800_000_000.0
Decided = Callable[..., list[Difference]]
CONFIG = """\
providers: {p: {base_url: "http://127.0.0.1:1/v1"}}
models:
  small: {provider: p, context_tokens: 8000, price: {input: "1", output: "1"}}
  middle: {provider: p, price: {input: "3", output: "3"}}
  large: {provider: p, price: {input: "9", output: "9"}}
teams: {research: {}}
agents: {dev: {team: research}, narrow: {allowed_models: [small]}}
"""
POLICY = """\
name: default
tiers: {weak: [small, middle], strong: [large]}
rules: []
"""
CONDITIONS = {
    "agent": 'agent == "dev"',
    "team": 'team == "research"',
    "org": 'org == "default"',
    "tags": 'tags.a == "b"',
    "model": 'model == "auto"',
    "value_usd": "value_usd == 5.0",
    "priority": 'priority == "high"',
    "complexity": "complexity == 0.5",
    "input_tokens": "input_tokens == 7",
    "max_output_tokens": "max_output_tokens == 8",
    "tools": "tools == 2",
    "images": "images == 3",
    "stream": "stream",
    "json_schema": "json_schema",
    "session_turns": "session_turns == 9",
    "run_cost_usd": "run.cost_usd == 1.5",
    "run_steps": "run.steps == 4",
    "run_depth": "run.depth == 1",
    "budget_remaining_ratio": "budget.remaining_ratio == 0.25",
    "budget_burn_ratio": "budget.burn_ratio == 1.25",
    "hour": "hour == 23",
    "weekday": "weekday == 7",
}
REQUEST: dict[str, Any] = {
    "tags": {"a": "b"},
    "value_usd": 5,
    "priority": "high",
    "complexity": 0.5,
    "input_tokens": 7,
    "max_output_tokens": 8,
    "tools": 2,
    "images": 3,
    "stream": True,
    "json_schema": True,
    "session_turns": 9,
    "run": {"cost_usd": 1.5, "steps": 4, "depth": 1},
    "budget": {"remaining_ratio": 0.25, "burn_ratio": 1.25},
    "hour": 23,
    "weekday": 7,
}


def loaded(folder: Path, table: PriceTable, rules: str) -> Snapshot:
    """A configuration with a policy of these rules."""
    (folder / "config.yaml").write_text(CONFIG)
    (folder / "policies").mkdir(exist_ok=True)
    (folder / "policies/default.yaml").write_text(POLICY.replace("[]", rules))
    return load(folder / "config.yaml", {}, table=lambda folder: table)


def case(request: dict[str, Any], **expect: Any) -> Case:
    asked = CaseRequest.model_validate({"agent": "dev", **request})
    return Case(name="c", request=asked, expect=Expectation.model_validate(expect))


@pytest.fixture
def decided(tmp_path: Path, table: PriceTable) -> Decided:
    """The differences of a case, by a policy of these rules."""

    def run(rules: str, request: dict[str, Any], **expect: Any) -> list[Difference]:
        snapshot, asked = loaded(tmp_path, table, rules), case(request, **expect)
        policy = snapshot.agent_policies[asked.request.agent]
        return list(run_case(asked, policy, snapshot, NOW_S).differences)

    return run


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> PriceTable:
    return PriceTable.load(tmp_path_factory.mktemp("prices"))


def test_a_case_can_set_every_fact(decided: Decided) -> None:
    assert set(CONDITIONS) == set(Facts._fields)
    condition = " && ".join(CONDITIONS.values())

    assert decided(f"[{{name: r, when: '{condition}', use: weak}}]", REQUEST, rule="r") == []


@pytest.mark.parametrize("fact", sorted(set(REQUEST) - {"run", "budget"}))
def test_a_fact_that_is_left_out_has_another_value(decided: Decided, fact: str) -> None:
    request = {key: value for key, value in REQUEST.items() if key != fact}

    assert decided(f"[{{name: r, when: '{CONDITIONS[fact]}', use: weak}}]", request, rule="default") == []


@pytest.mark.parametrize(
    ("rules", "asked", "expect"),
    [
        (
            "[]",
            {},
            {"model": "large", "models": ["large"], "rule": "default", "tier": "strong", "reason": "first"},
        ),
        ("[]", {"model": "middle"}, {"model": "middle", "rule": "asked"}),
        ("[]", {"model": "gone"}, {"refused": "unknown_model"}),
        ("[]", {"agent": "narrow"}, {"model": "small", "rule": "default"}),
        ("[{name: r, use: weak}]", {}, {"models": ["small", "middle"]}),
        ("[{name: r, use: weak}]", {"unwell": ["small"]}, {"models": ["middle", "small"], "reason": "health"}),
        ("[{name: r, use: weak}]", {"unwell": ["p/small"]}, {"model": "middle"}),
        ("[{name: r, use: weak}]", {"input_tokens": 9000}, {"models": ["middle"], "excluded": {"small": "context"}}),
        ("[{name: r, use: small, shadow: true}]", {}, {"shadows": {"r": "small"}, "model": "large"}),
        ("[{name: r, when: tags.a != 'b', use: weak}]", {}, {"failed": ["r"], "rule": "default"}),
        ("[{name: r, use: weak, verify: [empty]}]", {}, {"verify": True}),
        (
            "[{name: r, use: weak, strategy: fastest}]",
            {"latency_s": {"p/small": 3, "p/middle": 1}},
            {"model": "middle"},
        ),
        ("[{name: r, use: weak, strategy: cheapest}]", {}, {"model": "small", "strategy": "cheapest"}),
        ("[{name: r, use: {small: 1, large: 1}, strategy: weighted}]", {"draw": 0.9}, {"model": "large"}),
        (
            "[{name: r, use: [small, large], strategy: value}]",
            {"value_usd": 100, "quality": {"small": 0.5, "large": 0.9}},
            {"model": "large"},
        ),
        (
            "[{name: r, use: [small, large], strategy: value}]",
            {"value_usd": 0.0001, "quality": {"small": 0.5, "large": 0.9}},
            {"model": "small"},
        ),
        (
            "[]",
            {"budget": {"id": "day", "left_usd": "0.002", "downgrade": True}},
            {"model": "small", "reason": "budget day"},
        ),
        (
            "[{name: r, when: session_turns > 3, use: strong}, {name: s, use: weak}]",
            {"session": {"model": "middle", "tier": "weak", "called_tools": True}, "in_tool_loop": True},
            {"model": "middle"},
        ),
    ],
)
def test_what_a_case_can_set_and_expect(decided: Decided, rules: str, asked: dict[str, Any], expect: Any) -> None:
    assert decided(rules, asked, **expect) == []


@pytest.mark.parametrize(
    ("asked", "rule"),
    [({}, "two"), ({"value_usd": 0.5}, "default"), ({"value_usd": 2}, "two"), ({"value_usd": 50}, "ten")],
)
def test_an_agents_own_value_counts_and_its_cap_holds(
    tmp_path: Path, table: PriceTable, asked: dict[str, Any], rule: str
) -> None:
    snapshot = loaded(
        tmp_path,
        table,
        "[{name: ten, when: value_usd == 10.0, use: weak}, {name: two, when: value_usd == 2.0, use: weak}]",
    )
    dev = replace(snapshot.agents["dev"], value=parse_usd("2"), max_value=parse_usd("10"))

    outcome = run_case(
        case(asked, rule=rule), snapshot.agent_policies["dev"], replace(snapshot, agents={"dev": dev}), NOW_S
    )

    assert outcome.differences == ()


def test_an_agents_residency_holds(tmp_path: Path, table: PriceTable) -> None:
    snapshot = loaded(tmp_path, table, "[]")
    dev = replace(snapshot.agents["dev"], residency=frozenset(("eu",)))

    outcome = run_case(
        case({}, refused="residency"), snapshot.agent_policies["dev"], replace(snapshot, agents={"dev": dev}), NOW_S
    )

    assert outcome.differences == ()


def test_only_what_is_expected_is_compared(decided: Decided) -> None:
    assert decided("[]", {}, model="small", verify=True, shadows={"r": "small"}, refused="context") == [
        Difference("model", "small", "large"),
        Difference("verify", "yes", "no"),
        Difference("shadows", "r: small", "none"),
        Difference("refused", "context", "none"),
    ]
