"""`farebox explain`: why a request would be routed as it would."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli.configuration import PROBLEMS, USAGE
from gateway.cli.offline import load_offline
from gateway.cli.remote import Column, fail, print_json, print_table

if TYPE_CHECKING:
    from gateway.config.snapshot import Snapshot
    from gateway.reports.explain import Explanation
    from routing.quality import Quality

explain = typer.Typer(rich_markup_mode=None)

_GATES = (Column("model"), Column("tier"), Column("gates", folds=True), Column("right with", right=True))
_RULES = (Column("rule"), Column("condition", folds=True), Column("result"), Column(""))
_APIS = {"chat", "completions", "embeddings"}


@explain.command("explain")
def _explain(
    request: Annotated[
        Path, typer.Argument(help="The request's body, as a client would send it; - reads it from input.")
    ],
    agent: Annotated[str, typer.Option("--agent", "-a", help="Whose request it is.")],
    header: Annotated[
        list[str] | None, typer.Option("--header", "-H", help="A header of the request: 'x-farebox-value-usd: 50'.")
    ] = None,
    api: Annotated[str, typer.Option(help="chat, completions or embeddings.")] = "chat",
    policy: Annotated[
        Path | None, typer.Option("--policy", help="A policy file in place of the one with its name.")
    ] = None,
    config: Annotated[Path, typer.Option("--config", "-c", help="The configuration file.")] = Path("config.yaml"),
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")] = False,
) -> None:
    """Tell which model would answer a request, and why: gates, rules, numbers, result. Nothing is called.

    What was learned is read from the journal, if there is one; sessions are new and budgets whole. Exits with 1 when
    no model is left, with 2 when a file cannot be read.

    Example: farebox explain request.json --agent researcher -H 'x-farebox-value-usd: 50'
    """
    from gateway.errors import FareboxError
    from gateway.reports.explain import Asked
    from gateway.reports.explain import explain as explained

    if api not in _APIS:
        fail(f"`{api}` is no API: chat, completions or embeddings", USAGE)
    body = _body(request)
    snapshot = load_offline(config, policy)
    if agent not in snapshot.agents:
        fail(f"no agent is called `{agent}`; there are {', '.join(snapshot.agents)}", USAGE)
    asked = Asked(body, snapshot.agents[agent], [_header(each) for each in header or ()], api, time.time())
    try:
        found = explained(snapshot, asked, asyncio.run(_learned(snapshot)))
    except FareboxError as error:
        fail(error.message, USAGE)
    if as_json:
        print_json(_object(found))
    else:
        _print(found)
    if not found.decision.models:
        raise typer.Exit(PROBLEMS)


def _body(request: Path) -> bytes:
    try:
        return sys.stdin.buffer.read() if str(request) == "-" else request.read_bytes()
    except OSError as error:
        fail(f"{request} cannot be read: {error.strerror}", USAGE)


def _header(text: str) -> tuple[bytes, bytes]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        fail(f"`{text}` is no header: write 'name: value'", USAGE)
    return name.strip().lower().encode(), value.strip().encode()


async def _learned(snapshot: Snapshot) -> Quality | None:
    """What the journal keeps of models; None where there is no journal."""
    from gateway.journal.database import JournalError
    from gateway.journal.looking import looking
    from gateway.learned.quality import LearnedQuality

    try:
        async with looking(snapshot.storage) as engine:
            learned = LearnedQuality(engine)
            await learned.load()
    except JournalError:
        return None
    return learned.quality


def _print(found: Explanation) -> None:
    from routing.explain import explain as in_words

    facts = found.wanted.facts
    typer.echo(f"{facts.agent} (team {facts.team}, org {facts.org}) asks for {facts.model}")
    sizes = f"about {facts.input_tokens} tokens, {facts.session_turns} messages, {facts.tools} tools"
    typer.echo(
        f"{sizes}; complexity {found.complexity:.2f}, value {facts.value_usd:g} USD, priority {facts.priority}\n"
    )
    chances = dict(found.p_correct)
    rows = [
        [each.model, each.tier, each.excluded or "passes", _chance(chances.get(each.model))] for each in found.gates
    ]
    if rows:
        print_table(_GATES, rows)
        typer.echo()
    if found.policy is not None:
        print_table(_RULES, [[rule.name, rule.condition or "always", rule.result, rule.role] for rule in found.rules])
        typer.echo()
    for line in in_words(found.decision):
        typer.echo(line)


def _chance(p: float | None) -> str:
    return "" if p is None else f"{p:.0%}"


def _object(found: Explanation) -> dict[str, Any]:
    from routing.money import format_usd

    facts, decision = found.wanted.facts, found.decision
    cost = format_usd
    return {
        "policy": None if found.policy is None else found.policy.name,
        "request": {**facts._asdict(), "tags": dict(facts.tags), "complexity": found.complexity},
        "gates": [each._asdict() for each in found.gates],
        "rules": [each._asdict() for each in found.rules],
        "p_correct": dict(found.p_correct),
        "decision": {
            "models": [model.name for model in decision.models],
            "deployments": [deployment.id for deployment in decision.candidates],
            "rule": decision.rule,
            "reason": decision.reason,
            "strategy": decision.strategy,
            "tier": decision.tier or None,
            "arm": decision.arm or None,
            "probability": decision.probability,
            "expected_cost_usd": cost(decision.expected_cost),
            "runner_up": decision.runner_up or None,
            "strongest": decision.strongest or None,
            "strongest_cost_usd": cost(decision.strongest_cost),
            "money_price": decision.money_price,
            "considered": [
                {
                    **each._asdict(),
                    "expected_cost": None if each.expected_cost is None else cost(each.expected_cost),
                }
                for each in decision.considered
            ],
            "shadows": [{"rule": each.rule, "model": each.model or None} for each in decision.shadows],
        },
    }
