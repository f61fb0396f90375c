"""Cases through the router: what was expected, and what it decided."""

from __future__ import annotations

from typing import Any, NamedTuple

from gateway.config.models.cases import Case, CaseRequest, Expectation
from gateway.config.snapshot import Snapshot
from routing.decision import Budget, Decision, Session, View, Wanted
from routing.money import NANO_PER_USD, NanoUsd, parse_usd
from routing.router import decide
from routing.rules import CompiledPolicy, Facts
from routing.value import worth_usd

_SESSION = "session"


class Difference(NamedTuple):
    """One thing that is not as expected."""

    setting: str
    expected: str
    got: str


class Outcome(NamedTuple):
    """How a case went."""

    decision: Decision
    differences: tuple[Difference, ...]
    """None: it passed."""


def run_case(case: Case, policy: CompiledPolicy | None, snapshot: Snapshot, now_s: float) -> Outcome:
    """Decide a case's request by `policy`, or as asked for. `now_s`: Unix time, which prices depend on."""
    request = case.request
    decision = decide(
        _wanted(request, snapshot), policy, snapshot.catalog, _view(request, snapshot, now_s), request.draw
    )
    return Outcome(decision, tuple(_differences(case.expect, decision)))


def _wanted(request: CaseRequest, snapshot: Snapshot) -> Wanted:
    agent = snapshot.agents[request.agent]
    declared = None if request.value_usd is None else NanoUsd(round(request.value_usd * NANO_PER_USD))
    return Wanted(
        facts=Facts(
            agent=agent.id,
            team=agent.team,
            org=agent.org,
            tags=request.tags,
            model=request.model,
            value_usd=worth_usd(declared, agent.value, agent.max_value),
            priority=request.priority,
            complexity=request.complexity,
            input_tokens=request.input_tokens,
            max_output_tokens=request.max_output_tokens,
            tools=request.tools,
            images=request.images,
            stream=request.stream,
            json_schema=request.json_schema,
            session_turns=request.session_turns,
            run_cost_usd=request.run.cost_usd,
            run_steps=request.run.steps,
            run_depth=request.run.depth,
            budget_remaining_ratio=request.budget.remaining_ratio,
            budget_burn_ratio=request.budget.burn_ratio,
            hour=request.hour,
            weekday=request.weekday,
        ),
        request_id="case",
        run=request.run.id,
        session=_SESSION,
        api=request.api,
        parallel_tools=request.parallel_tools,
        in_tool_loop=request.in_tool_loop,
        residency=agent.residency,
        allowed=() if agent.allowed_models is None else (agent.allowed_models,),
    )


class _Memory:
    """The one session of a case."""

    def __init__(self, request: CaseRequest, now_s: float) -> None:
        written = request.session
        self._session: Session | None = None
        if written is not None:
            tokens = written.cached_tokens
            self._session = Session(written.model, written.tier, tokens, written.called_tools, now_s)

    def get(self, session: str, now_s: float) -> Session | None:
        return self._session


def _view(request: CaseRequest, snapshot: Snapshot, now_s: float) -> View:
    budget, quality = request.budget, request.quality
    left = None if budget.left_usd is None else parse_usd(budget.left_usd)
    short = () if left is None else (Budget(budget.id, left, 1 - budget.remaining_ratio, downgrade=budget.downgrade),)
    return View(
        now_s=now_s,
        unwell=frozenset(deployment for name in request.unwell for deployment in _deployments(name, snapshot)),
        latency_s=request.latency_s.get,
        budgets=short,
        money_price=request.money_price,
        memory=_Memory(request, now_s),
        quality=(lambda model, _tier: quality.get(model)) if quality else None,
    )


def _deployments(name: str, snapshot: Snapshot) -> list[str]:
    """The ids of a model's deployments; a deployment's own."""
    model = snapshot.catalog.models.get(name)
    return [name] if model is None else [deployment.id for deployment in model.deployments]


def _differences(expect: Expectation, decision: Decision) -> list[Difference]:
    got = _got(decision)
    found = []
    for setting in sorted(expect.model_fields_set, key=list(Expectation.model_fields).index):
        expected, actual = getattr(expect, setting), got[setting]
        if setting == "excluded":
            actual = {model: reason for model, reason in actual.items() if model in expected}
        if expected != actual:
            found.append(Difference(setting, _shown(expected), _shown(actual)))
    return found


def _got(decision: Decision) -> dict[str, Any]:
    """What a case can expect, as it was decided."""
    models = [model.name for model in decision.models]
    return {
        "model": models[0] if models else None,
        "models": models,
        "tier": decision.tier or None,
        "rule": decision.rule,
        "arm": decision.arm or None,
        "strategy": decision.strategy,
        "reason": decision.reason,
        "verify": decision.verify is not None,
        "shadows": {shadow.rule: shadow.model for shadow in decision.shadows},
        "excluded": decision.exclusions,
        "failed": list(decision.failed),
        "refused": None if models else decision.reason,
    }


def _shown(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(value) or "none"
    if isinstance(value, dict):
        return ", ".join(f"{key}: {each}" for key, each in sorted(value.items())) or "none"
    return str(value)
