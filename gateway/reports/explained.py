"""An explanation as an object: what `farebox explain --json` prints and `POST /admin/v1/explain` answers."""

from __future__ import annotations

from typing import Any

from gateway.reports.explain import Explanation, Live
from routing.decision import Decision
from routing.explain import explain as in_words
from routing.money import NanoUsd, format_usd


def explanation_object(found: Explanation) -> dict[str, Any]:
    """An explanation. `words` has the decision for people, line by line; `live` is null without a running gateway.

    `unheard`: headers that do not count, since the agent's `trust` does not list them.
    """
    facts = found.wanted.facts
    return {
        "object": "explanation",
        "policy": None if found.policy is None else found.policy.name,
        "request": {**facts._asdict(), "tags": dict(facts.tags), "complexity": found.complexity},
        "gates": [each._asdict() for each in found.gates],
        "rules": [each._asdict() for each in found.rules],
        "p_correct": dict(found.p_correct),
        "decision": _decision(found.decision),
        "unheard": list(found.unheard),
        "live": None if found.live is None else _live(found.live),
        "words": in_words(found.decision),
    }


def _decision(decision: Decision) -> dict[str, Any]:
    return {
        "models": [model.name for model in decision.models],
        "deployments": [deployment.id for deployment in decision.candidates],
        "rule": decision.rule,
        "reason": decision.reason,
        "strategy": decision.strategy,
        "tier": decision.tier or None,
        "arm": decision.arm or None,
        "probability": decision.probability,
        "expected_cost_usd": format_usd(decision.expected_cost),
        "runner_up": decision.runner_up or None,
        "strongest": decision.strongest or None,
        "strongest_cost_usd": format_usd(decision.strongest_cost),
        "money_price": decision.money_price,
        "considered": [{**each._asdict(), "expected_cost": _usd(each.expected_cost)} for each in decision.considered],
        "shadows": [{"rule": each.rule, "model": each.model or None} for each in decision.shadows],
    }


def _live(live: Live) -> dict[str, Any]:
    return {
        "budgets": [
            {
                "id": each.id,
                "left_usd": format_usd(each.left),
                "spent_ratio": each.spent_share,
                "elapsed_ratio": each.elapsed_share,
                "on_exceed": "downgrade" if each.downgrade else "block",
            }
            for each in live.budgets
        ],
        "unwell": list(live.unwell),
        "session": None
        if live.session is None
        else {
            "model": live.session.model,
            "tier": live.session.tier or None,
            "cached_tokens": live.session.cached_tokens,
            "called_tools": live.session.called_tools,
        },
        "slowed": live.slowed or None,
    }


def _usd(amount: NanoUsd | None) -> str | None:
    return None if amount is None else format_usd(amount)
