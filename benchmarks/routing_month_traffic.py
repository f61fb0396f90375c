"""A month of agents for `benchmarks.routing_month`: what they ask, what it is worth, and which model would be right."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import exp, log
from random import Random
from typing import Final, NamedTuple

DAYS: Final = 30
AGENTS: Final = 40
LEAST_USD, MOST_USD = 0.01, 50_000.0
PRICES: Final = {"light": (0.15, 0.60), "medium": (2.5, 10.0), "strong": (15.0, 75.0)}
"""USD for a million tokens of input and output."""
MODELS: Final = tuple(PRICES)
EASY_SHARE: Final = 0.4
"""Of agents, whose work the light model does about as well as the strong one. In recorded runs of real models it is so
for about as many tasks; on the others the strong one is right far more often."""
EASY_SKILLS: Final = ((1.7, 0.3), (1.9, 0.3), (2.0, 0.3))
HARD_SKILLS: Final = ((-0.4, 0.6), (0.8, 0.5), (2.0, 0.4))
"""Mean and standard deviation, over agents, of the log odds that a model gets a usual request right."""
SEEN_SHARE: Final = 0.4
"""How far the complexity score tells a request's difficulty: the correlation of the two. Within a task, text says
little about who will be right."""


@dataclass(frozen=True)
class Agent:
    """One agent."""

    name: str
    value_usd: float
    """Of a usual request's right answer."""
    traffic: float
    input_tokens: float
    output_tokens: float
    skills: tuple[float, ...]
    """Of each model at its work, in log odds."""


class Asked(NamedTuple):
    """One request."""

    at: float
    """Elapsed share of the month."""
    agent: Agent
    value_usd: float
    input_tokens: int
    output_tokens: int
    seen: float
    """Its difficulty as it looks, standard normal."""
    right: tuple[float, ...]
    """The probability that each model's answer is right."""
    cost_usd: tuple[float, ...]
    luck: float
    """A model that is right with a higher probability than this is right."""


def month(seed: int, requests: int, easy_share: float = EASY_SHARE) -> list[Asked]:
    """About so many requests, in their order, with working hours and weekends."""
    chance = Random(seed)
    agents = [_agent(number, easy_share, chance) for number in range(AGENTS)]
    traffic = [agent.traffic for agent in agents]
    times = sorted(_times(chance, requests))
    return [
        _asked(at, agent, chance)
        for at, agent in zip(times, chance.choices(agents, traffic, k=len(times)), strict=True)
    ]


def _agent(number: int, easy_share: float, chance: Random) -> Agent:
    """Its value is log-normal: three standard deviations reach from the least to the most."""
    middle, spread = (log(LEAST_USD) + log(MOST_USD)) / 2, (log(MOST_USD) - log(LEAST_USD)) / 6
    skills = EASY_SKILLS if number < easy_share * AGENTS else HARD_SKILLS
    return Agent(
        f"agent-{number:02}",
        min(max(chance.lognormvariate(middle, spread), LEAST_USD), MOST_USD),
        chance.lognormvariate(0, 1),
        chance.lognormvariate(log(1_500), 0.8),
        chance.lognormvariate(log(400), 0.6),
        tuple(chance.gauss(mean, deviation) for mean, deviation in skills),
    )


def _times(chance: Random, requests: int) -> Iterator[float]:
    """Most of them around two in the afternoon, three in ten at weekends."""
    for _ in range(requests):
        while True:
            day = chance.randrange(DAYS)
            if day % 7 not in (5, 6) or chance.random() < 0.3:
                break
        hour = chance.gauss(14, 3.5) if chance.random() < 0.85 else chance.uniform(0, 24)
        yield (day + (hour % 24) / 24) / DAYS


def _asked(at: float, agent: Agent, chance: Random) -> Asked:
    difficulty = chance.gauss(0, 1)
    seen = SEEN_SHARE * difficulty + (1 - SEEN_SHARE**2) ** 0.5 * chance.gauss(0, 1)
    input_tokens = int(agent.input_tokens * chance.lognormvariate(0, 0.4)) + 1
    output_tokens = int(agent.output_tokens * chance.lognormvariate(0, 0.5)) + 1
    value_usd = min(max(agent.value_usd * chance.lognormvariate(0, 0.5), LEAST_USD), MOST_USD)
    costs = tuple((rate * input_tokens + answer * output_tokens) / 1e6 for rate, answer in PRICES.values())
    right = tuple(1 / (1 + exp(difficulty - skill)) for skill in agent.skills)
    return Asked(at, agent, value_usd, input_tokens, output_tokens, seen, right, costs, chance.random())
