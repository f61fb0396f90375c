"""Origins, charges and runs for the tests of the store."""

from __future__ import annotations

from gateway.ledger.budgets import RunLimits
from gateway.ledger.operations import Origin, Run
from gateway.telemetry.events import ChargePosted
from routing.money import NanoUsd, Usage

NOON_S = 1_795_000_000.0


def origin(request: str = "req_1", *, attempt: int = 1, agent: str = "researcher", run_path: str = "") -> Origin:
    return Origin(
        request_id=request,
        attempt=attempt,
        org="acme",
        team="search",
        agent=agent,
        run_path=run_path,
        user="bob",
        tags=(("feature", "search"),),
        model="gpt-5-mini",
        deployment="gpt-5-mini@openai",
        provider="openai",
        upstream_model="gpt-5-mini-2026",
        unpriced=False,
    )


def charge(
    request: str = "req_1", cost: int = 250, *, attempt: int = 1, tokens: int = 30, window_at_s: float = NOON_S
) -> ChargePosted:
    return ChargePosted(
        charge_id=f"{request}.{attempt}",
        request_id=request,
        attempt=attempt,
        at_s=window_at_s + 1,
        org="acme",
        team="search",
        agent="researcher",
        model="gpt-5-mini",
        deployment="gpt-5-mini@openai",
        provider="openai",
        upstream_model="gpt-5-mini-2026",
        usage=Usage(tokens - 10, 10),
        price_point="config:gpt-5-mini",
        service_tier="default",
        cost_nano_usd=NanoUsd(cost),
        estimated=False,
        unpriced=False,
        outcome="ok",
        purpose="useful",
        upstream_status=200,
        latency_ms=12.5,
        first_token_ms=None,
        user="bob",
        tags=(("feature", "search"),),
        window_at_s=window_at_s,
    )


def run(name: str = "researcher/r1", *parents: str, state: str = "open") -> Run:
    return Run(
        id=name,
        path=(name, *parents),
        org="acme",
        agent="researcher",
        limits=RunLimits(cost=NanoUsd(1_000), wall_s=60.0),
        opened_at_s=NOON_S,
        closes_at_s=NOON_S + 3_600,
        state=state,  # type: ignore[arg-type]  # tests say it right
    )
