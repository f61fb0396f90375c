"""Alerts for tests."""

from __future__ import annotations

from typing import Any

from gateway.alerting.alert import Alert, Subject

NOW_S = 1_796_000_000.0


def alert(**changes: Any) -> Alert:
    made = Alert(
        "loop",
        "loop|researcher|researcher/r1|repeated_call",
        "Loop in run researcher/r1",
        "It repeats itself.",
        Subject("acme", "search", "researcher", "researcher/r1"),
        NOW_S,
        details=(("times", "5"),),
    )
    return made._replace(**changes)
