"""What `farebox backtest` prints: tables for people, an object for programs."""

from __future__ import annotations

from typing import Any

import typer

from gateway.cli.remote import Column, dollars, print_table
from routing.backtest import TODAY, AgentChange, LengthLine, Report, WorldTotal
from routing.money import format_usd
from routing.outcomes import Quality
from routing.recorded import UNKNOWN_COMPLEXITY

_WORLDS = (
    Column(""),
    Column("USD", right=True),
    Column("change", right=True),
    Column("answered", right=True),
    Column("refused", right=True),
    Column("quality (95% interval)"),
)
_AGENTS = (
    Column("agent", folds=True),
    Column("requests", right=True),
    Column("moved", right=True),
    Column("today USD", right=True),
    Column("then USD", right=True),
    Column("change", right=True),
    Column("refused", right=True),
)
_LENGTHS = (
    Column("model", folds=True),
    Column("moved to it", right=True),
    Column("recorded length", right=True),
    Column("assumed length", right=True),
    Column("by a learned ratio", right=True, from_width=100),
)
MOST_AGENTS = 20

ASSUMPTIONS = (
    "Another model gets the same input tokens and answers at the length above: by the ratio that agents with enough "
    "answers of both models showed, else as long as the recorded answer. Prices are today's.",
    "Cached input stays cached while a conversation keeps its model, and is paid in full right after a switch.",
    "Failed and repeated calls cost what they did. An answer under `verify` passes. Everything can be called.",
    "Budgets are those of the configuration; nothing is refused that fitted then, unless the policy has spent more.",
)
QUALITY_ASSUMPTION = (
    "Quality: a model is as good for an agent as its judged answers to that agent were on average. A policy that sends "
    "hard requests to strong models makes weak ones look better than they are: an experiment tells more."
)


def print_report(report: Report, name: str) -> None:
    """Tables that fit the terminal."""
    span = _span(report.until_s - report.since_s)
    typer.echo(f"{name}: {report.requests} requests of {span}, of which it routes {report.routed}\n")
    print_table(_WORLDS, [_world_row(world, report) for world in report.worlds])
    typer.echo()
    print_table(_AGENTS, map(_agent_row, report.agents[:MOST_AGENTS]))
    if len(report.agents) > MOST_AGENTS:
        typer.echo(f"and {len(report.agents) - MOST_AGENTS} agents more (--json has them)")
    if report.lengths:
        typer.echo("\nAssumed length of answers, in tokens on average")
        print_table(_LENGTHS, map(_length_row, report.lengths))
    if report.rules:
        rules = ", ".join(f"{rule} {count}" for rule, count in report.rules.items())
        typer.echo(f"\nRules: {rules}")
    for line in _notes(report):
        typer.echo(f"\n{line}")


def _world_row(world: WorldTotal, report: Report) -> list[str]:
    refused = world.denied + world.unroutable
    change = "" if world.name == TODAY else _change(report.world(TODAY).cost, world.cost)
    cost = dollars(format_usd(world.cost))
    return [world.name.replace("_", " "), cost, change, str(world.answered), str(refused), _quality(world.quality)]


def _agent_row(agent: AgentChange) -> list[str]:
    today, then = dollars(format_usd(agent.today)), dollars(format_usd(agent.candidate))
    change = _change(agent.today, agent.candidate)
    return [agent.agent, str(agent.requests), str(agent.moved), today, then, change, str(agent.denied)]


def _length_row(line: LengthLine) -> list[str]:
    count = line.requests
    recorded, assumed = round(line.recorded_tokens / count), round(line.assumed_tokens / count)
    return [line.model, str(count), str(recorded), str(assumed), str(line.learned)]


def _change(today: int, then: int) -> str:
    if not today:
        return "" if not then else "new"
    return f"{(then - today) / today:+.1%}"


def _quality(quality: Quality | None) -> str:
    if quality is None:
        return "unknown"
    covered = "" if quality.covered > 0.995 else f", of {quality.covered:.0%}"
    return f"{quality.mean:.3f} ({quality.low:.3f} to {quality.high:.3f}){covered}"


def _notes(report: Report) -> list[str]:
    judged = any(world.quality is not None for world in report.worlds)
    notes = ["Assumed:", *ASSUMPTIONS]
    if judged:
        notes.append(QUALITY_ASSUMPTION)
    if report.guessed_complexity:
        notes.append(
            f"{report.guessed_complexity} decisions read a complexity that was not recorded, and took it as "
            f"{UNKNOWN_COMPLEXITY:g}."
        )
    return ["\n- ".join(notes)]


def report_object(report: Report, name: str, failures: list[str]) -> dict[str, Any]:
    """Everything, money as exact decimals."""
    today = report.world(TODAY).cost
    return {
        "ok": not failures,
        "failures": failures,
        "policy": name or None,
        "requests": report.requests,
        "routed": report.routed,
        "since_s": report.since_s,
        "until_s": report.until_s,
        "cost_change": round(report.increase, 6),
        **{world.name: _world_object(world, today) for world in report.worlds},
        "agents": [
            {
                "agent": agent.agent,
                "requests": agent.requests,
                "moved": agent.moved,
                "refused": agent.denied,
                "today_usd": format_usd(agent.today),
                "candidate_usd": format_usd(agent.candidate),
            }
            for agent in report.agents
        ],
        "assumed_output_tokens": {
            line.model: {
                "requests": line.requests,
                "recorded_mean": line.recorded_tokens / line.requests,
                "assumed_mean": line.assumed_tokens / line.requests,
                "by_learned_ratio": line.learned,
            }
            for line in report.lengths
        },
        "rules": dict(report.rules),
        "guessed_complexity": report.guessed_complexity,
        "refused": sum(agent.denied for agent in report.agents),
        "moved": sum(agent.moved for agent in report.agents),
        "assumptions": [*ASSUMPTIONS, QUALITY_ASSUMPTION],
    }


def _world_object(world: WorldTotal, today: int) -> dict[str, Any]:
    quality = world.quality
    return {
        "cost_usd": format_usd(world.cost),
        "cost_nano_usd": world.cost,
        "change": round((world.cost - today) / today, 6) if today else None,
        "answered": world.answered,
        "denied": world.denied,
        "unroutable": world.unroutable,
        "models": dict(world.models),
        "quality": None if quality is None else quality._asdict(),
    }


def _span(length_s: float) -> str:
    """A length of time for people."""
    for unit, unit_s in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if length_s >= unit_s:
            return f"{length_s / unit_s:.1f} {unit}"
    return f"{length_s:.0f} seconds"
