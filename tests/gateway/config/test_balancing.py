"""Strategies, weights and capacities as people write them."""

from __future__ import annotations

import pytest

from gateway.config.snapshot import Snapshot
from gateway.ledger.budgets import Quota, RateLimit
from gateway.ledger.scopes import Scope
from routing.balance import STRATEGIES

from .conftest import Load, Problems

BASE = """\
providers:
  azure: {base_url: http://127.0.0.1:1/v1, dialect: openai}
  sim: {base_url: http://127.0.0.1:2/v1}
"""
PRICE = 'price: {input: "1", output: "2"}'


def group(strategy: str = "weighted", azure: str = "weight: 7", sim: str = "weight: 3") -> str:
    return f"""{BASE}
models:
  gpt:
    strategy: {strategy}
    deployments:
      - {{provider: azure, context_tokens: 8000, {PRICE}, {azure}}}
      - {{provider: sim, context_tokens: 8000, {PRICE}, {sim}}}
"""


def warnings(snapshot: Snapshot) -> list[str]:
    return [line.partition("config.yaml:")[2].partition(": ")[2] for line in snapshot.warnings]


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
def test_a_strategy(load_text: Load, strategy: str) -> None:
    model = load_text(group(strategy, "weight: 2", "weight: 2")).catalog.models["gpt"]
    assert (model.strategy, model.weights) == (strategy, ())  # even
    assert {each.watched for each in model.deployments} == {strategy in ("least_busy", "fastest")}


def test_weights_belong_to_the_model_and_not_to_its_deployments(load_text: Load) -> None:
    text = (
        group()
        + f"""\
  other:
    strategy: least_busy
    deployments:
      - {{provider: azure, model: gpt, context_tokens: 8000, {PRICE}}}
      - {{provider: sim, model: gpt, context_tokens: 8000, {PRICE}, weight: 0}}
"""
    )
    models = load_text(text).catalog.models
    assert models["gpt"].weights == (7, 3)
    assert models["other"].weights == (1, 0)
    for model in models.values():  # where one model looks, all calls count
        assert [(each.id, each.watched) for each in model.deployments] == [("azure/gpt", True), ("sim/gpt", True)]


def test_what_is_not_said_is_ordered_and_free(load_text: Load) -> None:
    snapshot = load_text(f"{BASE}models: {{gpt: {{provider: sim, {PRICE}}}}}")
    model = snapshot.catalog.models["gpt"]
    assert (model.strategy, model.weights, model.deployments[0].watched) == ("ordered", (), False)
    assert snapshot.capacities == ()
    assert snapshot.warnings == ()


def test_a_capacity_is_a_limit_of_its_deployment(load_text: Load) -> None:
    azure = "capacity: {concurrency: 100, requests: 600/min, tokens: {limit: 2_000_000, per: 1m, burst: 5_000}}"
    snapshot = load_text(group("ordered", azure, "timeouts: {total_s: 9}"))
    assert snapshot.capacities == (
        RateLimit(
            "@capacity", Scope("deployment", "azure/gpt"), Quota(600, 60.0, 600), Quota(2_000_000, 60.0, 5_000), 100
        ),
    )


def test_the_short_form_has_one_too(load_text: Load) -> None:
    snapshot = load_text(f"{BASE}models: {{gpt: {{provider: sim, {PRICE}, capacity: {{concurrency: 3}}}}}}")
    assert [(limit.scope.value, limit.concurrency) for limit in snapshot.capacities] == [("sim/gpt", 3)]


def test_scopes_of_deployments(load_text: Load) -> None:
    text = (
        group()
        + f"  sim/*: {{provider: sim, {PRICE}}}\n"
        + """\
budgets:
  one: {scope: "deployment:azure/gpt", limit_usd: "5", window: day}
  each: {scope: "deployment:*", limit_usd: "5", window: day}
limits:
  any: {scope: "deployment:sim/whatever/it:is", requests: 5/s}
"""
    )
    snapshot = load_text(text)
    assert [budget.scope for budget in snapshot.budgets] == [Scope("deployment", "azure/gpt"), Scope("deployment", "*")]
    assert [limit.scope for limit in snapshot.rate_limits] == [Scope("deployment", "sim/whatever/it:is")]


WRONG = [
    (group(azure="weight: 0", sim="weight: 0"), "all of them have `weight: 0`: none would be called"),
    (group(azure="weight: -1"), "should be greater than or equal to 0"),
    (group("fastests"), "should be 'ordered', 'weighted', 'least_busy' or 'fastest'"),
    (group(azure="capacity: {}"), "says nothing: needs `concurrency`, `requests` or `tokens`"),
    (group(azure="capacity: {concurrency: 0}"), "should be greater than or equal to 1"),
    (group(azure="capacity: {rpm: 6}"), "unknown setting 'rpm'"),
    (f"{BASE}models: {{sim/*: {{provider: sim, {PRICE}, capacity: {{concurrency: 3}}}}}}", "a wildcard has none"),
    (
        group() + 'budgets: {b: {scope: "deployment:azur/gpt", limit_usd: "5", window: day}}',
        "did you mean 'azure/gpt'?",
    ),
    (
        group() + 'budgets: {b: {scope: "deployment:azure", limit_usd: "5", window: day}}',
        "`deployment:<provider>/<model>`",
    ),
    (
        group(sim="capacity: {concurrency: 3}")
        + f"  again: {{provider: sim, model: gpt, {PRICE}, capacity: {{concurrency: 4}}}}\n",
        "with another price or other limits; they must agree",
    ),
]


@pytest.mark.parametrize(("text", "words"), WRONG)
def test_what_is_wrong_is_told(problems: Problems, text: str, words: str) -> None:
    assert words in " ".join(problems(text))


def test_what_has_no_effect_is_told(load_text: Load) -> None:
    (one, other) = warnings(load_text(group("ordered")))
    assert "`strategy: ordered`" in one
    assert "`strategy: ordered`" in other
    alone = f"{BASE}models: {{gpt: {{provider: sim, {PRICE}, strategy: fastest}}}}"
    (only,) = warnings(load_text(alone))
    assert "single deployment" in only
    assert warnings(load_text(group("least_busy"))) == []
    assert warnings(load_text(group("fastest", sim="weight: 0", azure="max_output_tokens: 9"))) == []


def test_a_group_whose_windows_are_not_known_is_told_of(load_text: Load) -> None:
    """What cannot be told to be too long for a deployment is sent there."""
    (only,) = warnings(load_text(group("ordered", "weight: 1", "weight: 1").replace("context_tokens: 8000, ", "", 1)))
    assert only == (
        "models.gpt.deployments: it is not known how much azure/gpt can take, so requests of any length go there: give "
        "it `context_tokens`"
    )
    assert warnings(load_text(f"{BASE}models: {{gpt: {{provider: sim, {PRICE}}}}}")) == []
