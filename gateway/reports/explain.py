"""Why a request would be routed as it would: gates, rules, numbers and the decision.

By a running gateway it is explained with what that knows now: budgets and their pace, breakers, sessions, runs, what
was learned (`explain_live`). By a configuration alone (`explain`) all that is as at the start: sessions new, budgets
whole, breakers closed. What was learned of models counts where the journal can be read.
"""

from __future__ import annotations

from typing import NamedTuple

from gateway.config.compile import resolve_wildcard
from gateway.config.snapshot import Agent, Snapshot
from gateway.deciding.deciding import Deciding, Look
from gateway.deciding.desk import ranks_of
from gateway.deciding.subject import Judge, Subject
from gateway.deciding.wanting import Asked, wanted_of
from gateway.identity.attribution import Headers, attribute
from gateway.wire.tongues import read_any
from routing.catalog import Catalog
from routing.decision import Budget, Decision, Session, View, Wanted
from routing.gates import Gate, demand_of
from routing.quality import Quality
from routing.router import Router, obey
from routing.rules import CompiledPolicy, Facts
from routing.strength import strong_first


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


class Live(NamedTuple):
    """What a running gateway knows that the decision went by."""

    budgets: tuple[Budget, ...]
    """Enforced ones that cover the request, where the policy's decisions depend on them."""
    unwell: tuple[str, ...]
    """Deployments of candidates that may not be called now."""
    session: Session | None
    """What is remembered of the conversation."""
    slowed: str
    """Why it gets the weakest tier: `velocity`; empty: it does not."""


class Explanation(NamedTuple):
    """All that led to a decision."""

    policy: CompiledPolicy | None
    """None: no policy rules it, the model that was asked for is called."""
    wanted: Wanted
    gates: tuple[GateResult, ...]
    rules: tuple[RuleResult, ...]
    complexity: float | None
    """0 to 1; None: nothing has read it, and a running gateway works it out for nobody else."""
    p_correct: tuple[tuple[str, float | None], ...]
    """By model that passes the gates, the probability that its answer is right; None: too little is known."""
    decision: Decision
    live: Live | None = None
    """None: it is explained by the configuration alone."""
    unheard: tuple[str, ...] = ()
    """Headers that would say more, of a client that the agent's `trust` does not list them for."""


class Question(NamedTuple):
    """A request to be explained."""

    body: bytes
    agent: Agent
    headers: Headers
    """As the client would send them, with lower-case names."""
    api: str
    at_s: float
    """Unix time."""
    allowed: frozenset[str] | None = None
    """The models of the key, where it has some of its own."""


_TRUSTED = ("value", "priority", "complexity")
_HEADERS = {"value": b"x-farebox-value-usd"}


def explain(snapshot: Snapshot, question: Question, quality: Quality | None = None) -> Explanation:
    """Why the request would be routed as it would be. Raises FareboxError when it is none."""
    return _explain(snapshot, question, quality)._replace(unheard=_unheard(question))


def _explain(snapshot: Snapshot, question: Question, quality: Quality | None) -> Explanation:
    asked, policy = _read(snapshot, question)
    ranks = {} if policy is None else ranks_of(policy)
    subject = Subject(asked.request, asked.agent.id, Judge(quality), ranks, asked.attribution.complexity)
    if policy is None:
        return _as_asked(snapshot, asked)._replace(complexity=subject.complexity())
    wanted = wanted_of(asked)
    view = View(asked.at_s, complexity=subject.complexity, quality=subject.p_correct)
    decision = Router(policy, snapshot.catalog).decide(wanted, view)
    return _explanation(policy, snapshot.catalog, wanted, decision, subject)


async def explain_live(deciding: Deciding, snapshot: Snapshot, question: Question) -> Explanation:
    """The same by all that a running gateway knows. Nothing is called, counted or remembered. Raises FareboxError."""
    asked, policy = _read(snapshot, question)
    unheard = _unheard(question)
    if policy is None:
        found = _as_asked(snapshot, asked)
        live = Live((), deciding.unwell(found.decision.candidates), None, "")
        return found._replace(live=live, unheard=unheard)
    look = await deciding.look(snapshot, asked, policy)
    ruling = look.desk.weakest.policy if look.slowed else policy
    found = _explanation(ruling, snapshot.catalog, look.wanted, look.decision, None)
    return found._replace(live=_live(deciding, look), unheard=unheard)


