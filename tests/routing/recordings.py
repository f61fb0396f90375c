"""Recorded requests for tests of backtests."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from routing.money import NanoUsd, Usage, cost
from routing.profile import RequestProfile
from routing.recorded import Recorded
from tests.routing.world import THREE

START_S = 1_700_000_000.0


def profile(**fields: Any) -> RequestProfile:
    usual: dict[str, Any] = {
        "api": "chat",
        "model": "auto",
        "input_bytes": 3_000,
        "input_tokens": 1_000,
        "max_output_tokens": None,
        "answers": 1,
        "messages": 2,
        "tools": 0,
        "images": 0,
        "stream": False,
        "json_schema": False,
        "service_tier": "default",
    }
    return RequestProfile(**{**usual, **fields})


def paid(model: str, usage: Usage) -> NanoUsd:
    """What `usage` costs with a model of `THREE`."""
    price = THREE.models[model].deployments[0].price
    assert price is not None
    return cost(usage, price.at(usage.input_tokens, START_S))


def recorded(number: int = 1, model: str = "middle", **fields: Any) -> Recorded:
    """A request that `model` answered, at its price; fields of the profile and of `Recorded` alike."""
    shape = {name: fields.pop(name) for name in list(fields) if name in RequestProfile._fields}
    usage = fields.pop("usage", Usage(1_000, 200))
    usual: dict[str, Any] = {
        "request_id": f"req_{number}",
        "at_s": START_S + number,
        "org": "default",
        "team": "default",
        "agent": "tester",
        "profile": profile(**shape),
        "model": model,
        "usage": usage,
        "cost": paid(model, usage) if model in THREE.models else NanoUsd(0),
    }
    return Recorded(**{**usual, **fields})


@st.composite
def recordings(draw: st.DrawFn, models: tuple[str, ...] = ("small", "middle", "large")) -> list[Recorded]:
    """A few requests in the order of their times, some of them refused or without any answer."""
    rows = []
    for number in range(draw(st.integers(1, 25))):
        model = draw(st.sampled_from((*models, "")))
        tokens = draw(st.integers(0, 3_000))
        usage = Usage(tokens, draw(st.integers(0, 3_000)), draw(st.integers(0, tokens)))
        other = NanoUsd(draw(st.integers(0, 10**9)) if model else 0)
        refused = not model and draw(st.booleans())
        rows.append(
            recorded(
                number,
                model,
                agent=draw(st.sampled_from(("tester", "writer", "stranger"))),
                usage=usage if model else Usage(),
                cost=NanoUsd(paid(model, usage) + other) if model in THREE.models else NanoUsd(0),
                other_cost=other,
                outcome="ok" if model else "refused" if refused else "upstream_error",
                error_code="budget_exceeded" if refused else "",
                session=draw(st.sampled_from(("", "tester/a", "tester/b"))),
                run=draw(st.sampled_from(("", "tester/r"))),
                max_output_tokens=draw(st.none() | st.integers(1, 2_000)),
                answers=draw(st.integers(1, 3)),
                score=draw(st.none() | st.floats(0, 1)),
                complexity=draw(st.none() | st.floats(0, 1)),
            )
        )
    return rows
