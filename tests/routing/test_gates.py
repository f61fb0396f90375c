"""What a candidate has to be able to do, and be allowed to."""

from __future__ import annotations

from typing import Any

import pytest

from routing.catalog import Model
from routing.gates import Gate, demand_of, is_allowed
from tests.routing.world import deployment, model, wanted

ABLE: dict[str, Any] = {"tools": True, "parallel_tools": True, "vision": True, "json_schema": True}


def admit(found: Model, **request: Any) -> tuple[list[str], str]:
    admitted, reason = Gate(found, {}).admit(demand_of(wanted(**request)))
    return [] if admitted is None else [each.id for each in admitted.deployments], reason


def admit_named(found: Model, **request: Any) -> tuple[list[str], str]:
    admitted, reason = Gate(found, {}).admit_named(demand_of(wanted(**request)))
    return [] if admitted is None else [each.id for each in admitted.deployments], reason


@pytest.mark.parametrize(
    ("lacks", "request_fields"),
    [
        ("tools", {"tools": 1}),
        ("parallel_tools", {"tools": 1, "parallel_tools": True}),
        ("vision", {"images": 2}),
        ("json_schema", {"json_schema": True}),
    ],
)
def test_what_it_declares_that_it_cannot_do_excludes_it(lacks: str, request_fields: dict[str, Any]) -> None:
    assert admit(model("m", **{**ABLE, lacks: False}), **request_fields) == ([], lacks)
    assert admit(model("m", **ABLE), **request_fields) == (["p/m"], "")
    assert admit(model("m"), **request_fields) == (["p/m"], "")  # unknown counts as able
    assert admit(model("m", **{**ABLE, lacks: False})) == (["p/m"], "")  # nobody asks for it


def test_parallel_calls_matter_only_where_there_are_tools() -> None:
    assert admit(model("m", parallel_tools=False), parallel_tools=True) == (["p/m"], "")


def test_the_context_window_holds_the_input_and_the_bound_on_the_answer() -> None:
    assert admit(model("m", context_tokens=1_500), input_tokens=1_000, max_output_tokens=500) == (["p/m"], "")
    assert admit(model("m", context_tokens=1_499), input_tokens=1_000, max_output_tokens=500) == ([], "context")


def test_of_a_model_that_is_asked_for_by_name_a_doubtful_window_counts() -> None:
    """Its provider knows better how long a text is; only what is twice too long is refused."""
    short = model("m", context_tokens=1_000)
    assert admit_named(short, input_tokens=2_001, max_output_tokens=5_000) == (["p/m"], "")
    assert admit_named(short, input_tokens=2_002) == ([], "context")
    assert admit_named(model("m", context_tokens=1_000, vision=False), input_tokens=1_500, images=1) == ([], "vision")
    shorter, longer = deployment("a", context_tokens=1_000), deployment("b", context_tokens=9_000)
    group = Model("m", (shorter, longer))
    assert admit_named(group, input_tokens=500) == (["p/a", "p/b"], "")
    assert admit_named(group, input_tokens=1_500) == (["p/b"], "")
    assert admit_named(group, input_tokens=15_000) == (["p/b"], "")
    assert admit_named(group, input_tokens=20_000) == ([], "context")


def test_the_api_that_it_is_asked_by() -> None:
    assert admit(model("m", apis=frozenset(("chat",))), api="embeddings") == ([], "api")
    assert admit(model("m", apis=frozenset(("chat",))), api="chat") == (["p/m"], "")


def test_residency_needs_every_tag() -> None:
    both = frozenset(("eu", "iso27001"))
    assert admit(model("m", tags=both), residency=frozenset(("eu",))) == (["p/m"], "")
    assert admit(model("m", tags=frozenset(("eu",))), residency=both) == ([], "residency")
    assert admit(model("m"), residency=frozenset(("eu",))) == ([], "residency")
    assert admit(model("m")) == (["p/m"], "")


def test_a_model_passes_with_the_deployments_that_do() -> None:
    here = deployment("a", tags=frozenset(("eu",)), context_tokens=10_000)
    there = deployment("b", tags=frozenset(("us",)))
    third = deployment("c", tags=frozenset(("eu",)), vision=False)
    mixed = Model("m", (here, there, third), strategy="weighted", weights=(1, 2, 3))
    gate, eu = Gate(mixed, {}), frozenset(("eu",))
    admitted, _ = gate.admit(demand_of(wanted(residency=eu)))
    assert admitted is not None
    assert ([each.id for each in admitted.deployments], admitted.weights) == (["p/a", "p/c"], (1, 3))
    assert gate.admit(demand_of(wanted(residency=eu)))[0] is admitted  # made once
    assert admit(mixed, residency=eu, images=1) == (["p/a"], "")
    assert admit(mixed, residency=eu, images=1, input_tokens=20_000) == ([], "context,residency,vision")
    assert gate.admit(demand_of(wanted()))[0] is mixed


def test_what_has_no_price_is_never_called() -> None:
    free = deployment("free", price=None)
    assert admit(Model("m", (free, deployment("priced")))) == (["p/priced"], "")
    assert admit(Model("m", (free,))) == ([], "unpriced")
    assert admit(Model("m", (free,)), residency=frozenset(("eu",))) == ([], "unpriced")


@pytest.mark.parametrize(
    ("allowed", "passes"),
    [
        ((), True),
        ((frozenset(("m",)),), True),
        ((frozenset(("other",)),), False),
        ((frozenset(("m*",)), frozenset(("m", "x"))), True),
        ((frozenset(("m*",)), frozenset(("x",))), False),
        ((frozenset(("fast",)),), True),
        ((frozenset(),), False),
    ],
)
def test_models_that_the_agent_and_the_key_allow(allowed: tuple[frozenset[str], ...], passes: bool) -> None:
    admitted, reason = Gate(model("m"), {"fast": "m", "slow": "n"}).admit(demand_of(wanted(allowed=allowed)))
    assert (admitted is not None, reason) == (passes, "" if passes else "allowed_models")
    assert is_allowed(allowed, ("m", "fast")) is passes
