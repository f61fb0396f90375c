"""A real Prometheus over a simulated week: every panel and every alert gets an answer of the shape that it needs."""

from __future__ import annotations

import math
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.dashboards.boards import Asked, asked
from tests.dashboards.fleet import DAY_S, END_S, HOUR_S, INCIDENTS
from tests.dashboards.prometheus import Prometheus, missing
from tests.dashboards.test_queries import ALERT_RULES

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())
QUERIES = [one for one in asked() if not one.is_sql]
STATES = {"0", "1", "2"}


@pytest.fixture(scope="module")
def prometheus() -> Iterator[Prometheus]:
    folder = Path(tempfile.mkdtemp(prefix="farebox-prometheus-"))
    server = Prometheus.of_the_week(folder)
    yield server
    server.stop()
    shutil.rmtree(folder)


def value(series: dict[str, Any]) -> float:
    return float(series["value"][1])


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.name)
def test_every_panel_has_an_answer_of_its_shape(query: Asked, prometheus: Prometheus) -> None:
    if query.target.get("instant"):
        found = prometheus.at(query.filled())
        numbers = [value(series) for series in found]
    else:
        found = prometheus.over(query.filled(), END_S - query.range_s, END_S, query.step_s)
        numbers = [float(point[1]) for series in found for point in series["values"]]
        assert max(len(series["values"]) for series in found) > 5
    assert found, "no data"
    assert any(math.isfinite(number) for number in numbers)
    kind = query.panel["type"]
    names = [tuple(series["metric"].get(label) for label in query.legend) for series in found]
    assert len(set(names)) == len(names) or kind == "table", "two series of the same name"
    if kind == "stat" and not query.legend:
        assert len(found) == 1
    if kind == "state-timeline":
        assert {point[1] for series in found for point in series["values"]} <= STATES
    if query.panel["fieldConfig"]["defaults"]["unit"] == "percentunit" and kind == "timeseries":
        assert max(number for number in numbers if math.isfinite(number)) < 5


@pytest.mark.parametrize("alert", ALERT_RULES, ids=lambda alert: alert["alert"])
def test_every_alert_finds_its_incident(alert: dict[str, Any], prometheus: Prometheus) -> None:
    found = prometheus.over(alert["expr"], END_S - DAY_S, END_S, 60)
    assert found, "found nothing wrong in a day in which everything went wrong once"
    culprits = {"agent": "coder", "provider": "openai", "instance": "gateway-1:4000", "breaker": "openai/gpt-5.4"}
    if alert["alert"] == "FareboxCredentialsRefused":
        culprits["provider"] = "groq"
    assert any(set(culprits.items()) & set(series["metric"].items()) for series in found)


@pytest.mark.parametrize("alert", ALERT_RULES, ids=lambda alert: alert["alert"])
def test_alerts_are_quiet_when_nothing_is_wrong(alert: dict[str, Any], prometheus: Prometheus) -> None:
    """Before anything went wrong: the bill drifts all the time."""
    quiet_s = min(start_s for start_s, _ in INCIDENTS.values()) - HOUR_S
    found = prometheus.at(alert["expr"], quiet_s)
    assert found == [] or alert["alert"] == "FareboxBillDrifts"


def samples(prometheus: Prometheus, metric: str, range_s: int) -> list[tuple[float, float]]:
    """Moment and sum over all series of each recording: rules run at a moment of their own in each interval."""
    sums: dict[float, float] = {}
    for series in prometheus.at(f"{metric}[{range_s}s]"):
        for at_s, number in series["values"]:
            sums[at_s] = sums.get(at_s, 0.0) + float(number)
    return sorted(sums.items())


def test_recorded_minutes_add_up_to_what_was_counted(prometheus: Prometheus) -> None:
    """By increase() the first value of every counter would be missing, and the edges would be guessed."""
    recorded = samples(prometheus, "farebox:cost_usd:increase1m", DAY_S)
    (before,) = prometheus.at("sum(farebox_cost_usd_total)", recorded[0][0] - 60)
    (now,) = prometheus.at("sum(farebox_cost_usd_total)", recorded[-1][0])
    assert len(recorded) >= DAY_S // 60
    assert math.fsum(usd for _, usd in recorded) == pytest.approx(value(now) - value(before), rel=1e-9)
    born = prometheus.at('min_over_time(farebox_cost_usd_total{purpose="loop"}[1d])')
    assert born, "no counter was born in that day: the test would show nothing"


def test_recorded_tens_of_minutes_add_up_to_the_minutes(prometheus: Prometheus) -> None:
    tens = samples(prometheus, "farebox:cost_usd:increase10m", 6 * HOUR_S)
    first_s, last_s = tens[0][0] - 660, tens[-1][0] - 60
    minutes = samples(prometheus, "farebox:cost_usd:increase1m", DAY_S)
    expected = math.fsum(usd for at_s, usd in minutes if first_s < at_s <= last_s)
    assert math.fsum(usd for _, usd in tens) == pytest.approx(expected, rel=1e-9)
