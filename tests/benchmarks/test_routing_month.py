"""The month's simulation: money that lasts, and figures that say what they mean."""

from __future__ import annotations

import json

import pytest

from benchmarks.routing_month import main


def test_a_small_month(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--json", "--months", "1", "--requests", "2000"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert 0.95 < report["spent_share"]["mean"] <= 1.0
    assert report["days_of_refusals"]["most"] == 0
    assert report["light_value_usd"]["mean"] < report["value_usd"]["mean"]
    assert report["gain_over_random_mix"]["mean"] > 0.02
    assert report["gain_over_oracle"]["mean"] < 0


def test_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--months", "1", "--requests", "300"]) == 0
    assert "spent_share" in capsys.readouterr().out
