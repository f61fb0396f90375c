"""A breaker as the admin API shows it."""

from __future__ import annotations

import time
from datetime import datetime

from gateway.api.admin_breakers import breaker_object
from gateway.config.snapshot import Resilience
from gateway.upstream.health import UpstreamHealth
from routing.breaker import BreakerSettings
from routing.catalog import Deployment
from routing.failures import Failure

A = Deployment("acme/a", "acme", "a", None)


def test_a_breakers_life() -> None:
    settings = BreakerSettings(consecutive_failures=2, open_s=60, jitter=0)
    health = UpstreamHealth(Resilience(breaker=settings), lambda _event: None)

    def shown() -> dict[str, object]:
        breaker = health.breakers.breaker(A.id)
        assert breaker is not None
        return breaker_object(breaker, health, time.monotonic())

    health.begin(A, "1")
    assert shown() == {
        "id": "acme/a",
        "object": "breaker",
        "kind": "deployment",
        "state": "closed",
        "since": None,
        "tries_again_at": None,
        "parked_until": None,
        "failures": 0,
        "openings": 0,
    }
    health.ended(A, "1", time.monotonic(), Failure("rate_limited", retry_after_s=30))
    assert abs(seconds(shown()["parked_until"]) - time.time() - 30) < 20
    for _ in range(2):
        health.ended(A, "1", time.monotonic(), Failure("cut"))
    opened = shown()
    assert (opened["state"], opened["failures"], opened["openings"]) == ("open", 2, 1)
    assert abs(seconds(opened["since"]) - time.time()) < 20
    assert abs(seconds(opened["tries_again_at"]) - seconds(opened["since"]) - 60) <= 1
    health.force(A.id, "open", "x", "admin")
    assert (shown()["state"], shown()["tries_again_at"]) == ("forced_open", None)


def seconds(at: object) -> float:
    assert isinstance(at, str)
    return datetime.fromisoformat(at).timestamp()
