"""A decision as the journal keeps it. Pure."""

from __future__ import annotations

from gateway.context import RequestContext
from gateway.deciding.decided import Decided
from gateway.telemetry.events import Choice
from routing.catalog import Catalog
from routing.money import NanoUsd, Usage, cost


def choice_of(decided: Decided, context: RequestContext) -> Choice:
    """What was decided for a request that is over, by what, and what other models would have cost."""
    decision, facts, wanted = decided.decision, decided.wanted.facts, decided.wanted
    catalog, usage, now_s = context.snapshot.catalog, decided.usage, context.arrived_at_s
    asked = facts.model if catalog.find(facts.model) is not None else ""
    return Choice(
        decision.policy,
        decision.rule,
        decision.reason,
        decision.strategy,
        decision.models[0].name if decision.models else "",
        decision.tier,
        decision.arm,
        decision.probability,
        facts.value_usd,
        decision.complexity,
        decision.p_correct,
        decision.money_price,
        decision.expected_cost,
        decision.runner_up,
        decision.strongest,
        decision.strongest_cost,
        would_cost(catalog, decision.strongest, usage, now_s, wanted.service_tier),
        would_cost(catalog, asked, usage, now_s, wanted.service_tier),
        facts.priority,
        facts.run_cost_usd,
        facts.run_steps,
        facts.run_depth,
        facts.budget_remaining_ratio,
        facts.budget_burn_ratio,
        wanted.parallel_tools,
        wanted.in_tool_loop,
        decided.downgraded,
        decision.considered,
        decision.shadows,
        decision.failed,
        decision.skipped,
    )


def would_cost(catalog: Catalog, model: str, usage: Usage | None, now_s: float, service_tier: str) -> NanoUsd | None:
    """What a model's first deployment with a price would have cost for the same tokens; None when nobody can tell."""
    found = catalog.find(model) if model and usage is not None else None
    if found is None or usage is None or not found.priced or found.priced[0].price is None:
        return None
    return cost(usage, found.priced[0].price.at(usage.input_tokens, now_s, service_tier))
