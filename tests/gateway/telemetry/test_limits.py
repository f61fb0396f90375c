"""What held requests back."""

from __future__ import annotations

from gateway.ledger.budgets import CAPACITY
from gateway.telemetry.events import LimitNoticed
from tests.gateway.telemetry.samples import WHO
from tests.gateway.telemetry.test_metrics import at, metrics, scrape

AT_S = 1.0


def noticed(kind: str, rule: str, scope: str = "researcher", reason: str = "", waited_s: float = 0.0) -> LimitNoticed:
    return LimitNoticed(AT_S, "researcher", kind, rule, scope, reason, waited_s)


async def test_denials_by_limit_and_reason() -> None:
    samples = await scrape(
        metrics(),
        noticed("refused", "month", reason="budget_exceeded"),
        noticed("refused", CAPACITY, "openai/gpt", "capacity"),
        *(noticed("refused", f"researcher/run-{n}", "cost", "budget_exceeded") for n in range(9)),
        *(noticed("refused", "researcher", f"researcher/run-{n}", "velocity") for n in range(9)),
        noticed("clamped", ""),
    )

    def count(kind: str, limit: str, reason: str) -> float | None:
        return at(samples, "limits_total", **WHO, kind=kind, limit=limit, reason=reason)

    assert count("refused", "month", "budget_exceeded") == 1
    assert count("refused", CAPACITY, "capacity") == 1
    assert count("refused", "", "budget_exceeded") == 9
    assert count("refused", "", "velocity") == 9
    assert count("clamped", "", "") == 1
    assert not [key for key in samples if "run-" in repr(key)]


async def test_waits() -> None:
    samples = await scrape(metrics(), noticed("waited", "month", waited_s=0.3), noticed("waited", "month", waited_s=2))
    assert at(samples, "queue_wait_seconds_count", **WHO) == 2
    assert at(samples, "queue_wait_seconds_sum", **WHO) == 2.3
    assert at(samples, "queue_wait_seconds_bucket", **WHO, le="0.5") == 1
