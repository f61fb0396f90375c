"""Fields that are renamed and left out, and bounds of which the lower counts."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.upstream.dialects.variant import MAX_TOKENS_ONLY, Variant
from tests.gateway.upstream.dialects.speaking import ENDPOINT, ask, wish_for


class Picky(Variant):
    name = "picky"
    renames = {**MAX_TOKENS_ONLY, "seed": "random_seed"}
    drops = frozenset(("user", "stream_options"))


def said(**fields: Any) -> dict[str, Any]:
    request = ask(**fields)
    body: dict[str, Any] = msgspec.json.decode(Picky().outgoing(request, wish_for(request), ENDPOINT).body)
    return body


def test_what_does_not_differ_goes_as_it_came() -> None:
    request = ask(model="large", temperature=0)

    assert Picky().outgoing(request, wish_for(request), ENDPOINT).body is request.body


def test_fields_are_renamed_and_left_out() -> None:
    body = said(seed=7, user="u", stream=True, store=True, max_completion_tokens=9)

    assert (body["random_seed"], body["max_tokens"], body["stream"], body["store"]) == (7, 9, True, True)
    assert body.keys().isdisjoint(("seed", "user", "stream_options", "max_completion_tokens"))


def test_the_providers_own_name_wins() -> None:
    assert said(seed=1, random_seed=2)["random_seed"] == 2
    assert said(seed=1, random_seed=None)["random_seed"] == 1
    assert said(seed=None, user=None).keys() == {"model", "messages"}


def test_our_own_bound_goes_by_the_known_name() -> None:
    request = ask()
    wish = wish_for(request, max_tokens=5, max_tokens_field="max_completion_tokens")

    body = msgspec.json.decode(Picky().outgoing(request, wish, ENDPOINT).body)

    assert body["max_tokens"] == 5
    assert "max_completion_tokens" not in body


BOUND = st.none() | st.integers(-2, 50)


@given(BOUND, BOUND, st.none() | st.integers(0, 50))
def test_the_lowest_of_all_bounds_is_sent(theirs: int | None, old: int | None, ours: int | None) -> None:
    request = ask(max_completion_tokens=theirs, max_tokens=old)
    body = msgspec.json.decode(Picky().outgoing(request, wish_for(request, max_tokens=ours), ENDPOINT).body)

    bounds = [bound for bound in (theirs, old, ours) if bound is not None and bound >= 0]
    sent = body.get("max_tokens")
    assert "max_completion_tokens" not in body
    assert (sent if sent is not None and sent >= 0 else None) == min(bounds, default=None)


@pytest.mark.parametrize("odd", ["many", 1.5, [1]])
def test_what_is_no_number_binds_nothing(odd: object) -> None:
    class Third(Variant):
        renames = {"n_predict": "max_tokens"}

    request = ask(max_tokens=3, n_predict=odd)

    assert msgspec.json.decode(Third().body(request, wish_for(request)))["max_tokens"] == 3
