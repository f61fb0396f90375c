"""The part of the admin API about breakers. By FastAPI, like the rest of it."""

from __future__ import annotations

import time
from typing import Annotated, Any, Literal

from fastapi import FastAPI, Path
from pydantic import Field

from gateway.api.admin_governance import Reason
from gateway.api.runs import moment
from gateway.errors import NotFound
from gateway.upstream.health import UpstreamHealth
from routing.breaker import Breaker

ACTOR = "admin"
"""Who forces breakers here: the admin key is one for all."""


class Forcing(Reason):
    """What an operator wants of a breaker, and why."""

    to: Literal["open", "closed", "auto"] = Field(description="`auto`: it decides by itself again.")


def add_breakers(app: FastAPI, health: UpstreamHealth, viewer: list[Any], admin: list[Any]) -> None:
    """Add the routes. `viewer` and `admin` are the dependencies that check who asks."""

    @app.get("/admin/v1/breakers", dependencies=viewer, summary="Breakers of deployments and providers")
    async def breakers() -> dict[str, Any]:
        now_s = time.monotonic()
        return {"data": [breaker_object(each, health, now_s) for each in health.breakers.breakers()]}

    @app.post("/admin/v1/breakers/{breaker:path}/force", dependencies=admin, summary="Force a breaker, or release it")
    async def force(
        breaker: Annotated[str, Path(max_length=512, description="A deployment's id, or a provider's name.")],
        asked: Forcing,
    ) -> dict[str, Any]:
        try:
            found = health.force(breaker, asked.to, asked.reason, ACTOR)
        except KeyError:
            raise NotFound(f"There is no breaker `{breaker}`: `GET /admin/v1/breakers` lists them.") from None
        return breaker_object(found, health, time.monotonic())


def breaker_object(breaker: Breaker, health: UpstreamHealth, now_s: float) -> dict[str, Any]:
    """A breaker as people may see it. `now_s` is `time.monotonic()`."""
    version, changed_at_s, state, until_s, openings, _ = breaker.shared()
    parked_until_s = breaker.parked_until_s(now_s)
    ahead_s = time.time() - now_s

    def at(instant_s: float | None) -> str | None:
        return None if instant_s is None else moment(instant_s + ahead_s)

    return {
        "id": breaker.name,
        "object": "breaker",
        "kind": "provider" if health.is_provider(breaker.name) else "deployment",
        "state": state,
        "since": at(changed_at_s) if version else None,
        "tries_again_at": at(until_s) if state == "open" else None,
        "parked_until": at(parked_until_s),
        "failures": breaker.failures(now_s),
        "openings": openings,
    }
