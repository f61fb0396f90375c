"""What a budget applies to."""

from __future__ import annotations

from gateway.ledger.budgets import NO_LIMITS, RunLimits
from gateway.ledger.reservation import TRANSITIONS, after
from gateway.ledger.scopes import Labels, Scope
from routing.money import NanoUsd

LABELS = Labels("acme", "search", "researcher", "small", "openai", ("r/b", "r/a"), "bob", (("f", "x"), ("f", "x")))


def test_a_scope_of_one_value_is_somebody_elses_or_counts_once() -> None:
    assert Scope("global").values(LABELS) == ("",)
    assert Scope("agent", "researcher").values(LABELS) == ("researcher",)
    assert Scope("agent", "writer").values(LABELS) == ()
    assert Scope("user", "bob").values(LABELS._replace(user=None)) == ()


def test_a_scope_of_each_value_has_a_counter_for_every_one() -> None:
    assert Scope("run", "*").values(LABELS) == ("r/b", "r/a")
    assert Scope("model", "*").values(LABELS) == ("small",)
    assert Scope("tag", "*", "f").values(LABELS) == ("x",), "never the same counter twice"


def test_a_scope_of_each_value_knows_when_the_request_does_not_say() -> None:
    assert Scope("user", "*").values(LABELS._replace(user=None)) is None
    assert Scope("tag", "*", "other").values(LABELS) is None


def test_scopes_are_named_for_people() -> None:
    assert str(Scope("global")) == Scope("global").describe("") == "global"
    assert str(Scope("tag", "*", "f")) == "tag:f=*"
    assert Scope("tag", "*", "f").describe("x") == "tag:f=x"
    assert Scope("agent", "*").describe("researcher") == "agent:researcher"


def test_a_request_can_only_lower_limits() -> None:
    ours = RunLimits(cost=NanoUsd(5), requests=3)
    assert ours.lowered(RunLimits(cost=NanoUsd(9), requests=1, tokens=7)) == RunLimits(NanoUsd(5), 1, 7)
    assert ours.lowered(NO_LIMITS) == ours


def test_a_reservation_ends_once() -> None:
    ended = {"settled", "released", "corrected"}
    assert {state for state, _ in TRANSITIONS} == {"pending", "orphaned"}
    assert after("orphaned", "extend") is None
    assert all(after(state, "settle") is None for state in ended)
