"""How a wish is put: with what a metered bid is content, and whether others hold what it lacks."""

from __future__ import annotations

from itertools import count

import pytest

from gateway.admission.bids import Offer
from gateway.admission.demand import Demand
from gateway.ledger.operations import Amounts, Bid, Claim, Denial, Origin, Ticket, Unit
from tests.gateway.admission.world import deployment

ORIGIN = Origin("req", 1, "acme", "quality", "tester", "", None, (), "gpt", "one/gpt", "one", "gpt", False)
USUAL = Claim("b|usual", Unit.MONEY, 10_000, 1, "global", calibrated=True)
STRICT = Claim("b|strict", Unit.MONEY, 10_000, 1, "org:acme")
SLOTS = Claim("c|slots", Unit.SLOTS, 4, 1, "global")


def offered(*claims: Claim, metered: bool = True) -> Offer:
    bid = Bid(claims, (), Amounts(900, 90), Amounts(400, 40), Amounts(100, 10), 10, ORIGIN)
    return Offer(deployment("one"), bid, None, metered, Amounts(200, 5), metered)


def demand(*offers: Offer) -> Demand:
    made = count(1)
    return Demand(lambda: (list(offers), Ticket(f"made {next(made)}", tuple(each.bid for each in offers))), 5.0)


def denied(claim: Claim, reserved: int) -> Denial:
    return Denial("reserved", claim.key, claim.scope, claim.limit, 0, reserved)


def test_a_metered_bid_is_content_with_what_is_asked_for() -> None:
    wish = demand(offered(USUAL), offered(USUAL, metered=False))
    assert [each.least for each in wish.taking("whole").bids] == [(400, 40), (100, 10)]
    assert [each.least for each in wish.taking("opening").bids] == [(200, 5), (100, 10)]
    assert wish.taking() is wish.ticket
    assert (wish.ticket.id, wish.wait_s, wish.bounded) == ("made 1", 5.0, False)


def test_with_a_strict_budget_it_is_never_content_with_less_than_that_one_needs() -> None:
    wish = demand(offered(USUAL, STRICT))
    assert wish.taking("opening").bids[0].least == (200, 10)


def test_it_is_made_anew_for_another_window() -> None:
    wish = demand(offered(USUAL))
    again = wish.again("whole")
    assert (again.id, again.bids[0].least) == ("made 2", (400, 40))


@pytest.mark.parametrize("metered", [False, True])
def test_it_is_metered_if_any_candidate_is(*, metered: bool) -> None:
    assert demand(offered(USUAL, metered=False), offered(USUAL, metered=metered)).metered is metered


@pytest.mark.parametrize(
    ("claim", "reserved", "held"), [(USUAL, 201, True), (USUAL, 200, False), (STRICT, 201, True), (SLOTS, 4, False)]
)
def test_others_hold_it_where_more_is_under_way_than_a_beginning_needs(claim: Claim, reserved: int, held: bool) -> None:
    assert demand(offered(USUAL, STRICT, SLOTS)).others_hold([denied(claim, reserved)], None) is held


def test_tokens_are_looked_at_as_tokens() -> None:
    tokens = Claim("b|tokens", Unit.TOKENS, 1_000, 1, "global")
    assert demand(offered(tokens)).others_hold([denied(tokens, 6)], None)
    assert not demand(offered(tokens)).others_hold([denied(tokens, 5)], None)


def test_only_those_that_were_asked_for_are_looked_at() -> None:
    wish = demand(offered(STRICT), offered(USUAL))
    assert wish.others_hold([denied(USUAL, 201)], [1])
    assert not wish.others_hold([denied(USUAL, 201)], [0]), "the first has no such claim"
