"""The month's simulation: money that lasts, baselines that are as good as they can be, and figures that mean it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.routing_month import main
from benchmarks.routing_month_policies import (
    Arrays,
    arrays,
    foresight,
    one_threshold,
    random_mix,
    set_beforehand,
    two_thresholds,
)
from benchmarks.routing_month_traffic import DAYS, month
from tests.benchmarks.routing.tables import write_tables

WORLD = month(3, 3_000)
MONTH = arrays(WORLD)
BUDGET_USD = 0.6 * float(MONTH.cost[:, 2].sum())


def test_a_small_month(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--json", "--months", "1", "--requests", "4000", "--seed", "3"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert 0.97 < report["spent_share"]["mean"] <= 1.0
    assert report["days_of_refusals"]["most"] == 0
    assert report["light_value_usd"]["mean"] < report["value_usd"]["mean"]
    assert report["gain_over_random_mix"]["mean"] > 0.02
    assert report["gain_over_oracle"]["mean"] < 0
    for name in ("complexity_threshold", "value_two_thresholds", "value_threshold_set_beforehand"):
        assert report[f"gain_over_{name}"]["mean"] < report[f"attainable_over_{name}"]["mean"]


def test_the_tables(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    write_tables(tmp_path)
    assert main(["--months", "1", "--requests", "300", "--recorded", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "recorded: pool7" in printed
    assert "recorded: llmrouter9" in printed


def test_traffic_has_weekends_and_grows() -> None:
    day = np.bincount((arrays(month(3, 20_000)).at * DAYS).astype(int), minlength=DAYS)
    assert day[[5, 6, 12, 13]].sum() < 0.5 * day[[4, 7, 11, 14]].sum()
    assert day[21:26].sum() > 1.1 * day[:5].sum()


def test_nothing_is_better_than_foresight() -> None:
    best = foresight(MONTH, MONTH.known, BUDGET_USD)
    others = [
        *(threshold(MONTH, key, BUDGET_USD) for key in (MONTH.seen, MONTH.value) for threshold in THRESHOLDS),
        random_mix(MONTH, BUDGET_USD),
    ]
    assert best.spent_usd <= BUDGET_USD
    for other in others:
        assert 0 < other.value_usd <= best.value_usd * 1.001
        assert other.spent_usd <= BUDGET_USD * 1.001


THRESHOLDS = (one_threshold, two_thresholds, set_beforehand)


def test_a_threshold_is_the_one_that_the_money_pays_for() -> None:
    """Four requests, of which the strong model may have two."""
    cost = np.array([[1.0, 2.0, 11.0]] * 4)
    worth = np.array([[1.0, 2.0, 10.0], [1.0, 2.0, 20.0], [1.0, 2.0, 30.0], [1.0, 2.0, 40.0]])
    key = np.array([1.0, 3.0, 2.0, 4.0])
    asked = Arrays(np.array([0.1, 0.2, 0.3, 0.4]), cost, worth, worth, key, key, (0, 1, 2))
    assert one_threshold(asked, key, 24.5)[:2] == (62.0, 24.0)
    assert two_thresholds(asked, key, 25.0)[:2] == (63.0, 25.0)
    assert foresight(asked, worth, 24.5)[:2] == (72.0, 24.0)


def test_a_threshold_set_beforehand_ends_before_a_month_that_grows() -> None:
    """Ten requests a day of the first week, twenty after it: the money of the month is spent on its nineteenth day."""
    at = np.array([(day + number / 20) / DAYS for day in range(DAYS) for number in range(10 if day < 7 else 20)])
    size = len(at)
    cost, worth = np.tile([1.0, 10.0], (size, 1)), np.tile([1.0, 2.0], (size, 1))
    asked = Arrays(at, cost, worth, worth, np.ones(size), np.ones(size), (0, 1))
    result = set_beforehand(asked, np.arange(size, 0.0, -1.0), 300.0)
    assert (result.value_usd, result.spent_usd, result.refused) == (300.0, 300.0, size - 300)
    assert result.days_of_refusals == DAYS - 18
