"""Values that many of these tests need."""

from __future__ import annotations

from gateway.ledger.operations import Amounts, Bid, Claim, Origin, Rate, Ticket, Unit
from gateway.telemetry.events import ChargePosted
from routing.money import NanoUsd, Usage

TEN = Amounts(10, 10)


def charge(id: str, spent: Amounts, window_at_s: float = 0.0) -> ChargePosted:
    return ChargePosted(
        charge_id=id,
        request_id=id.rpartition(".")[0],
        attempt=1,
        at_s=0.0,
        org="acme",
        team="search",
        agent="researcher",
        model="small",
        deployment="small@a",
        provider="a",
        upstream_model="small-1",
        usage=Usage(0, spent.tokens),
        price_point="p",
        service_tier="",
        cost_nano_usd=NanoUsd(spent.money),
        estimated=False,
        unpriced=False,
        outcome="ok",
        purpose="useful",
        upstream_status=200,
        latency_ms=1.0,
        first_token_ms=None,
        window_at_s=window_at_s,
    )


def origin(id: str, user: str | None = None) -> Origin:
    tags = (("feature", "search"),)
    names = ("acme", "search", "researcher")
    return Origin(id, 1, *names, "", user, tags, "small", "small@a", "a", "small-1", False)


def money(key: str, limit: int, version: int = 1, scope: str = "agent:researcher") -> Claim:
    return Claim(key, Unit.MONEY, limit, version, scope)


def ticket(request: str, claims: tuple[Claim, ...], amounts: Amounts = TEN, rates: tuple[Rate, ...] = ()) -> Ticket:
    bid = Bid(claims, rates, amounts, amounts, amounts, amounts.tokens, origin(request))
    return Ticket(f"{request}.1", (bid,))
