"""How likely a model is to get an agent's request right: its record with that agent, corrected by the request's text.

    p(agent, model, request) = record(agent, model) + slopes(agent, model) . (signals(request) - the usual signals)

A record is a mean of outcomes, drawn towards what the model's overall record and the agent's overall difficulty let
expect; the slopes are a ridge regression on the complexity model's five signals. Both are held as sums, so that
outcomes can be added one by one, in any order, and two processes' records can be put together. Thin evidence makes a
model no candidate: then the strong one answers. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

SIGNALS: Final = 5
"""`routing.complexity.Complexity.signals`."""
MIN_OUTCOMES: Final = 20
"""With fewer outcomes of a model with an agent, the model is not chosen for its price."""
PRIOR_OUTCOMES: Final = 10.0
"""How many outcomes the expectation counts for, beside a model's record with an agent."""
PRIOR_AGENT_OUTCOMES: Final = 10.0
"""How many outcomes the assumption counts for that an agent's work is of average difficulty."""
SLOPE_PRECISION: Final = 80.0
"""Ridge on the slopes: how much evidence it takes to believe the text; by cross validation."""
_LIMIT = 6.0
_LOWEST, _HIGHEST = 0.001, 0.999

Signals = Sequence[float]


class Candidate(NamedTuple):
    """A model that may answer."""

    model: str
    expected_usd: float
    """What this request is expected to cost with it."""


