"""Decisions of policies as Prometheus sees them."""

from __future__ import annotations

from typing import Any

from gateway.telemetry.events import Choice
from gateway.telemetry.metrics import Known, Metrics
from routing.decision import Shadow
from routing.money import NanoUsd
from routing.rules import Arm, CompiledPolicy, Rule, Tier
from tests.gateway.telemetry.samples import finished
from tests.gateway.telemetry.test_metrics import NOBODY, at, scrape

TRIAL = Rule("trial", None, (), arms=(Arm("a", 50, ("cheap",)), Arm("b", 50, ("best",))))
POLICY = CompiledPolicy(
    "main",
    (Tier("cheap", ("small",)), Tier("best", ("large",))),
    (TRIAL, Rule("shade", None, ("best",), shadow=True)),
    Rule("default", None, ("cheap",)),
    frozenset(("auto",)),
    {},
    {},
)


def metrics(cap: int = 500) -> Metrics:
    made = Metrics(version="9.9")
    made.set_known(Known(models=("small",), policies=(POLICY,)), max_label_values=cap)
    return made


def decided(**changes: Any) -> Choice:
    return Choice("main", "default", "first", model="small", tier="cheap")._replace(**changes)


async def test_decisions_by_policy_rule_and_tier() -> None:
    samples = await scrape(
        metrics(),
        finished(choice=decided()),
        finished(choice=decided(downgraded="loop", rule="downgraded")),
        *(finished(choice=decided(rule=f"made-up-{number}")) for number in range(3)),
        finished(),
    )
    assert at(samples, "decisions_total", policy="main", rule="default", tier="cheap", downgraded="") == 1
    assert at(samples, "decisions_total", policy="main", rule="downgraded", tier="cheap", downgraded="loop") == 1
    assert at(samples, "decisions_total", policy="main", rule="_other", tier="cheap", downgraded="") == 3


async def test_arms_shadows_and_conditions_that_failed() -> None:
    shadows = (Shadow("shade", "large"), Shadow("shade", "small"), Shadow("shade", ""))
    choice = decided(arm="trial/a", shadows=shadows, failed=("trial",))
    samples = await scrape(metrics(), finished(choice=choice))
    assert at(samples, "experiments_total", policy="main", arm="trial/a") == 1
    for would in ("same", "different", "nothing"):
        assert at(samples, "shadow_decisions_total", policy="main", rule="shade", would=would) == 1
    assert at(samples, "failed_conditions_total", policy="main", rule="trial") == 1


async def test_what_others_would_have_cost_for_answers_only() -> None:
    strong = decided(strongest_paid_nano_usd=NanoUsd(5_000))
    asked = strong._replace(asked_paid_nano_usd=NanoUsd(4_000))
    samples = await scrape(
        metrics(),
        finished(choice=strong),
        finished(choice=asked),
        finished(choice=strong, outcome="upstream_error"),
    )
    assert at(samples, "routed_cost_usd_total", **NOBODY, policy="main", asked="policy") == 1.5e-6
    assert at(samples, "routed_strongest_cost_usd_total", **NOBODY, policy="main", asked="policy") == 5e-6
    assert at(samples, "routed_cost_usd_total", **NOBODY, policy="main", asked="model") == 1.5e-6
    assert at(samples, "routed_asked_cost_usd_total", **NOBODY, policy="main") == 4e-6


async def test_a_policy_that_is_gone_gives_up_its_place() -> None:
    made = metrics(cap=1)
    await scrape(made, finished(choice=decided()))
    made.set_known(Known())
    other = CompiledPolicy("other", (), (), Rule("default", None, ("small",)), frozenset(), {}, {})
    made.set_known(Known(policies=(other,)))
    samples = await scrape(made, finished(choice=decided(policy="other")))
    places = {"rule": "default", "tier": "cheap", "downgraded": ""}
    assert at(samples, "decisions_total", policy="main", **places) is None
    assert at(samples, "decisions_total", policy="other", **places) == 1
