"""How good answers would have been, estimated from the answers that somebody judged. Pure.

The assumption: a model's answer to an agent's request is as good as its judged answers to that agent were on average,
drawn towards its judged answers to all agents where the agent has few. A request whose recorded answer was judged, and
that goes to the same model again, keeps its own score. Policies that send hard requests to strong models make cheap
models look better than they would be on the hard ones: the estimate is no promise, and an experiment tells more.

The interval is a bootstrap over runs, sessions or single requests (whichever of them requests belong to): each draw
weighs them anew (Poisson weights, Hanley and MacGibbon 2006) and repeats the whole estimate.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from routing.recorded import Recorded

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy as np
    import numpy.typing as npt

    _Numbers = npt.NDArray[np.float64]
    _Places = npt.NDArray[np.int64]

DRAWS: Final = 200
SHRINK: Final = 10.0
"""An agent with so many judged answers of a model counts as much as all agents together."""
_SEED: Final = 5
_NO_CELL: Final = -1
CONFIDENCE: Final = 0.95


class Quality(NamedTuple):
    """A mean score, 0 to 1, with its interval."""

    mean: float
    low: float
    high: float
    covered: float
    """Share of the answered requests that the mean is of: the others went to a model that nobody judged."""
    judged: int
    """Recorded answers that it rests on."""


def means(rows: Iterable[Recorded], least: int) -> dict[tuple[str, str], float]:
    """The mean score by agent and model, of those with at least `least` judged answers."""
    sums: dict[tuple[str, str], tuple[int, float]] = {}
    for row in rows:
        if row.score is not None and row.model:
            count, score = sums.get((row.agent, row.model), (0, 0.0))
            sums[row.agent, row.model] = (count + 1, score + row.score)
    return {pair: score / count for pair, (count, score) in sums.items() if count >= least}


class Outcomes:
    """Collects, request by request, what was judged and which model each world chooses."""

    def __init__(self, worlds: Sequence[str], draws: int = DRAWS) -> None:
        self._draws = draws
        self._cells: dict[tuple[str, str], int] = {}
        self._clusters: dict[str, int] = {}
        self._cluster: list[int] = []
        self._used: list[int] = []
        self._score: list[float] = []
        self._chosen: dict[str, list[int]] = {world: [] for world in worlds}
        self._models: list[str] = []

    def add(self, row: Recorded, chosen: dict[str, str]) -> None:
        """A request, and the model that answers it in each world; empty where none does."""
        cluster = row.run or row.session or row.request_id
        self._cluster.append(self._clusters.setdefault(cluster, len(self._clusters)))
        judged = row.score is not None and bool(row.model)
        self._used.append(self._cell(row.agent, row.model) if judged else _NO_CELL)
        self._score.append(row.score if row.score is not None else 0.0)
        for world, cells in self._chosen.items():
            model = chosen.get(world, "")
            cells.append(self._cell(row.agent, model) if model else _NO_CELL)

    def _cell(self, agent: str, model: str) -> int:
        found = self._cells.get((agent, model))
        if found is None:
            found = self._cells[agent, model] = len(self._cells)
            self._models.append(model)
        return found

    def estimates(self) -> dict[str, Quality | None]:
        """The quality of each world; None where nothing can be said."""
        judged = sum(cell != _NO_CELL for cell in self._used)
        if not judged:
            return dict.fromkeys(self._chosen)
        return _Estimator(self._cluster, self._used, self._score, self._models).estimates(
            self._chosen, judged, self._draws
        )


class _Estimator:
    """The numbers as arrays."""

    def __init__(self, cluster: list[int], used: list[int], score: list[float], models: list[str]) -> None:
        import numpy as np

        self._np = np
        self._cluster: _Places = np.asarray(cluster, np.int64)
        self._clusters = int(self._cluster.max()) + 1
        self._used: _Places = np.asarray(used, np.int64)
        self._judged = self._used != _NO_CELL
        self._score: _Numbers = np.asarray(score, np.float64)
        names = sorted(set(models))
        place = {name: at for at, name in enumerate(names)}
        self._model_of: _Places = np.asarray([place[name] for name in models], np.int64)
        self._sizes = (len(models), len(names))

    def estimates(self, chosen: dict[str, list[int]], judged: int, times: int) -> dict[str, Quality | None]:
        np = self._np
        worlds = {name: np.asarray(cells, np.int64) for name, cells in chosen.items()}
        ones = np.ones(len(self._cluster))
        points = {name: self._estimate(cells, ones) for name, cells in worlds.items()}
        draws: dict[str, list[float]] = {name: [] for name in worlds}
        generator = np.random.default_rng(_SEED)
        for _ in range(times):
            weights = generator.poisson(1.0, self._clusters)[self._cluster].astype(np.float64)
            means = self._means(weights)
            for name, cells in worlds.items():
                mean, _ = self._estimate(cells, weights, means)
                if mean is not None:
                    draws[name].append(mean)
        return {name: self._quality(points[name], draws[name], judged) for name in worlds}

    def _quality(self, point: tuple[float | None, float], draws: list[float], judged: int) -> Quality | None:
        mean, covered = point
        if mean is None:
            return None
        edge = (1 - CONFIDENCE) / 2
        low, high = self._np.quantile(draws, (edge, 1 - edge)) if draws else (0.0, 1.0)
        return Quality(mean, min(mean, float(low)), max(mean, float(high)), covered, judged)

    def _means(self, weights: _Numbers) -> _Numbers:
        """The score of each agent and model; NaN for models without a judged answer."""
        np, judged = self._np, self._judged
        cells, names = self._sizes
        used, weight = self._used[judged], weights[judged]
        count = np.bincount(used, weight, cells)
        total = np.bincount(used, weight * self._score[judged], cells)
        of_model = np.bincount(self._model_of, count, names)
        with np.errstate(invalid="ignore", divide="ignore"):
            overall = (np.bincount(self._model_of, total, names) / of_model)[self._model_of]
        means: _Numbers = (total + SHRINK * overall) / (count + SHRINK)
        return means

    def _estimate(self, cells: _Places, weights: _Numbers, means: _Numbers | None = None) -> tuple[float | None, float]:
        """The weighed mean over answered requests of which something is known, and the share of these."""
        np = self._np
        if means is None:
            means = self._means(weights)
        answered = cells != _NO_CELL
        scores = means[cells]
        own = self._judged & (cells == self._used)
        scores = np.where(own, self._score, scores)
        known = answered & ~np.isnan(scores)
        weight, total = weights[known].sum(), weights[answered].sum()
        if not weight:
            return None, 0.0
        return float((weights[known] * scores[known]).sum() / weight), float(weight / total)
