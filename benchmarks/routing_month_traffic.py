"""A month of agents for `benchmarks.routing_month`: what they ask, what it is worth, and which model would be right."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import exp, log, sqrt
from random import Random
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from gateway.pricing.override import compile_override
from routing.catalog import Catalog, Deployment, Model
from routing.quality import Quality

DAYS: Final = 30
AGENTS: Final = 40
LEAST_USD, MOST_USD = 0.01, 50_000.0
PRICES: Final = {"light": (0.15, 0.60), "medium": (2.5, 10.0), "strong": (15.0, 75.0)}
"""USD for a million tokens of input and output."""
EASY_SHARE: Final = 0.4
"""Of agents, whose work the light model does about as well as the strong one. In recorded runs of real models it is so
for about as many tasks; on the others the strong one is right far more often."""
EASY_SKILLS: Final = ((1.7, 0.3), (1.9, 0.3), (2.0, 0.3))
HARD_SKILLS: Final = ((-0.4, 0.6), (0.8, 0.5), (2.0, 0.4))
"""Mean and standard deviation, over agents, of the log odds that a model gets a usual request right."""
SEEN_SHARE: Final = 0.4
"""How far the complexity score tells a request's difficulty: the correlation of the two. Within a task, text says
little about who will be right."""
EVALUATED: Final = 40
"""Outcomes of each model with each agent that are known when the month begins."""
WEEKEND: Final = 0.3
"""A weekend day's requests, of a working day's."""
GROWTH: Final = 0.4
"""By so much the last day has more requests than the first."""
CAMPAIGN: Final = 2.5
"""So many times its usual requests come on one day between the 11th and the 27th."""

Floats = npt.NDArray[np.float64]
Signals = tuple[float, ...]


class Asked(NamedTuple):
    """One request. Tuples have an entry for each model of the world."""

    at: float
    """Elapsed share of the month."""
    agent: str
    value_usd: float
    input_tokens: int
    seen: float
    """How hard it looks: the higher, the harder."""
    signals: Signals
    right: tuple[float, ...]
    """The probability that each model's answer is right; a recorded answer's score."""
    known: tuple[float, ...]
    """What of that an all-knowing planner could know beforehand."""
    cost_usd: tuple[float, ...]
    luck: float
    """A model that is right with a higher probability than this is right."""


class World(NamedTuple):
    """A month that may be lived through again and again."""

    models: tuple[str, ...]
    ladder: tuple[int, ...]
    """The models that fixed thresholds choose between, weak to strong: two or three of them."""
    catalog: Catalog
    asked: list[Asked]
    """In their order."""
    output_tokens: Callable[[str, str], float | None]
    """Of an agent's usual answer by a model."""
    evaluated: Callable[[], Quality]
    """What is known of the models when the month begins."""


@dataclass(frozen=True)
class Agent:
    """One agent of the made-up world."""

    name: str
    value_usd: float
    """Of a usual request's right answer."""
    traffic: float
    input_tokens: float
    output_tokens: float
    skills: tuple[float, ...]
    """Of each model at its work, in log odds."""


def month(seed: int, requests: int, easy_share: float = EASY_SHARE) -> World:
    """A made-up world, with about so many requests."""
    chance = Random(seed)
    agents = [_agent(number, easy_share, chance) for number in range(AGENTS)]
    traffic = [agent.traffic for agent in agents]
    times = sorted(times_of(chance, requests))
    drawn = chance.choices(agents, traffic, k=len(times))
    asked = [_asked(at, agent, chance) for at, agent in zip(times, drawn, strict=True)]
    lengths = {agent.name: agent.output_tokens for agent in agents}

    def evaluated() -> Quality:
        quality, luck = Quality(), Random(f"evaluation {seed}")
        for name in dict.fromkeys(each.agent for each in asked):
            _evaluate(quality, next(agent for agent in agents if agent.name == name), luck)
        return quality

    return World(tuple(PRICES), (0, 1, 2), catalog_of(PRICES), asked, lambda agent, _: lengths[agent], evaluated)