def _unheard(question: Question) -> tuple[str, ...]:
    """What the client says of its request, and nobody believes."""
    sent = {name for name, _ in question.headers}
    named = [(each, _HEADERS.get(each, b"x-farebox-" + each.encode())) for each in _TRUSTED]
    return tuple([header.decode() for each, header in named if header in sent and each not in question.agent.trust])


def _live(deciding: Deciding, look: Look) -> Live:
    wanted = look.wanted
    key = wanted.session or wanted.run
    session = deciding.sessions.get(key, look.view.now_s) if key else None
    return Live(look.view.budgets, deciding.unwell(look.decision.candidates), session, look.slowed)


def _read(snapshot: Snapshot, question: Question) -> tuple[Asked, CompiledPolicy | None]:
    """The request, and the policy that routes it. Raises FareboxError."""
    agent = question.agent
    request = read_any(question.api, question.body)
    attribution, _ = attribute(question.headers, (request.native or request).fields, agent.trust)
    policy = snapshot.agent_policies.get(agent.id)
    if policy is not None and request.model not in policy.claims:
        policy = None
    allowed = tuple([each for each in (question.allowed, agent.allowed_models) if each is not None])
    own = None if attribution.run is None else f"{agent.id}/{attribution.run}"
    parent = attribution.parent_run
    if parent is not None and "/" not in parent:
        parent = f"{agent.id}/{parent}"
    return Asked(request, attribution, agent, allowed, "explain", question.at_s, own, parent), policy


def _as_asked(snapshot: Snapshot, asked: Asked) -> Explanation:
    """No policy routes it."""
    name = asked.request.model
    model = snapshot.catalog.find(name) or resolve_wildcard(snapshot, name)
    wanted = wanted_of(asked)
    gates = []
    if model is not None:
        excluded = Gate(model, {name: model.name}).admit_named(demand_of(wanted))[1]
        gates.append(GateResult(model.name, "", excluded))
    return Explanation(None, wanted, tuple(gates), (), None, (), obey(wanted, model))


def _explanation(
    policy: CompiledPolicy, catalog: Catalog, wanted: Wanted, decision: Decision, subject: Subject | None
) -> Explanation:
    """`subject`: asked for what the decision did not depend on, too; None: only what it did is told."""
    complexity = decision.complexity if subject is None else subject.complexity()
    facts = wanted.facts if complexity is None else wanted.facts._replace(complexity=complexity)
    tiers = {model: tier.name for tier in policy.tiers for model in tier.models}
    gates = tuple(
        GateResult(gate.model.name, tiers.get(gate.model.name, ""), gate.admit(demand_of(wanted))[1])
        for gate in strong_first(policy, catalog)
    )
    known = {each.model: each.p_correct for each in decision.considered}
    p_correct = tuple(
        (gate.model, known.get(gate.model) if subject is None else subject.p_correct(gate.model, gate.tier))
        for gate in gates
        if not gate.excluded
    )
    return Explanation(policy, wanted, gates, _rules(policy, facts, decision), complexity, p_correct, decision)


def _rules(policy: CompiledPolicy, facts: Facts, decision: Decision) -> tuple[RuleResult, ...]:
    """Each rule's condition, and what became of it."""
    found, over = [], False
    for rule in (*policy.rules, policy.default):
        matches = over or rule.condition is None or rule.condition.matches(facts)
        result = "not asked" if over else "failed" if matches is None else str(matches).lower()
        role = ""
        if not over and matches:
            obeyed = rule.name == decision.rule and bool(decision.models)
            role = "shadow" if rule.shadow else "obeyed" if obeyed else "skipped"
            over = obeyed and not rule.shadow
        text = getattr(rule.condition, "text", "")
        found.append(RuleResult(rule.name, " ".join(text.split()), result, role))
    return tuple(found)
