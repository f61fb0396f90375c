"""Bodies of `POST /v1/runs`."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.api.runs import read_new_run
from gateway.errors import BadRequest, InvalidField, InvalidJson
from gateway.ledger.budgets import RunLimits
from gateway.runs import RunAsked
from routing.money import NanoUsd


def read(body: Any) -> RunAsked:
    return read_new_run(json.dumps(body).encode())


@pytest.mark.parametrize("body", [b"", b" \n", b"{}"])
def test_nothing_special(body: bytes) -> None:
    assert read_new_run(body) == RunAsked()


def test_everything() -> None:
    limits = {"cost_usd": "1.50", "requests": 10, "tokens": 1000, "wall_s": 60, "depth": 0, "children": 2}
    asked = read({"id": "r.1", "parent": "a/b", "parent_key": "k", "limits": limits, "carve_usd": 0.25, "ttl_s": 5})
    assert asked == RunAsked(
        "r.1", "a/b", "k", RunLimits(NanoUsd(1_500_000_000), 10, 1000, 60.0, 0, 2), NanoUsd(250_000_000), 5.0
    )


def test_numbers_are_read_exactly() -> None:
    assert read_new_run(b'{"carve_usd": 0.100000001}').carve == 100_000_001
    assert read_new_run(b'{"carve_usd": "0.100000001"}').carve == 100_000_001
    assert read({"carve_usd": None, "limits": {"cost_usd": None}}) == RunAsked()


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"id": "a/b"}, "id"),
        ({"id": ""}, "id"),
        ({"id": "x" * 129}, "id"),
        ({"id": 5}, "id"),
        ({"parent": "a/b/c"}, "parent"),
        ({"limits": {"requests": 0}}, "limits.requests"),
        ({"limits": {"depth": -1}}, "limits.depth"),
        ({"limits": {"wall_s": 0}}, "limits.wall_s"),
        ({"limits": {"cost_usd": "-1"}}, "limits.cost_usd"),
        ({"limits": {"cost_usd": "1e3"}}, "limits.cost_usd"),
        ({"limits": {"cost_usd": {}}}, "limits.cost_usd"),
        ({"limits": {"cost": 1}}, "limits"),
        ({"carve_usd": 0}, "carve_usd"),
        ({"carve_usd": True}, "carve_usd"),
        ({"carve_usd": "2000000000"}, "carve_usd"),
        ({"ttl_s": 1e12}, "ttl_s"),
        ({"colour": "red"}, None),
        ([], None),
    ],
)
def test_what_is_wrong_is_named(body: Any, param: str | None) -> None:
    with pytest.raises(InvalidField) as raised:
        read(body)
    assert raised.value.param == param
    if param is not None:
        assert param in raised.value.message


@pytest.mark.parametrize("body", [b"{", b"nothing", b'{"id": "\xff"}', b"[" * 100_000])
def test_no_json(body: bytes) -> None:
    with pytest.raises((InvalidJson, InvalidField)):
        read_new_run(body)


@given(
    st.dictionaries(
        st.sampled_from(["id", "parent", "limits", "carve_usd", "ttl_s"]),
        st.recursive(
            st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
            lambda inner: st.dictionaries(st.sampled_from(["cost_usd", "requests", "depth"]), inner, max_size=3),
            max_leaves=5,
        ),
    )
)
def test_nothing_else_escapes(body: dict[str, Any]) -> None:
    try:
        assert isinstance(read(body), RunAsked)
    except BadRequest:
        pass