def catalog_of(prices: Mapping[str, tuple[float, float]]) -> Catalog:
    """Models with these prices, in USD for a million tokens of input and output."""
    models = {}
    for name, (rate, answer) in prices.items():
        price = compile_override({"input": f"{rate}", "output": f"{answer}"}, name)
        models[name] = Model(name, (Deployment(f"recorded/{name}", "recorded", name, price),))
    return Catalog(models)


def times_of(chance: Random, requests: int) -> Iterator[float]:
    """Most of them around two in the afternoon; fewer at weekends, more towards the month's end, many on one day."""
    campaign = chance.randrange(10, 27)
    weights = [
        (WEEKEND if day % 7 in (5, 6) else 1.0) * (1 + GROWTH * day / (DAYS - 1)) * (CAMPAIGN if day == campaign else 1)
        for day in range(DAYS)
    ]
    for day in chance.choices(range(DAYS), weights, k=requests):
        hour = chance.gauss(14, 3.5) if chance.random() < 0.85 else chance.uniform(0, 24)
        yield (day + (hour % 24) / 24) / DAYS


def usual_value_usd(chance: Random) -> float:
    """What an agent's right answers are worth: three standard deviations reach from the least to the most."""
    middle, spread = (log(LEAST_USD) + log(MOST_USD)) / 2, (log(MOST_USD) - log(LEAST_USD)) / 6
    return _bounded(chance.lognormvariate(middle, spread))


def value_usd(usual: float, chance: Random) -> float:
    """What one of them is worth."""
    return _bounded(usual * chance.lognormvariate(0, 0.5))


def _bounded(usd: float) -> float:
    return float(min(max(usd, LEAST_USD), MOST_USD))


def _agent(number: int, easy_share: float, chance: Random) -> Agent:
    skills = EASY_SKILLS if number < easy_share * AGENTS else HARD_SKILLS
    return Agent(
        f"agent-{number:02}",
        usual_value_usd(chance),
        chance.lognormvariate(0, 1),
        chance.lognormvariate(log(1_500), 0.8),
        chance.lognormvariate(log(400), 0.6),
        tuple(chance.gauss(mean, deviation) for mean, deviation in skills),
    )


def _asked(at: float, agent: Agent, chance: Random) -> Asked:
    difficulty = chance.gauss(0, 1)
    seen = _seen(difficulty, chance)
    input_tokens = int(agent.input_tokens * chance.lognormvariate(0, 0.4)) + 1
    output_tokens = int(agent.output_tokens * chance.lognormvariate(0, 0.5)) + 1
    value = value_usd(agent.value_usd, chance)
    costs = tuple((rate * input_tokens + answer * output_tokens) / 1e6 for rate, answer in PRICES.values())
    right = tuple(1 / (1 + exp(difficulty - skill)) for skill in agent.skills)
    return Asked(at, agent.name, value, input_tokens, seen, _signals(seen), right, right, costs, chance.random())


def _seen(difficulty: float, chance: Random) -> float:
    """Its difficulty as it looks, standard normal."""
    return SEEN_SHARE * difficulty + sqrt(1 - SEEN_SHARE**2) * chance.gauss(0, 1)


def _signals(seen: float) -> Signals:
    """As `routing.complexity` gives them: each tier's log odds, the size, and the gain from a stronger model."""
    return -seen, 1.0 - seen, 2.0 - seen, 0.0, seen


def _evaluate(quality: Quality, agent: Agent, chance: Random) -> None:
    for name, skill in zip(PRICES, agent.skills, strict=True):
        for _ in range(EVALUATED):
            difficulty = chance.gauss(0, 1)
            right = chance.random() < 1 / (1 + exp(difficulty - skill))
            quality.learn(agent.name, name, _signals(_seen(difficulty, chance)), float(right))
