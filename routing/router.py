"""Chooses deployments for a request: profile and catalog in, an ordered Route out. Pure."""

from __future__ import annotations

from typing import NamedTuple

from routing.catalog import Deployment, Model


class Route(NamedTuple):
    """Ordered candidates, the rule that chose them, and why."""

    model: Model
    candidates: tuple[Deployment, ...]
    """Never empty."""
    rule: str
    reason: str


def route(model: Model) -> Route:
    """The deployments of the model that was asked for, in the configuration's order (`strategy: ordered`)."""
    return Route(model, model.deployments, "ordered", "first-deployment")
