"""Chooses deployments for a request: profile and catalog in, an ordered Route out. Pure."""

from __future__ import annotations

from typing import NamedTuple

from routing.catalog import Deployment, Model


class Route(NamedTuple):
    """Ordered candidates, the rule that chose them, and why."""

    model: Model
    candidates: tuple[Deployment, ...]
    """In order of preference, none without a price. Empty when the model has no other."""
    rule: str
    reason: str


def route(model: Model) -> Route:
    """The deployments of the model that was asked for, in the configuration's order (`strategy: ordered`)."""
    candidates = model.deployments
    for deployment in candidates:
        if deployment.price is None:
            candidates = tuple(each for each in candidates if each.price is not None)
            break
    return Route(model, candidates, "ordered", "first-deployment")
