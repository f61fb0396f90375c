"""What the router is asked about a request: its shape, whose it is, and what this process has seen of run and money.

Pure. A request that is served and one that is only explained come the same way.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from gateway.config.snapshot import Agent
from gateway.deciding.budgets import NO_BUDGETS, Purse
from gateway.deciding.runs import NO_RUN, Run
from gateway.deciding.subject import in_tool_loop
from gateway.identity.attribution import Attribution
from gateway.wire.requests import ModelRequest
from routing.decision import Wanted
from routing.rules import Facts
from routing.value import worth_usd

_NO_TAGS: Final[dict[str, str]] = {}
_EPOCH_WEEKDAY: Final = 3
"""1970-01-01 was a Thursday."""


class Asked(NamedTuple):
    """A request whose model is to be decided, and who asks."""

    request: ModelRequest
    attribution: Attribution
    agent: Agent
    allowed: tuple[frozenset[str], ...]
    """Names and patterns of models: each set (the key's, the agent's) has to allow a candidate."""
    request_id: str
    at_s: float
    """Unix time."""
    own: str | None = None
    """Its run, `agent/run`."""
    parent: str | None = None
    """That run's parent."""


def wanted_of(asked: Asked, purse: Purse = NO_BUDGETS, run: Run = NO_RUN) -> Wanted:
    """The request, as far as a decision depends on it. `purse` and `run` as they are known here."""
    request, attribution, agent = asked.request, asked.attribution, asked.agent
    profile = request.profile
    hours = int(asked.at_s) // 3600
    facts = Facts(
        agent.id,
        agent.team,
        agent.org,
        dict(attribution.tags) if attribution.tags else _NO_TAGS,
        request.model,
        worth_usd(attribution.value_nano_usd, agent.value, agent.max_value),
        attribution.priority or "normal",
        attribution.complexity or 0.0,
        profile.input_tokens,
        _longest(profile.max_output_tokens, agent),
        profile.tools,
        profile.images,
        profile.stream,
        profile.json_schema,
        profile.messages,
        run.cost_usd,
        run.steps,
        run.depth,
        purse.remaining_ratio,
        purse.burn_ratio,
        hours % 24,
        (hours // 24 + _EPOCH_WEEKDAY) % 7 + 1,
    )
    return Wanted(
        facts,
        asked.request_id,
        asked.own or "",
        "" if attribution.session is None else f"{agent.id}/session:{attribution.session}",
        request.api,
        request.parallel_tools,
        in_tool_loop(request),
        profile.answers,
        profile.service_tier,
        asked.allowed,
        agent.residency,
    )


def _longest(asked: int | None, agent: Agent) -> int:
    """The bound on the answer; 0 without the client's own."""
    if asked is None:
        return 0
    return asked if agent.max_output_tokens is None else min(asked, agent.max_output_tokens)
