"""Whatever the policy, the request and the view: gates hold, decisions repeat, nothing is empty without a reason."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from routing.catalog import Catalog, Deployment, Model
from routing.decision import Budget, Decision, Session, View, Wanted
from routing.gates import DOUBT, is_allowed
from routing.money import NanoUsd
from routing.router import Router, decide
from routing.rules import Arm, CompiledPolicy, Rule, Tier
from routing.sessions import Sessions
from tests.routing.world import When, deployment, policy, wanted

NAMES = ("a", "b", "c", "d", "e")
TIERS = ("weak", "mid", "strong")
TAGS = ("eu", "us")
able = st.sampled_from((None, True, False))
tags = st.frozensets(st.sampled_from(TAGS))
draws = st.floats(0, 1, exclude_max=True)


@st.composite
def deployments(draw: Any, name: str) -> Deployment:
    fields = {field: draw(able) for field in ("tools", "parallel_tools", "vision", "json_schema")}
    fields["tags"] = draw(tags)
    fields["context_tokens"] = draw(st.sampled_from((None, 100, 1_000, 10_000)))
    fields["apis"] = draw(st.sampled_from((None, frozenset(("chat",)), frozenset(("embeddings",)))))
    if draw(st.integers(0, 5)) == 0:
        fields["price"] = None
    return deployment(
        name, draw(st.sampled_from((1, 1_000, 1_000_000))), provider=draw(st.sampled_from("pqr")), **fields
    )


@st.composite
def catalogs(draw: Any) -> Catalog:
    models = {}
    for name in draw(st.sets(st.sampled_from(NAMES))):
        models[name] = Model(name, tuple(draw(st.lists(deployments(name), min_size=1, max_size=3))))
    aliases = {"alias": draw(st.sampled_from(sorted(models)))} if models else {}
    return Catalog(models, aliases)


@st.composite
def rules(draw: Any, name: str) -> Rule:
    uses = st.lists(st.sampled_from((*NAMES, *TIERS)), min_size=1, max_size=4, unique=True).map(tuple)
    use, strategy = draw(uses), draw(st.sampled_from(("ordered", "weighted", "cheapest", "fastest", "value")))
    weights = tuple(draw(st.integers(0, 5)) for _ in use) if draw(st.booleans()) else ()
    arms: tuple[Arm, ...] = ()
    if draw(st.integers(0, 3)) == 0:
        arms = (Arm("x", 30, draw(uses)), Arm("y", 70, draw(uses)))
    answer = draw(st.sampled_from((True, False, None)))
    condition = draw(st.sampled_from((None, When(lambda _facts: answer, frozenset(("complexity",))))))
    return Rule(name, condition, use, strategy, weights, shadow=draw(st.booleans()), arms=arms)


@st.composite
def policies(draw: Any) -> CompiledPolicy:
    tiers = tuple(
        Tier(name, tuple(draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=3, unique=True)))) for name in TIERS
    )
    bounds = st.dictionaries(st.just("tester"), st.sampled_from(TIERS))
    default = draw(rules("default"))
    return policy(
        *[draw(rules(f"rule{number}")) for number in range(draw(st.integers(0, 4)))],
        tiers=tiers,
        default=Rule("default", None, default.use, default.strategy, default.weights),
        claims=frozenset(("auto", "a")),
        floors=draw(bounds),
        ceilings=draw(bounds),
    )


@st.composite
def requests(draw: Any) -> Wanted:
    patterns = st.frozensets(st.sampled_from((*NAMES, "*", "alias", "[ab]")))
    return wanted(
        model=draw(st.sampled_from(("auto", "auto", "a", "b", "alias", "nobody"))),
        input_tokens=draw(st.sampled_from((0, 90, 5_000))),
        max_output_tokens=draw(st.sampled_from((0, 20, 4_000))),
        tools=draw(st.integers(0, 1)),
        images=draw(st.integers(0, 1)),
        json_schema=draw(st.booleans()),
        value_usd=draw(st.sampled_from((0.0, 0.01, 100.0))),
        parallel_tools=draw(st.booleans()),
        in_tool_loop=draw(st.booleans()),
        session=draw(st.sampled_from(("", "s"))),
        run=draw(st.sampled_from(("", "r"))),
        residency=draw(st.sampled_from((frozenset(), frozenset(), frozenset(("eu",))))),
        allowed=tuple(draw(st.lists(patterns, max_size=2))),
    )


@st.composite
def views(draw: Any) -> View:
    memory = Sessions()
    for session in ("s", "r"):
        if draw(st.booleans()):
            name, tier = draw(st.sampled_from((*NAMES, "gone"))), draw(st.sampled_from((*TIERS, "", "gone")))
            memory.note(session, Session(name, tier, draw(st.sampled_from((0, 80))), draw(st.booleans())))
    known = draw(st.dictionaries(st.sampled_from(NAMES), st.floats(0, 1)))
    left = st.integers(-5, 10**9).map(NanoUsd)
    budgets = [
        Budget(f"budget{number}", draw(left), downgrade=draw(st.booleans()), model=draw(st.sampled_from(("", "a"))))
        for number in range(draw(st.integers(0, 2)))
    ]
    return View(
        unwell=draw(st.frozensets(st.sampled_from(["p/a", "p/b", "q/c", "r/d"]))),
        latency_s=draw(st.dictionaries(st.sampled_from(["p/a", "q/b"]), st.floats(0, 5))).get,
        budgets=tuple(budgets),
        money_price=draw(st.sampled_from((1.0, 1e6))),
        memory=memory,
        complexity=draw(st.sampled_from((None, lambda: 0.5))),
        quality=draw(st.sampled_from((None, lambda model, _tier: known.get(model)))),
    )


everything = given(policies(), catalogs(), requests(), views(), draws)


def failed_gate(each: Deployment, request: Wanted, aliases: dict[str, str]) -> str:
    """The gates again, as simply as can be."""
    facts = request.facts
    called = (each.model, *(alias for alias, name in aliases.items() if name == each.model))
    checks = {
        "price": each.price is not None,
        "tools": not facts.tools or each.tools is not False,
        "parallel": not (facts.tools and request.parallel_tools) or each.parallel_tools is not False,
        "vision": not facts.images or each.vision is not False,
        "schema": not facts.json_schema or each.json_schema is not False,
        "api": each.apis is None or request.api in each.apis,
        "residency": request.residency <= each.tags,
        "allowed": is_allowed(request.allowed, called),
    }
    return next((name for name, holds in checks.items() if not holds), "")


@everything
@settings(max_examples=300)
def test_gates_hold(rules: CompiledPolicy, models: Catalog, request: Wanted, view: View, draw: float) -> None:
    decision = decide(request, rules, models, view, draw)
    for each in decision.candidates:
        assert failed_gate(each, request, dict(models.aliases)) == ""
        if decision.rule != "asked":
            longest = request.facts.input_tokens + request.facts.max_output_tokens
            assert each.context_tokens is None or longest <= each.context_tokens
        else:
            assert each.context_tokens is None or request.facts.input_tokens // DOUBT <= each.context_tokens
        if decision.rule != "asked":
            bounded = [tier.name for tier in rules.tiers if each.model in tier.models]
            if bounded and ("tester" in rules.floors or "tester" in rules.ceilings):
                assert any(within(tier, rules) for tier in bounded)


def within(tier: str, rules: CompiledPolicy) -> bool:
    rank = TIERS.index(tier)
    ceiling = TIERS.index(rules.ceilings.get("tester", "strong"))
    floor = min(TIERS.index(rules.floors.get("tester", "weak")), ceiling)
    return floor <= rank <= ceiling


@everything
def test_a_decision_repeats(rules: CompiledPolicy, models: Catalog, request: Wanted, view: View, draw: float) -> None:
    router = Router(rules, models)
    decisions = [router.decide(request, view, draw), router.decide(request, view, draw)]
    assert decisions == [decide(request, rules, models, view, draw)] * 2


@everything
def test_never_empty_without_a_reason(
    rules: CompiledPolicy, models: Catalog, request: Wanted, view: View, draw: float
) -> None:
    decision = decide(request, rules, models, view, draw)
    assert decision.reason
    assert decision.reason.isprintable()
    assert decision.reason.isascii()
    assert ";" not in decision.reason
    assert decision.rule
    if not decision.candidates:
        assert decision.exclusions or decision.reason == "unknown_model"
        assert not any(passes_all(each, request, rules, models) for each in models.models.values())
    else:
        coherent(decision)


def passes_all(model: Model, request: Wanted, rules: CompiledPolicy, models: Catalog) -> bool:
    """Whether a model is in the tiers within the agent's bounds, or asked for by name, and passes all gates."""
    name = request.facts.model
    if name not in rules.claims:
        found = models.find(name)
        eligible = found is not None and found.name == model.name
    else:
        eligible = any(model.name in tier.models and within(tier.name, rules) for tier in rules.tiers)
    longest = request.facts.input_tokens // DOUBT
    if name in rules.claims:
        longest = request.facts.input_tokens + request.facts.max_output_tokens
    return eligible and any(
        not failed_gate(each, request, dict(models.aliases))
        and (each.context_tokens is None or longest <= each.context_tokens)
        for each in model.deployments
    )


def coherent(decision: Decision) -> None:
    """What a decision says of itself fits together."""
    names = [model.name for model in decision.models]
    assert len(set(names)) == len(names)
    assert all(model.deployments for model in decision.models)
    assert decision.runner_up == (names[1] if len(names) > 1 else "") or decision.rule == "asked"
    assert 0 < decision.probability <= 1
    if decision.rule != "asked":
        candidates = [each for each in decision.considered if not each.excluded]
        assert [each.model for each in candidates] == names
        assert not set(decision.exclusions) & set(names)
        assert candidates[0].expected_cost == decision.expected_cost
        assert decision.strongest
