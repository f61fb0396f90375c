"""The configuration of the demo's gateway: a value in, YAML out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import yaml

from gateway.demo.agents import Role
from gateway.simulator.models import MODELS, Rates, SimModel
from routing.money import NanoUsd, format_usd

BAD_DAYS = {"sim-down": "sim-small+fault-500", "sim-cut": "sim-small+fault-cut;after=25",
            "sim-silent": "sim-small+fault-missing-usage"}  # fmt: skip
"""Models of the demo's gateway whose provider has a bad day, and what they are there."""


class Ports(NamedTuple):
    """Where the demo's two servers listen, on 127.0.0.1."""

    gateway: int
    simulator: int


def key_variable(role: str) -> str:
    """The environment variable that holds an agent's key."""
    return f"FAREBOX_DEMO_KEY_{role.upper()}"


def configuration(fleet: Sequence[Role], ports: Ports, *, storage: str, seed: int, speed: float) -> str:
    """`config.yaml`: the simulator alone, its models at its prices, the fleet and a key for each agent."""
    teams = sorted({role.team for role in fleet})
    chat = {name: model for name, model in MODELS.items() if model.kind in {"chat", "embedding"}}
    models: dict[str, Any] = {name: _model(model, name) for name, model in chat.items()}
    models |= {name: _model(MODELS["sim-small"], upstream) for name, upstream in BAD_DAYS.items()}
    document = {
        "server": {"host": "127.0.0.1", "port": ports.gateway, "drain_s": 5},
        "simulator": {"enabled": True, "port": ports.simulator, "seed": seed, "speed": speed},
        "storage": {"dir": storage},
        "providers": {"simulator": {"base_url": f"http://127.0.0.1:{ports.simulator}/v1", "proxy": "none"}},
        "models": models,
        "teams": {team: {} for team in teams},
        "agents": {role.name: _agent(role) for role in fleet},
        "budgets": {role.name: _budget(role, role.budget) for role in fleet if role.budget is not None},
        "keys": {role.name: {"agent": role.name, "key": f"${{{key_variable(role.name)}}}"} for role in fleet},
    }
    return "# Written by `farebox demo`.\n" + yaml.safe_dump(document, sort_keys=False, width=120)


def _agent(role: Role) -> dict[str, Any]:
    allowed = {} if role.allowed_models is None else {"allowed_models": list(role.allowed_models)}
    return {"team": role.team, **allowed}


def _budget(role: Role, limit: NanoUsd) -> dict[str, Any]:
    return {"scope": f"agent:{role.name}", "limit_usd": format_usd(limit), "window": "total"}


def _model(model: SimModel, upstream: str) -> dict[str, Any]:
    base, *tiers = model.rates
    price: dict[str, Any] = _rates(base)
    if tiers:
        price["context_tiers"] = [{"above_input_tokens": tier.above_input_tokens, **_rates(tier)} for tier in tiers]
    limits = {"max_output_tokens": model.max_output_tokens} if model.max_output_tokens else {}
    return {
        "provider": "simulator",
        "model": upstream,
        "price": price,
        "context_tokens": model.context_window,
        **limits,
    }


def _rates(rates: Rates) -> dict[str, str]:
    said = {"cache_write": rates.cache_write, "cache_write_1h": rates.cache_write_1h}
    written = {name: usd for name, usd in said.items() if usd}
    return {"input": rates.input, "cache_read": rates.cached_input, "output": rates.output, **written}
