"""Decisions in words."""

from __future__ import annotations

from routing.decision import View
from routing.explain import explain
from routing.router import decide
from routing.rules import Arm, Rule
from tests.routing.world import LARGE, MIDDLE, THREE, When, catalog, model, policy, wanted


def test_a_decision_with_all_that_led_to_it() -> None:
    rules = policy(
        Rule("broken", When(lambda _facts: None), ("best",)),
        Rule("blind", None, ("small",)),
        Rule("dearer", None, ("best",), shadow=True),
        Rule("worth", None, ("cheap", "good", "best"), "value"),
    )
    view = View(
        quality=lambda name, _tier: {"middle": 0.8, "large": 0.9}[name], money_price=2.5, complexity=lambda: 0.4
    )
    models = catalog(model("small", vision=False), MIDDLE, LARGE)
    assert explain(decide(wanted(images=1, value_usd=0.1), rules, models, view)) == [
        "policy      test",
        "failed      rule broken: its condition failed at run time, which is no match",
        "skipped     rule blind: matched, but the gates leave nothing of it",
        "shadow      rule dearer would have chosen large, 0.026 USD",
        "rule        worth (value)",
        "complexity  0.40",
        "lambda      a dollar of the budget is worth 2.50 now",
        "candidate   middle (good): expected cost 0.0026 USD, right with 80%, score 0.0735",
        "candidate   large (best): expected cost 0.026 USD, right with 90%, score 0.025",
        "excluded    small (cheap): vision",
        "result      middle: value",
        "strongest   large would cost 0.026 USD instead of 0.0026",
    ]


def test_an_experiment_and_its_chance() -> None:
    rules = policy(Rule("trial", None, (), arms=(Arm("old", 25, ("best",)), Arm("new", 75, ("best",)))))
    lines = explain(decide(wanted(run="r"), rules, THREE))
    assert lines[1].startswith("rule        trial (ordered), arm trial/")
    assert lines[-1] in [f"result      large: first, with a probability of {share}" for share in ("0.25", "0.75")]


def test_a_decision_without_a_candidate() -> None:
    blind = catalog(model("small", vision=False))
    lines = explain(decide(wanted(images=1), policy(default="cheap"), blind))
    assert lines[-1] == "result      nothing: vision"
    assert "excluded    small: vision" in lines
    assert explain(decide(wanted(model="small"), None, blind)) == [
        "rule        asked (ordered)",
        "result      small: as asked",
    ]
