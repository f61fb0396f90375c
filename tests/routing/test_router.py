"""A model's deployments in their configured order, and why."""

from __future__ import annotations

from routing.catalog import Deployment, Model
from routing.router import route


def test_the_configured_order() -> None:
    first, second = (Deployment(f"{name}/m", name, "m", None) for name in ("a", "b"))
    model = Model("m", (first, second))
    chosen = route(model)
    assert chosen.model is model
    assert chosen.candidates == (first, second)
    assert (chosen.rule, chosen.reason) == ("ordered", "first-deployment")
