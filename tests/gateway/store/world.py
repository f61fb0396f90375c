"""A small world for the machine: budgets, rates and runs so tight that all kinds of refusals happen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from hypothesis import strategies as st

from gateway.ledger.budgets import RunLimits
from gateway.ledger.operations import Amounts, Bid, Claim, Origin, Rate, Run, Unit
from gateway.ledger.windows import Window
from routing.money import NanoUsd

ORIGIN = Origin("req", 1, "acme", "search", "researcher", "", None, (), "small", "small@a", "a", "small-1", False)
_HOUR = Window("hour")
ROLLING = "b|roll|search|rolling"
"""The counter that a store may drop when nothing has been in its window for a day, its limit with it."""
_BUCKET_S = 10
"""Of a window of ten minutes."""


class Limits(NamedTuple):
    """The limits of one version of the configuration."""

    version: int = 1
    scale: int = 1

    def changed(self, scale: int) -> Limits:
        """The next version."""
        return Limits(self.version + 1, scale)

    def older(self) -> Limits:
        """What a request that began before the last reload still carries: other limits, an older version."""
        return Limits(self.version - 1, 3 - self.scale)


def budgets(limits: Limits, now_s: float) -> list[Claim]:
    """Budgets that every attempt may count in: for ever, by the hour, rolling, in shadow; then of the model alone."""
    scale, version = limits.scale, limits.version
    span = _HOUR.at(now_s)
    hour = Claim(f"b|hour|acme|{span.id}", Unit.MONEY, 120 * scale, version, "org:acme")
    return [
        Claim("b|all||total", Unit.MONEY, 300 * scale, version, "global"),
        hour._replace(start_s=span.start_s, end_s=span.end_s),
        Claim(ROLLING, Unit.MONEY, 150 * scale, version, "team:search", bucket_s=_BUCKET_S),
        Claim("b|watch|researcher|total", Unit.MONEY, 50 * scale, version, "agent:researcher", enforced=False),
        Claim("b|model|small|total", Unit.MONEY, 250 * scale, version, "model:small"),
    ]


_OF_PARENTS = 4
"""So many of the budgets are the parents' too; the model's is not, and not in a carve."""


def carve_claims(
    limits: Limits, path: Sequence[Run], via: str | None, carve: NanoUsd, now_s: float
) -> tuple[Claim, ...]:
    """Where a run carves from: everything that an attempt of its parent would claim, but for the model's budget."""
    if not carve:
        return ()
    return tuple(_money(limits, path, via, now_s, of_parents=True))


def _money(limits: Limits, path: Sequence[Run], via: str | None, now_s: float, *, of_parents: bool) -> list[Claim]:
    claims = budgets(limits, now_s)
    if of_parents:
        claims = claims[:_OF_PARENTS]
    if via is not None:
        claims = claims[_OF_PARENTS:]
    for run in path:
        if run.limits.cost is not None:
            claims.append(Claim(f"r|{run.id}|cost", Unit.MONEY, run.limits.cost, 0, f"run:{run.id}"))
        if run.carve:
            return [*claims, Claim(f"k|{run.id}", Unit.MONEY, run.carve, 0, f"run:{run.id}")]
    return claims


def _counts(limits: Limits, path: Sequence[Run]) -> list[Claim]:
    claims = [
        Claim("c|few|researcher", Unit.SLOTS, 3 * limits.scale, limits.version, "agent:researcher"),
        Claim("c|watch|researcher", Unit.SLOTS, 1, limits.version, "agent:researcher", enforced=False),
    ]
    for run in path:
        scope = f"run:{run.id}"
        if run.limits.requests is not None:
            claims.append(Claim(f"r|{run.id}|requests", Unit.REQUESTS, run.limits.requests, 0, scope))
        if run.limits.tokens is not None:
            claims.append(Claim(f"r|{run.id}|tokens", Unit.TOKENS, run.limits.tokens, 0, scope))
    return claims


RATES = (
    Rate("g|few|acme|requests", Unit.REQUESTS, 7, 20.0, 4, "org:acme"),
    Rate("g|few|acme|tokens", Unit.TOKENS, 300, 60.0, 90, "org:acme"),
    Rate("g|watch|acme|tokens", Unit.TOKENS, 11, 60.0, 11, "org:acme", False),
)


@st.composite
def bids(draw: st.DrawFn, limits: Limits, path: Sequence[Run], via: str | None, now_s: float) -> tuple[Bid, ...]:
    """One to three candidates, each in some of the scopes; what an attempt's runs count is never left out."""
    found = []
    for _ in range(draw(st.integers(1, 3))):
        money = _money(limits, path, via, now_s, of_parents=False)
        claims = [*money, *_counts(limits, path)]
        optional = [not claim.scope.startswith("run:") for claim in claims]
        taken = [c for c, may in zip(claims, optional, strict=True) if not may or draw(st.integers(0, 3))]
        by_amount = (Unit.MONEY, Unit.TOKENS)
        claims = [c._replace(calibrated=c.unit in by_amount and draw(st.booleans())) for c in taken]
        rates = tuple(rate for rate in RATES if draw(st.booleans()))
        strict = Amounts(draw(st.integers(0, 90)), draw(st.integers(0, 90)))
        calibrated = Amounts(*(draw(st.integers(0, most)) for most in strict))
        least = draw(st.sampled_from((strict, Amounts(min(5, strict.money), min(5, strict.tokens)))))
        found.append(Bid(tuple(claims), rates, strict, calibrated, least, draw(st.integers(0, 120)), ORIGIN))
    return tuple(found)


def _optional(values: st.SearchStrategy[int]) -> st.SearchStrategy[int | None]:
    return st.none() | values


run_limits = st.builds(
    RunLimits,
    cost=_optional(st.integers(20, 150)).map(lambda cost: None if cost is None else NanoUsd(cost)),
    requests=_optional(st.integers(1, 4)),
    tokens=_optional(st.integers(20, 200)),
    wall_s=st.none() | st.sampled_from((3.0, 300.0)),
    depth=_optional(st.integers(0, 2)),
    children=_optional(st.integers(0, 2)),
)
