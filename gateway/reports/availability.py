"""Which models could be called right now: what `/readyz` says of providers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from routing.catalog import Deployment, Model

Available = Callable[[Deployment], bool]


def upstream_state(models: Mapping[str, Model], available: Available) -> dict[str, Any]:
    """`models`: of how many candidates how many may be called; `upstream`: all in one word.

    `ok`: every model has a candidate; `degraded`: some have none; `down`: none has any.
    """
    found = {name: _of(model, available) for name, model in models.items()}
    lacking = sum(not each["available"] for each in found.values())
    word = "ok" if not lacking else "down" if lacking == len(found) else "degraded"
    return {"upstream": word, "models": found}


def _of(model: Model, available: Available) -> dict[str, int]:
    return {"candidates": len(model.deployments), "available": sum(map(available, model.deployments))}
