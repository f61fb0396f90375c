"""A model's deployments in their configured order, and why."""

from __future__ import annotations

from routing.catalog import Deployment, Model
from routing.money import Price, PricePeriod
from routing.router import route

PRICE = Price((PricePeriod({"default": ()}),))


def test_the_configured_order() -> None:
    first, second = (Deployment(f"{name}/m", name, "m", PRICE, model="m") for name in ("a", "b"))
    model = Model("m", (first, second))
    chosen = route(model)
    assert chosen.model is model
    assert chosen.candidates == (first, second)
    assert (chosen.rule, chosen.reason) == ("ordered", "first-deployment")


def test_what_has_no_price_is_no_candidate() -> None:
    free, priced = (Deployment(f"{name}/m", name, "m", price, model="m") for name, price in (("a", None), ("b", PRICE)))
    assert route(Model("m", (free, priced))).candidates == (priced,)
    assert route(Model("m", (free,))).candidates == ()
