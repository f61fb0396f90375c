"""The scenario of the burst: who calls, what every call's true answer is, and what may be spent. Pure, and seeded.

Two hundred clients in eight configured agents, four teams and one org. Budgets cover each agent, each team and
everything, so that all three levels bind at nearly the same time, in a different order everywhere.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random

NANO_PER_USD = 1_000_000_000
INPUT_NANO_USD, OUTPUT_NANO_USD = 150, 600
"""A token of the simulator's model `sim-small`."""
MAX_TOKENS = 16_384
SHORTEST, LONGEST, MEDIAN, SIGMA = 50, 2_000, 390, 0.8
"""Tokens of a true answer: log-normal, cut at both ends, with a mean of 500."""
TOKENS_PER_S = 400
FIRST_TOKEN_S = 0.1
LINGER_S = 0.3
"""How long the provider goes on generating, and billing, after its client has left."""
DISCONNECTS, ERRORS = 0.10, 0.05
STATUSES = (500, 503, 429)
GLOBAL = "global"

_WORDS = [
    "harbour",
    "depot",
    "ticket",
    "fare",
    "zone",
    "tram",
    "ferry",
    "line",
    "platform",
    "driver",
    "schedule",
    "ledger",
    "receipt",
    "budget",
    "token",
    "answer",
    "agent",
    "route",
    "signal",
    "bridge",
    "winter",
    "summer",
    "morning",
    "evening",
    "transfer",
    "delay",
    "station",
    "passenger",
    "engine",
    "cable",
    "junction",
]


@dataclass(frozen=True, slots=True)
class Size:
    """How large a burst is."""

    clients: int
    calls: int
    """Of each client, if nothing refuses it."""
    agents: Mapping[str, tuple[str, float, float]]
    """Agent -> its team, its share of the clients, its limit in mean calls."""
    teams: Mapping[str, float]
    """Limits in mean calls."""
    everything: float
    """The global limit in mean calls."""
    warm_calls: int = 48
    """Calls of each agent from which its habits are learned beforehand."""


def _team(number: int) -> dict[str, tuple[str, float, float]]:
    return {f"a{number}": (f"t{number}", 0.15, 100.0), f"b{number}": (f"t{number}", 0.10, 115.0)}


FULL = Size(
    clients=200,
    calls=9,
    agents={name: found for number in range(4) for name, found in _team(number).items()},
    teams={f"t{number}": 204.0 for number in range(4)},
    everything=780.0,
)
QUICK = Size(
    clients=24,
    calls=5,
    agents={"a0": ("t0", 0.6, 14.0), "b0": ("t0", 0.4, 14.0)},
    teams={"t0": 26.0},
    everything=25.0,
    warm_calls=12,
)


@dataclass(frozen=True, slots=True)
class Call:
    """One request that a client means to make, and what would truly become of it."""

    client: int
    number: int
    agent: str
    stream: bool
    prompt: str
    prompt_tokens: int
    tokens: int
    """Of the true answer."""
    leaves_at: int | None
    """The client disconnects after so many tokens."""
    status: int | None
    """The provider refuses it with this status."""

    @property
    def cost(self) -> int:
        """Nano-USD of the whole true answer."""
        return self.prompt_tokens * INPUT_NANO_USD + self.tokens * OUTPUT_NANO_USD


@dataclass(frozen=True, slots=True)
class Scenario:
    """Everything that is decided before the first request."""

    size: Size
    calls: tuple[tuple[Call, ...], ...]
    """By client, in order."""
    limits: Mapping[str, int]
    """Nano-USD by scope (`agent:a0`, `team:t0`, `global`)."""
    mean_cost: float
    """Nano-USD of a true answer."""

    def scopes(self, agent: str) -> tuple[str, str, str]:
        """The scopes that cover an agent's requests."""
        return f"agent:{agent}", f"team:{self.size.agents[agent][0]}", GLOBAL

    def demand(self) -> dict[str, float]:
        """Cost of all that clients mean to ask for, as a multiple of each limit."""
        wanted = dict.fromkeys(self.limits, 0)
        for calls in self.calls:
            for call in calls:
                for scope in self.scopes(call.agent):
                    wanted[scope] += call.cost
        return {scope: wanted[scope] / limit for scope, limit in self.limits.items()}


def scenario(size: Size, seed: int, count_tokens: Callable[[str], int]) -> Scenario:
    """Draw a burst. `count_tokens` is what the provider bills for a prompt."""
    dice = Random(seed)
    agents = _spread(size)
    calls = tuple(
        tuple(_call(dice, client, number, agents[client], count_tokens) for number in range(size.calls))
        for client in range(size.clients)
    )
    mean = sum(call.cost for of_client in calls for call in of_client) / (size.clients * size.calls)
    limits = {f"agent:{name}": round(worth * mean) for name, (_, _, worth) in size.agents.items()}
    limits |= {f"team:{name}": round(worth * mean) for name, worth in size.teams.items()}
    limits[GLOBAL] = round(size.everything * mean)
    return Scenario(size, calls, limits, mean)


def length(dice: Random) -> int:
    """Tokens of a true answer."""
    return max(SHORTEST, min(LONGEST, round(MEDIAN * math.exp(dice.gauss(0.0, SIGMA)))))


def words(dice: Random) -> str:
    """A prompt."""
    return " ".join(dice.choices(_WORDS, k=dice.randint(40, 160)))


def _spread(size: Size) -> list[str]:
    """Each client's agent: in turns, so that every agent has its share of each gateway."""
    wanted = {name: share * size.clients for name, (_, share, _) in size.agents.items()}
    spread: list[str] = []
    given = dict.fromkeys(wanted, 0)
    for client in range(1, size.clients + 1):
        name = max(wanted, key=lambda each: wanted[each] * client / size.clients - given[each])
        given[name] += 1
        spread.append(name)
    return spread


def _call(dice: Random, client: int, number: int, agent: str, count_tokens: Callable[[str], int]) -> Call:
    prompt, tokens, fate = words(dice), length(dice), dice.random()
    leaves_at = max(1, round(dice.random() * tokens)) if fate < DISCONNECTS else None
    status = dice.choice(STATUSES) if DISCONNECTS <= fate < DISCONNECTS + ERRORS else None
    stream = dice.random() < 0.5
    return Call(client, number, agent, stream, prompt, count_tokens(prompt), tokens, leaves_at, status)
