"""Why a request would be routed as it would: gates, rules, numbers and the decision, by a configuration alone.

What only a running gateway knows is taken as it is at the start: sessions are new, budgets whole, breakers closed. What
was learned of models counts where the journal can be read.
"""

from __future__ import annotations

from typing import NamedTuple

from gateway.config.snapshot import Agent, Snapshot
from gateway.deciding.desk import ranks_of
from gateway.deciding.subject import Judge, Subject
from gateway.identity.attribution import Attribution, Headers, attribute
from gateway.wire.requests import ModelRequest, read_request
from routing.decision import NO_FACTS, Decision, View, Wanted
from routing.gates import Gate, demand_of
from routing.quality import Quality
from routing.router import Router, obey
from routing.rules import CompiledPolicy, Facts
from routing.strength import strong_first
from routing.value import worth_usd


class GateResult(NamedTuple):
    """Whether a model passes the gates."""

    model: str
    tier: str
    """Of the policy; empty: none."""
    excluded: str
    """Why not; empty: it passes."""


class RuleResult(NamedTuple):
    """What became of a rule."""

    name: str
    condition: str
    """As written; empty: always."""
    result: str
    """`true`, `false`, `failed` (its condition did, at run time), `not asked` (an earlier one was obeyed)."""
    role: str
    """`obeyed`, `shadow`, `skipped` (the gates leave nothing of it); empty: neither."""


class Explanation(NamedTuple):
    """All that led to a decision."""

    policy: CompiledPolicy | None
    """None: no policy rules it, the model that was asked for is called."""
    wanted: Wanted
    gates: tuple[GateResult, ...]
    rules: tuple[RuleResult, ...]
    complexity: float
    """0 to 1."""
    p_correct: tuple[tuple[str, float | None], ...]
    """By model that passes the gates, the probability that its answer is right; None: too little is known."""
    decision: Decision


class Asked(NamedTuple):
    """A request to be explained."""

    body: bytes
    agent: Agent
    headers: Headers
    """As the client would send them, with lower-case names."""
    api: str
    at_s: float
    """Unix time."""


def explain(snapshot: Snapshot, asked: Asked, quality: Quality | None = None) -> Explanation:
    """Why the request would be routed as it would be. Raises FareboxError when it is none."""
    agent = asked.agent
    request = read_request(asked.api, asked.body)
    attribution, _ = attribute(asked.headers, request.fields, agent.trust)
    policy = snapshot.agent_policies.get(agent.id)
    if policy is not None and request.model not in policy.claims:
        policy = None
    judge = Judge()
    if quality is not None:
        judge.quality = quality
    subject = Subject(request, agent.id, judge, {} if policy is None else ranks_of(policy), attribution.complexity)
    complexity = subject.complexity()
    wanted = _wanted(request, attribution, agent, asked.at_s)
    wanted = wanted._replace(in_tool_loop=subject.in_tool_loop)
    if policy is None:
        model = snapshot.catalog.find(request.model)
        decision = obey(wanted, model)
        asked_for = [] if model is None else [_gate(Gate(model, snapshot.catalog.aliases), "", wanted)]
        return Explanation(None, wanted, tuple(asked_for), (), complexity, (), decision)
    view = View(asked.at_s, complexity=subject.complexity, quality=subject.p_correct)
    decision = Router(policy, snapshot.catalog).decide(wanted, view)
    tiers = {model: tier.name for tier in policy.tiers for model in tier.models}
    gates = tuple(
        _gate(gate, tiers.get(gate.model.name, ""), wanted) for gate in strong_first(policy, snapshot.catalog)
    )
    return Explanation(
        policy,
        wanted,
        gates,
        _rules(policy, wanted.facts._replace(complexity=complexity), decision),
        complexity,
        tuple((gate.model, subject.p_correct(gate.model, gate.tier)) for gate in gates if not gate.excluded),
        decision,
    )


def _gate(gate: Gate, tier: str, wanted: Wanted) -> GateResult:
    return GateResult(gate.model.name, tier, gate.admit(demand_of(wanted))[1])


def _rules(policy: CompiledPolicy, facts: Facts, decision: Decision) -> tuple[RuleResult, ...]:
    """Each rule's condition, and what became of it."""
    found, over = [], False
    for rule in (*policy.rules, policy.default):
        matches = True if rule.condition is None else rule.condition.matches(facts)
        result = "not asked" if over else "failed" if matches is None else str(matches).lower()
        role = ""
        if not over and matches:
            obeyed = rule.name == decision.rule and bool(decision.models)
            role = "shadow" if rule.shadow else "obeyed" if obeyed else "skipped"
            over = obeyed and not rule.shadow
        text = getattr(rule.condition, "text", "")
        found.append(RuleResult(rule.name, " ".join(text.split()), result, role))
    return tuple(found)


def _wanted(request: ModelRequest, attribution: Attribution, agent: Agent, at_s: float) -> Wanted:
    profile, hours = request.profile, int(at_s) // 3600
    run = "" if attribution.run is None else f"{agent.id}/{attribution.run}"
    facts = NO_FACTS._replace(
        agent=agent.id,
        team=agent.team,
        org=agent.org,
        tags=dict(attribution.tags),
        model=request.model,
        value_usd=worth_usd(attribution.value_nano_usd, agent.value, agent.max_value),
        priority=attribution.priority or "normal",
        complexity=attribution.complexity or 0.0,
        input_tokens=profile.input_tokens,
        max_output_tokens=profile.max_output_tokens or 0,
        tools=profile.tools,
        images=profile.images,
        stream=profile.stream,
        json_schema=profile.json_schema,
        session_turns=profile.messages,
        hour=hours % 24,
        weekday=(hours // 24 + 3) % 7 + 1,
    )
    return Wanted(
        facts,
        "explain",
        run,
        "" if attribution.session is None else f"{agent.id}/session:{attribution.session}",
        request.api,
        request.parallel_tools,
        answers=profile.answers,
        service_tier=profile.service_tier,
        allowed=() if agent.allowed_models is None else (agent.allowed_models,),
        residency=agent.residency,
    )
