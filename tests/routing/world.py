"""A small catalog and policies over it, for tests of the router."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from routing.catalog import Catalog, Deployment, Model
from routing.decision import NO_FACTS, Wanted
from routing.money import ContextTier, Price, PricePeriod, PricePoint
from routing.rules import CompiledPolicy, Facts, Rule, Tier


def price(input_pico: int, output_pico: int | None = None, cached_pico: int | None = None) -> Price:
    """Rates in pico-USD a token: 1,000,000 is a dollar for a million."""
    output = 4 * input_pico if output_pico is None else output_pico
    cached = input_pico // 10 if cached_pico is None else cached_pico
    point = PricePoint("test", input_pico, output, cached, *[input_pico] * 5, output, output)
    return Price((PricePeriod({"default": (ContextTier(0, point),)}),))


def deployment(name: str, input_pico: int = 1_000_000, provider: str = "p", **fields: Any) -> Deployment:
    return Deployment(f"{provider}/{name}", provider, name, fields.pop("price", price(input_pico)), **fields)


def model(name: str, input_pico: int = 1_000_000, **fields: Any) -> Model:
    return Model(name, (deployment(name, input_pico, **fields),))


def catalog(*models: Model, **aliases: str) -> Catalog:
    return Catalog({each.name: each for each in models}, aliases)


SMALL, MIDDLE, LARGE = model("small", 100_000), model("middle", 1_000_000), model("large", 10_000_000)
THREE = catalog(SMALL, MIDDLE, LARGE)
TIERS = (Tier("cheap", ("small",)), Tier("good", ("middle",)), Tier("best", ("large",)))


class When(NamedTuple):
    """A condition in Python."""

    test: Callable[[Facts], bool | None]
    reads: frozenset[str] = frozenset()
    unless: Callable[[Facts], bool] = lambda _facts: False
    """What look-ups tell before the test is asked."""

    def excludes(self, facts: Facts) -> bool:
        return self.unless(facts)

    def matches(self, facts: Facts) -> bool | None:
        return self.test(facts)


def policy(*rules: Rule, default: str | tuple[str, ...] | Rule = "good", **fields: Any) -> CompiledPolicy:
    if not isinstance(default, Rule):
        default = Rule("default", None, (default,) if isinstance(default, str) else default)
    written: dict[str, Any] = {
        "name": "test",
        "tiers": TIERS,
        "default": default,
        "claims": frozenset(("auto",)),
        "floors": {},
        "ceilings": {},
        **fields,
    }
    return CompiledPolicy(rules=rules, **written)


def wanted(*, model: str = "auto", agent: str = "tester", **fields: Any) -> Wanted:
    """A request; fields of `Facts` and of `Wanted` alike."""
    facts = {name: fields.pop(name) for name in list(fields) if name in Facts._fields}
    usual: dict[str, Any] = {"agent": agent, "model": model, "input_tokens": 1_000, "max_output_tokens": 500, **facts}
    return Wanted(NO_FACTS._replace(**usual), **{"request_id": "r1", **fields})
