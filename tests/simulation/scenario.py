"""What one seed stands for: providers and their weather, agents, budgets, and the requests that come."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any, Final, NamedTuple

from gateway.config.snapshot import Agent, Endpoint, QueueSettings, Resilience, Snapshot, StorageSettings, Timeouts
from gateway.identity.keys import KeyRecord, key_digest
from gateway.ledger.budgets import Budget, Quota, RateLimit
from gateway.ledger.scopes import Scope
from gateway.ledger.windows import Window
from gateway.pricing.override import compile_override
from routing.attempts import AttemptRules
from routing.breaker import BreakerSettings
from routing.catalog import Catalog, Deployment, Metering, Model
from routing.hedge import HedgeSettings
from routing.money import NANO_PER_USD, NanoUsd
from routing.retry_budget import RetryBudgetSettings
from tests.gateway.snapshots import snapshot_of
from tests.simulation.provider import Manner
from tests.simulation.weather import Weather, draw_weather

AGENTS: Final = ("researcher", "writer")
MODEL: Final = "gpt"
_MAX_OUTPUT_TOKENS = 400
_MEAN_COST_NANO = 150_000
"""About what a request costs, in nano-USD: some 40 tokens at 3 to 4 USD a million."""


class Wanted(NamedTuple):
    """One request that will come."""

    at_s: float
    agent: str
    stream: bool
    include_usage: bool
    max_tokens: int | None
    words: int
    leaves_after_s: float | None
    slow_s: float
    cancelled_after_s: float | None
    """The server itself gives it up, as when it is stopped."""
    timeout_s: float | None
    """As its client asks."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """Everything that a seed decides beforehand."""

    seed: int
    length_s: float
    snapshot: Snapshot
    manners: dict[str, Manner]
    deployments: tuple[Deployment, ...]
    requests: tuple[Wanted, ...]

    def describe(self) -> str:
        """For people who look at a failure."""
        lines = [f"seed {self.seed}: {len(self.requests)} requests in {self.length_s:.0f} s"]
        for name, manner in self.manners.items():
            lines.append(f"  {name}: {', '.join(map(str, manner.weather.spells)) or 'fine'}")
        for budget in self.snapshot.budgets:
            lines.append(f"  budget {budget.id} {budget.scope}: {budget.limit} nano-USD, {budget.window}")
        return "\n".join(lines)


def draw(
    seed: int, directory: Path, requests: int, *, sound: bool = False, requests_per_s: float | None = None
) -> Scenario:
    """The scenario of a seed. `sound`: with money enough, and a last provider that is always well."""
    chance = Random(f"scenario {seed}")
    length_s = requests / (chance.choice((5, 20, 60)) if requests_per_s is None else requests_per_s)
    manners = {f"p{number}": _manner(chance, length_s) for number in range(chance.choice((1, 1, 2, 2, 3)))}
    if sound:
        manners["sound"] = replace(_manner(chance, length_s), weather=Weather([]))
    deployments = tuple(_deployment(name, manner, chance) for name, manner in manners.items())
    if chance.random() < 0.3:  # one more at the first provider
        twin = f"{deployments[0].upstream_model}-twin"
        deployments += (replace(deployments[0], id=f"{deployments[0].provider}/{twin}", upstream_model=twin),)
    snapshot = _snapshot(chance, directory, deployments, requests)
    if sound:
        everything = Budget("all", Scope("global"), NanoUsd(1_000 * NANO_PER_USD), Window("total"))
        snapshot = replace(snapshot, budgets=(everything,), rate_limits=())
    return Scenario(
        seed,
        length_s,
        snapshot,
        manners,
        deployments,
        tuple(sorted(_wanted(chance, length_s) for _ in range(requests))),
    )


def _manner(chance: Random, length_s: float) -> Manner:
    return Manner(
        weather=draw_weather(chance, length_s, steady=chance.random() < 0.3),
        first_s=chance.uniform(0.05, 0.4),
        tokens_per_s=chance.uniform(50, 300),
        tokens_per_event=chance.choice((1, 1, 4)),
        cancel_s=chance.choice((0.0, 0.2)),
    )


def _deployment(provider: str, manner: Manner, chance: Random) -> Deployment:
    price = compile_override({"input": chance.choice(("1", "2.5")), "output": chance.choice(("3", "10"))}, "simulated")
    metering = None
    if chance.random() < 0.7:
        metering = Metering(manner.tokens_per_event, manner.tokens_per_s, manner.cancel_s)
    return Deployment(
        f"{provider}/{MODEL}-{provider}",
        provider,
        f"{MODEL}-{provider}",
        price,
        context_tokens=8_000,
        max_output_tokens=_MAX_OUTPUT_TOKENS,
        metering=metering,
    )


def _wanted(chance: Random, length_s: float) -> Wanted:
    stream = chance.random() < 0.5
    return Wanted(
        at_s=chance.uniform(0, length_s),
        agent=chance.choice(AGENTS),
        stream=stream,
        include_usage=stream and chance.random() < 0.5,
        max_tokens=chance.choice((None, 20, 60, 200)),
        words=chance.randint(1, 40),
        leaves_after_s=chance.expovariate(1.0) if chance.random() < 0.08 else None,
        slow_s=chance.choice((0.02, 0.5)) if chance.random() < 0.05 else 0.0,
        cancelled_after_s=chance.expovariate(1.0) if chance.random() < 0.01 else None,
        timeout_s=chance.choice((0.5, 2.0, 60.0)) if chance.random() < 0.05 else None,
    )


def _snapshot(chance: Random, directory: Path, deployments: tuple[Deployment, ...], requests: int) -> Snapshot:
    agents = {
        name: Agent(
            name,
            "quality",
            "acme",
            reserve=chance.choice(("strict", "calibrated")),
            assemble_whole_answers=chance.random() < 0.5,
            clamp_min_output_tokens=chance.choice((None, 16)),
        )
        for name in AGENTS
    }
    keys = tuple(KeyRecord(f"config:{name}", key_digest(key_of(name)), name) for name in AGENTS)
    endpoints = {each.provider: _endpoint(each.provider) for each in deployments}
    return snapshot_of(
        storage=StorageSettings(dir=directory),
        endpoints=endpoints,
        catalog=Catalog({MODEL: Model(MODEL, deployments, hedge=_hedge(chance))}),
        agents=agents,
        keys=keys,
        budgets=_budgets(chance, deployments, requests * _MEAN_COST_NANO),
        rate_limits=_limits(chance),
        queue=QueueSettings(wait_s=chance.choice((0.0, 2.0))),
        limits_version=1,
        resilience=_resilience(chance),
    )


def _hedge(chance: Random) -> HedgeSettings | None:
    return HedgeSettings(min_calls=10, ratio=0.1) if chance.random() < 0.4 else None


def _resilience(chance: Random) -> Resilience:
    return Resilience(
        BreakerSettings(open_s=chance.choice((0.5, 5.0)), probes=chance.choice((1, 2)), probe_s=8.0),
        AttemptRules(retries=chance.choice((0, 2, 2)), retry_billable=chance.random() < 0.2),
        RetryBudgetSettings(floor=chance.choice((0, 3))),
    )


def _endpoint(provider: str) -> Endpoint:
    timeouts = Timeouts(connect_s=1.0, first_byte_s=6.0, idle_s=3.0, total_s=20.0)
    return Endpoint(provider, f"http://{provider}.test/v1", (), timeouts=timeouts)


def _budgets(chance: Random, deployments: tuple[Deployment, ...], expected_nano: int) -> tuple[Budget, ...]:
    """Mostly one over everything; some are too small for what is to come."""
    if chance.random() < 0.1:
        return ()

    def budget(name: str, scope: Scope, share: float, **more: Any) -> Budget:
        plenty = 1_000 * NANO_PER_USD
        limit = chance.choice((plenty, plenty, expected_nano * 4, int(expected_nano * share / 2)))
        return Budget(name, scope, NanoUsd(limit), more.pop("window", Window("total")), **more)

    found = [budget("all", Scope("global"), 1.0)]
    if chance.random() < 0.5:
        found.append(budget("each", Scope("agent", "*"), 0.5, reserve=chance.choice((None, "strict", "calibrated"))))
    if chance.random() < 0.4:
        found.append(budget("first", Scope("provider", deployments[0].provider), 0.7))
    if chance.random() < 0.3:
        found.append(budget("lately", Scope("org", "acme"), 0.3, window=Window("rolling", length_s=60)))
    if chance.random() < 0.2:
        found.append(budget("looked-at", Scope("model", MODEL), 0.3, enforce=False))
    return tuple(found)


def _limits(chance: Random) -> tuple[RateLimit, ...]:
    if chance.random() < 0.7:
        return ()
    return (RateLimit("fair", Scope("agent", "*"), requests=Quota(600, 60.0, 60), concurrency=chance.choice((3, 30))),)


def key_of(agent: str) -> str:
    """An agent's key."""
    return f"fb-simulated-{agent}"
