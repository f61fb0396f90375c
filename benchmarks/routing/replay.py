"""Replay recorded answers: what a router would have chosen, what that costs, and how right it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from benchmarks.routing.data import Row
from routing.quality import MIN_OUTCOMES, SIGNALS, Candidate, Quality

Matrix = npt.NDArray[np.float64]
Choice = npt.NDArray[np.int64]

_NO_TEXT: Final = (0.0,) * SIGNALS


@dataclass(frozen=True, slots=True)
class Pool:
    """Models to choose from."""

    table: str
    models: tuple[str, ...]
    cheap: str
    """What a random mix mixes with the strong one."""
    strong: str

    @property
    def strong_index(self) -> int:
        """Where the strong model is among them."""
        return self.models.index(self.strong)


POOL7: Final = Pool(
    "pool7",
    (
        *("gpt-4o-mini-2024-07-18", "gpt-3.5-turbo-0125", "claude-3-haiku-20240307", "gpt-4o-2024-05-13"),
        *("gpt-4o-2024-08-06", "claude-3-5-sonnet-20240620", "claude-3-opus-20240229"),
    ),
    cheap="gpt-4o-mini-2024-07-18",
    strong="gpt-4o-2024-08-06",
)
LLMROUTER9: Final = Pool(
    "llmrouter9",
    ("gemma-2-9b-it", "llama-3.1-8b-instruct", "qwen2.5-7b-instruct", "llama-3.1-nemotron-51b-instruct"),
    cheap="gemma-2-9b-it",
    strong="llama-3.1-nemotron-51b-instruct",
)
ROUTELLM2: Final = Pool("routellm2", ("mixtral-8x7b", "gpt-4-1106-preview"), "mixtral-8x7b", "gpt-4-1106-preview")
POOLS: Final = (POOL7, LLMROUTER9, ROUTELLM2)


class Truth(NamedTuple):
    """What really happened. N rows, M models."""

    quality: Matrix
    usd: Matrix


class Belief(NamedTuple):
    """What the router thinks. N rows, M models."""

    p: Matrix
    usd: Matrix
    allowed: npt.NDArray[np.bool_]
    """Whether there is evidence enough to choose the model."""

    def choose(self, usd_weight: float) -> Choice:
        """The model for each row, as `Quality.choose` takes it."""
        worth = np.where(self.allowed, self.p - usd_weight * self.usd, -np.inf)
        chosen: Choice = worth.argmax(axis=1)
        return chosen


def truth(pool: Pool, rows: Sequence[Row]) -> Truth:
    """The recorded outcomes."""
    outcomes = [[row.outcomes[model] for model in pool.models] for row in rows]
    return Truth(
        np.array([[each.q for each in row] for row in outcomes]),
        np.array([[each.usd for each in row] for row in outcomes]),
    )


@dataclass(slots=True)
class Router:
    """An agent's records, and what its models' answers cost; learned from outcomes, one by one."""

    pool: Pool
    quality: Quality = field(default_factory=Quality)
    prices: Matrix = field(default_factory=lambda: np.zeros((0, 2)))
    """USD per token of input and of output, model by model."""
    lengths: dict[str, Matrix] = field(default_factory=dict)
    """With each agent, model by model: input tokens for a byte, and mean output tokens. The agent "" is all of them."""

    @classmethod
    def learned(cls, pool: Pool, rows: Sequence[Row], signals: Sequence[Sequence[float]]) -> Router:
        """From recorded outcomes."""
        router = cls(pool)
        lengths: dict[str, list[list[tuple[float, float]]]] = {"": []}
        for row, seen in zip(rows, signals, strict=True):
            outcomes = [row.outcomes[model] for model in pool.models]
            for model, outcome in zip(pool.models, outcomes, strict=True):
                router.quality.learn(row.agent, model, seen, outcome.q)
            tokens = [(each.input / row.input_bytes, each.out) for each in outcomes]
            lengths[""].append(tokens)
            lengths.setdefault(row.agent, []).append(tokens)
        router.lengths = {agent: np.array(each).mean(axis=0) for agent, each in lengths.items()}
        router.prices = prices_of(pool, rows)
        return router

    def belief(self, rows: Sequence[Row], signals: Sequence[Sequence[float]]) -> Belief:
        """What it thinks of each row and model."""
        models, known = self.pool.models, self.quality
        p = [[known.p(row.agent, m, seen) for m in models] for row, seen in zip(rows, signals, strict=True)]
        allowed = [[known.outcomes(row.agent, m) >= MIN_OUTCOMES for m in models] for row in rows]
        usd = [self.expected_usd(row) for row in rows]
        mask = np.array(allowed)
        strong = self.pool.strong_index
        mask[~mask[:, strong]] = False
        mask[:, strong] = True
        return Belief(np.array(p), np.array(usd), mask)

    def expected_usd(self, row: Row) -> Matrix:
        """What the row is expected to cost with each model: its input by its size, its output as usual."""
        usual = self.lengths.get(row.agent, self.lengths[""])
        expected: Matrix = (self.prices * usual * np.array((row.input_bytes, 1.0))).sum(axis=1)
        return expected

    def choose(self, row: Row, signals: Sequence[float], usd_weight: float) -> str:
        """The model for one row, by the gateway's own code."""
        usd = self.expected_usd(row).tolist()
        candidates = [Candidate(model, cost) for model, cost in zip(self.pool.models, usd, strict=True)]
        strong = candidates.pop(self.pool.strong_index)
        return self.quality.choose(row.agent, strong, candidates, signals, usd_weight)


def prices_of(pool: Pool, rows: Sequence[Row]) -> Matrix:
    """The list prices in USD per token of input and output, from what the recorded calls cost."""
    found = []
    for model in pool.models:
        outcomes = [row.outcomes[model] for row in rows]
        tokens = np.array([(each.input, each.out) for each in outcomes], dtype=float)
        # A constant output length is a multiple of nothing: least squares of least norm still gives the right cost.
        found.append(np.linalg.lstsq(tokens, np.array([each.usd for each in outcomes]), rcond=None)[0])
    return np.array(found)


def without_text(rows: Sequence[Row]) -> list[Sequence[float]]:
    """Signals that say nothing: what is left is the task table."""
    return [_NO_TEXT for _ in rows]
