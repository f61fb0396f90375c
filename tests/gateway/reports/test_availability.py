"""What is said of models whose candidates are well, or not."""

from __future__ import annotations

import pytest

from gateway.reports.availability import upstream_state
from routing.catalog import Deployment, Model

ONE, TWO, THREE = (Deployment(f"acme/{name}", "acme", name, None) for name in ("one", "two", "three"))
MODELS = {"a": Model("a", (ONE, TWO)), "b": Model("b", (THREE,))}


@pytest.mark.parametrize(
    ("well", "word", "a", "b"),
    [
        ((ONE, TWO, THREE), "ok", 2, 1),
        ((TWO, THREE), "ok", 1, 1),
        ((ONE,), "degraded", 1, 0),
        ((THREE,), "degraded", 0, 1),
        ((), "down", 0, 0),
    ],
)
def test_every_model_with_its_candidates(well: tuple[Deployment, ...], word: str, a: int, b: int) -> None:
    assert upstream_state(MODELS, lambda deployment: any(deployment.id == each.id for each in well)) == {
        "upstream": word,
        "models": {"a": {"candidates": 2, "available": a}, "b": {"candidates": 1, "available": b}},
    }


def test_a_gateway_without_models_lacks_none() -> None:
    assert upstream_state({}, lambda _deployment: False) == {"upstream": "ok", "models": {}}