class Record:
    """Outcomes of one model with one agent, as sums."""

    __slots__ = ("_slopes", "count", "cross", "products", "scores", "signals")

    def __init__(self) -> None:
        self.count = 0.0
        """Outcomes, each by its weight."""
        self.scores = 0.0
        """Sum of the scores, and so with all sums: each by its outcome's weight."""
        self.signals = [0.0] * SIGNALS
        self.products = [0.0] * (SIGNALS * (SIGNALS + 1) // 2)
        """Sums of the products of two signals: the lower triangle, row by row."""
        self.cross = [0.0] * SIGNALS
        """Sums of the products of a signal and the score."""
        self._slopes: list[float] | None = None

    def add(self, signals: Signals, score: float, weight: float = 1.0) -> None:
        """Learn from one outcome: `score` is 0..1; it counts as `weight` outcomes."""
        bounded = _bounded(signals)
        self.count += weight
        self.scores += weight * score
        place = 0
        for row, value in enumerate(bounded):
            weighed = weight * value
            self.signals[row] += weighed
            self.cross[row] += weighed * score
            for other in bounded[: row + 1]:
                self.products[place] += weighed * other
                place += 1
        self._slopes = None

    def amend(self, signals: Signals, change: float) -> None:
        """An outcome's score turned out `change` higher than it was learned."""
        self.scores = min(self.count, max(0.0, self.scores + change))
        self.cross = [total + value * change for total, value in zip(self.cross, _bounded(signals), strict=True)]
        self._slopes = None

    def fade(self, share: float) -> None:
        """Forget: all outcomes so far count `share` of what they did."""
        self.count *= share
        self.scores *= share
        for sums in (self.signals, self.products, self.cross):
            sums[:] = [total * share for total in sums]
        self._slopes = None

    @property
    def usual(self) -> Signals:
        """The mean of the signals; zeros without outcomes."""
        return [total / self.count for total in self.signals] if self.count else [0.0] * SIGNALS

    def merge(self, other: Record) -> None:
        """Learn what another process learned."""
        self.count += other.count
        self.scores += other.scores
        self.signals = [a + b for a, b in zip(self.signals, other.signals, strict=True)]
        self.products = [a + b for a, b in zip(self.products, other.products, strict=True)]
        self.cross = [a + b for a, b in zip(self.cross, other.cross, strict=True)]
        self._slopes = None

    @property
    def mean(self) -> float:
        """The mean score; 0 without outcomes."""
        return self.scores / self.count if self.count else 0.0

    def correction(self, signals: Signals) -> float:
        """What the text adds to the mean, for a request that is harder or easier than this agent's usual ones."""
        if not self.count:
            return 0.0
        if self._slopes is None:
            self._slopes = self._fitted()
        usual = self.signals
        count = self.count
        terms = zip(self._slopes, _bounded(signals), usual, strict=True)
        return sum(slope * (value - total / count) for slope, value, total in terms)

    def _fitted(self) -> list[float]:
        """The ridge regression of the score on the signals, both less their means."""
        count, means = self.count, [total / self.count for total in self.signals]
        matrix: list[list[float]] = []
        place = 0
        for row in range(SIGNALS):
            matrix.append([])
            for column in range(row + 1):
                matrix[row].append(self.products[place] - count * means[row] * means[column])
                place += 1
            matrix[row][row] += SLOPE_PRECISION
        right = [each - mean * self.scores for each, mean in zip(self.cross, means, strict=True)]
        return _solved(matrix, right)


class Quality:
    """What is known of every agent and model."""

    def __init__(self) -> None:
        self._records: dict[tuple[str, str], Record] = {}
        self._of_model: dict[str, tuple[float, float]] = {}
        self._of_agent: dict[str, dict[str, Record]] = {}

    def learn(self, agent: str, model: str, signals: Signals, score: float, weight: float = 1.0) -> None:
        """Add an outcome: 0 wrong, 1 right, or between. Raises ValueError for another score."""
        if not 0.0 <= score <= 1.0:
            raise ValueError(f"a score is 0..1, not {score}")
        record = self._records.get((agent, model))
        if record is None:
            record = self._records[agent, model] = Record()
            self._of_agent.setdefault(agent, {})[model] = record
        record.add(signals, score, weight)
        self._count(model, weight, weight * score)

    def _count(self, model: str, outcomes: float, score: float) -> None:
        count, scores = self._of_model.get(model, (0.0, 0.0))
        self._of_model[model] = (max(0.0, count + outcomes), max(0.0, scores + score))

    def amend(self, agent: str, model: str, signals: Signals, change: float) -> None:
        """An outcome that was learned turned out `change` better. Nothing, where it is forgotten."""
        record = self._records.get((agent, model))
        if record is not None:
            before = record.scores
            record.amend(signals, change)
            self._count(model, 0.0, record.scores - before)

    def fade(self, agent: str, model: str, share: float) -> None:
        """Forget a part of a model's record with an agent: what was learned counts `share` of what it did."""
        record = self._records[agent, model]
        self._count(model, -(1 - share) * record.count, -(1 - share) * record.scores)
        record.fade(share)

    def record(self, agent: str, model: str) -> Record | None:
        """A model's record with an agent."""
        return self._records.get((agent, model))

    def restore(self, agent: str, model: str, record: Record) -> None:
        """Take over a record that was kept, in place of what there is."""
        self.forget(agent, model)
        self._records[agent, model] = record
        self._of_agent.setdefault(agent, {})[model] = record
        self._count(model, record.count, record.scores)

    def forget(self, agent: str, model: str) -> None:
        """Forget a model's record with an agent."""
        record = self._records.pop((agent, model), None)
        if record is not None:
            del self._of_agent[agent][model]
            self._count(model, -record.count, -record.scores)

    def outcomes(self, agent: str, model: str) -> float:
        """How many outcomes there are, each by its weight."""
        record = self._records.get((agent, model))
        return record.count if record is not None else 0.0

    def p(self, agent: str, model: str, signals: Signals) -> float:
        """The probability that `model` gets this request of `agent` right; without any outcome of the model, 0.5."""
        record = self._records.get((agent, model))
        expected = self._expected(agent, model)
        if record is None:
            return expected
        mean = (record.scores + PRIOR_OUTCOMES * expected) / (record.count + PRIOR_OUTCOMES)
        return min(_HIGHEST, max(_LOWEST, mean + record.correction(signals)))

    def _expected(self, agent: str, model: str) -> float:
        """The model's overall record, plus how much easier than the average this agent's work is for all models."""
        overall = self._mean_of(model)
        count = easier = 0.0
        for name, record in self._of_agent.get(agent, {}).items():
            count += record.count
            easier += record.scores - record.count * self._mean_of(name)
        return min(_HIGHEST, max(_LOWEST, overall + easier / (count + PRIOR_AGENT_OUTCOMES)))

    def _mean_of(self, model: str) -> float:
        count, scores = self._of_model.get(model, (0.0, 0.0))
        return (scores + 1.0) / (count + 2.0)

    def choose(
        self, agent: str, strong: Candidate, others: Iterable[Candidate], signals: Signals, usd_weight: float
    ) -> str:
        """The model with the best p - `usd_weight` * expected cost: what a right answer is worth decides `usd_weight`.

        `strong` answers when evidence is thin: its own record or that of another candidate.
        """
        if self.outcomes(agent, strong.model) < MIN_OUTCOMES:
            return strong.model
        best = strong.model
        most = self.p(agent, strong.model, signals) - usd_weight * strong.expected_usd
        for model, usd in others:
            if self.outcomes(agent, model) < MIN_OUTCOMES:
                continue
            worth = self.p(agent, model, signals) - usd_weight * usd
            if worth > most:
                best, most = model, worth
        return best


def _bounded(signals: Signals) -> list[float]:
    return [min(_LIMIT, max(-_LIMIT, each)) for each in signals]


def _solved(matrix: list[list[float]], right: list[float]) -> list[float]:
    """The solution of a small positive definite system, by Cholesky. Takes the lower triangle, and overwrites it."""
    size = len(right)
    for row in range(size):
        for column in range(row + 1):
            rest = matrix[row][column] - sum(matrix[row][k] * matrix[column][k] for k in range(column))
            matrix[row][column] = rest**0.5 if row == column else rest / matrix[column][column]
    forward: list[float] = []
    for row in range(size):
        forward.append((right[row] - sum(matrix[row][k] * forward[k] for k in range(row))) / matrix[row][row])
    solution = [0.0] * size
    for row in reversed(range(size)):
        rest = forward[row] - sum(matrix[k][row] * solution[k] for k in range(row + 1, size))
        solution[row] = rest / matrix[row][row]
    return solution
