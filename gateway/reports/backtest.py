"""A backtest of a policy over a configuration: agents, budgets and models as they are today."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gateway.config.snapshot import Agent, Snapshot
from gateway.ledger.budgets import Budget
from gateway.ledger.scopes import EACH, SHARED, Labels
from gateway.ledger.windows import FOREVER_S, Window
from routing.backtest import AgentRules, Setting
from routing.caps import Cap, Moment
from routing.lengths import Lengths
from routing.outcomes import means
from routing.quality import MIN_OUTCOMES
from routing.recorded import Recorded
from routing.rules import CompiledPolicy
from routing.value import worth_usd


def setting(
    snapshot: Snapshot, candidate: CompiledPolicy | None, rows: Sequence[Recorded], asked_as: str = ""
) -> Setting:
    """What a backtest of `candidate` over `rows` goes by; None: of all policies of the configuration.

    The candidate rules those agents that its name rules in the configuration; where it rules none, it is tried for all.
    """
    tried_for_all = candidate is not None and candidate.name not in {
        each.name for each in snapshot.agent_policies.values()
    }
    agents = {
        name: _rules(agent, candidate if tried_for_all else snapshot.agent_policies.get(name))
        for name, agent in snapshot.agents.items()
    }
    caps = tuple(_cap(budget) for budget in snapshot.budgets if budget.enforce)
    return Setting(snapshot.catalog, agents, caps, Lengths(rows), means(rows, MIN_OUTCOMES), asked_as)


def _rules(agent: Agent, policy: CompiledPolicy | None) -> AgentRules:
    allowed = () if agent.allowed_models is None else (agent.allowed_models,)
    return AgentRules(policy, worth_usd(None, agent.value, agent.max_value), allowed, agent.residency)


def _cap(budget: Budget) -> Cap:
    scope = budget.scope
    value = scope.value if scope.value != EACH else ""
    return Cap(
        budget.id,
        budget.limit,
        _counters(budget),
        _moments(budget.window),
        budget.on_exceed == "downgrade",
        value if scope.kind == "model" else "",
        value if scope.kind == "provider" else "",
    )


def _counters(budget: Budget) -> Callable[[Recorded, str, str], Sequence[str]]:
    """Which counters a request counts in. End users are not recorded: budgets on them count nothing here."""
    scope, missing = budget.scope, (SHARED,) if budget.when_missing == "shared" else ()

    def counters(row: Recorded, model: str, provider: str) -> Sequence[str]:
        runs = (row.run,) if row.run else ()
        labels = Labels(row.org, row.team, row.agent, model, provider, runs, None, tuple(row.tags.items()))
        values = scope.values(labels)
        return missing if values is None else values

    return (lambda _row, _model, _provider: ()) if scope.kind in ("user", "deployment") else counters


def _moments(window: Window) -> Callable[[float], Moment]:
    """Rolling windows are taken as ones of their length, one after the other."""
    length_s = window.length_s

    def rolling(at_s: float) -> Moment:
        number, within_s = divmod(at_s, length_s)
        return Moment(str(int(number)), within_s / length_s)

    def calendar(at_s: float) -> Moment:
        span = window.at(at_s)
        if span.end_s >= FOREVER_S:
            return Moment(span.id, 0.0)
        return Moment(span.id, (at_s - span.start_s) / (span.end_s - span.start_s))

    return rolling if window.period == "rolling" else calendar
