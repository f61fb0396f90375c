"""What the journal's entries count in, when counters are made from it."""

from __future__ import annotations

import pytest

from gateway.ledger.budgets import Budget
from gateway.ledger.operations import Origin
from gateway.ledger.scopes import Scope
from gateway.ledger.windows import Window
from gateway.store.seeding import labels_of, values_of
from routing.money import NanoUsd

ORIGIN = Origin(
    "req_1", 1, "acme", "research", "ada", "ada/root>ada/leaf", "u1", (("a", "b"),), "gpt", "sim/m", "sim", "m", False
)
COUNTERS = [
    (Scope("global"), ("",)),
    (Scope("org", "acme"), ("acme",)),
    (Scope("team", "*"), ("research",)),
    (Scope("agent", "*"), ("ada",)),
    (Scope("run", "*"), ("ada/leaf", "ada/root")),
    (Scope("user", "*"), ("u1",)),
    (Scope("tag", "*", "a"), ("b",)),
    (Scope("model", "*"), ("gpt",)),
    (Scope("provider", "*"), ("sim",)),
    (Scope("deployment", "*"), ("sim/m",)),
    (Scope("deployment", "sim/m"), ("sim/m",)),
    (Scope("deployment", "sim/other"), ()),
]


@pytest.mark.parametrize(("scope", "counters"), COUNTERS, ids=str)
def test_an_entry_counts_where_its_attempt_did(scope: Scope, counters: tuple[str, ...]) -> None:
    assert values_of(Budget("b", scope, NanoUsd(1), Window("total")), labels_of(ORIGIN)) == counters
