"""Written agents, and what governs their runs, into the snapshot's."""

from __future__ import annotations

from gateway.config.models import RawConfig
from gateway.config.models.governance import AgentRuns, Velocity
from gateway.config.models.identity import Agent as WrittenAgent
from gateway.config.references import IMPLICIT
from gateway.config.snapshot import Agent
from gateway.guard.settings import LoopRule, VelocityRule
from gateway.ledger.budgets import RunLimits
from routing.money import parse_usd


def build_agents(raw: RawConfig) -> dict[str, Agent]:
    """The agents of a configuration, each with its team's org."""
    return {name: _agent(name, written, raw) for name, written in raw.agents.items()}


def _agent(name: str, written: WrittenAgent, raw: RawConfig) -> Agent:
    team = raw.teams.get(written.team)
    return Agent(
        id=name,
        team=written.team,
        org=IMPLICIT if team is None else team.org,
        trust=frozenset(written.trust),
        allowed_models=None if written.allowed_models is None else frozenset(written.allowed_models),
        value=None if written.value_usd is None else parse_usd(written.value_usd),
        max_value=None if written.max_value_usd is None else parse_usd(written.max_value_usd),
        residency=frozenset(written.residency),
        reserve=written.reserve,
        max_output_tokens=written.max_output_tokens,
        clamp_min_output_tokens=None if written.clamp == "off" else written.clamp.min_output_tokens,
        assemble_whole_answers=written.assemble_whole_answers,
        require_run=written.require_run,
        requires=frozenset(str(label) for label in written.requires),
        run_limits=_run_limits(written.runs),
        loops=LoopRule(written.loops.action, written.loops.window, written.loops.threshold),
        velocity=_velocity(written.velocity),
    )


def _run_limits(written: AgentRuns) -> RunLimits:
    return RunLimits(
        cost=None if written.cost_usd is None else parse_usd(written.cost_usd),
        requests=written.requests,
        tokens=written.tokens,
        wall_s=written.wall_s,
        depth=written.depth,
        children=written.children,
    )


def _velocity(written: Velocity | None) -> VelocityRule | None:
    if written is None:
        return None
    return VelocityRule(parse_usd(written.usd), written.per_s, written.action)
