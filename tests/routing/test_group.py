"""A model's deployments in the order of its strategy."""

from __future__ import annotations

from typing import Any

from routing.catalog import Deployment, Model
from routing.group import candidates
from routing.load import Load
from routing.money import Price, PricePeriod
from routing.router import route

PRICE = Price((PricePeriod({"default": ()}),))


def model(**changes: Any) -> Model:
    """Three deployments, the second without a price."""
    group = tuple(Deployment(f"{name}/m", name, "m", PRICE if name != "b" else None) for name in "abc")
    return Model("m", group, **changes)


def providers(of: Model, *given: Any) -> str:
    return "".join(each.provider for each in candidates(of, *given))


def test_the_load_belongs_to_the_deployment_beside_it() -> None:
    loads = [Load(3), Load(0), Load(1)]
    assert providers(model(strategy="least_busy"), loads) == "ca"
    assert providers(model(strategy="least_busy"), [Load(1), Load(0), Load(3)]) == "ac"
    assert providers(model(), loads) == "ac"


def test_so_does_the_weight() -> None:
    assert providers(model(strategy="weighted", weights=(0, 5, 1))) == "ca"
    assert providers(model(strategy="weighted", weights=(1, 5, 0)), (), 0.9) == "ac"


def test_what_is_not_known_is_even() -> None:
    even = model(strategy="fastest")
    assert {providers(even, (), draw) for draw in (0.1, 0.9)} == {"ac", "ca"}


def test_the_route_says_which_strategy_it_was() -> None:
    chosen = route(model(strategy="least_busy"), [Load(3), Load(0), Load(1)])
    assert (chosen.rule, chosen.reason) == ("least_busy", "least-busy")
    assert [each.provider for each in chosen.candidates] == ["c", "a"]
