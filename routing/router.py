"""Chooses deployments for a request: profile and catalog in, an ordered Route out. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from routing.balance import STRATEGIES
from routing.catalog import Deployment, Model
from routing.group import candidates
from routing.load import Load


class Route(NamedTuple):
    """Ordered candidates, the rule that chose them, and why."""

    model: Model
    candidates: tuple[Deployment, ...]
    """In order of preference, none without a price. Empty when the model has no other."""
    rule: str
    reason: str


def route(model: Model, loads: Sequence[Load] = (), draw: float = 0.0) -> Route:
    """The deployments of the model that was asked for, in the order of its strategy.

    `loads`: how each of the model's deployments is; empty: nothing is known. `draw`: a number of [0, 1) by chance.
    """
    strategy = model.strategy
    if strategy == "ordered":  # the usual case
        return Route(model, model.priced, "ordered", "first-deployment")
    return Route(model, candidates(model, loads, draw), strategy, STRATEGIES[strategy].reason)
