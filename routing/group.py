"""A model's group of deployments as candidates: the model's own strategy decides their order. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from routing.balance import STRATEGIES, Member
from routing.catalog import Deployment, Model
from routing.load import IDLE, Load


def candidates(model: Model, loads: Sequence[Load] = (), draw: float = 0.0) -> tuple[Deployment, ...]:
    """The model's deployments, best first; without those that have no price.

    `loads`: how each of the model's deployments is; empty: nothing is known. `draw`: a number of [0, 1) by chance.
    """
    if model.strategy == "ordered":
        return model.priced
    deployments = model.deployments
    count = len(deployments)
    described = zip(deployments, model.weights or (1,) * count, loads or (IDLE,) * count, strict=True)
    group = [Member(weight, load) for each, weight, load in described if each.price is not None]
    priced = model.priced
    return tuple([priced[place] for place in STRATEGIES[model.strategy].order(group, draw)])
