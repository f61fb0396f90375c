"""The burst runs from end to end, and spends no more than there is. Its other figures are not looked at."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 180


def run(*arguments: str) -> dict[str, object]:
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.burst", "--json", "--quick", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            out, err = process.communicate(timeout=TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.terminate()  # not kill: it has servers to stop
            out, err = process.communicate()
    assert process.returncode == 0, err
    report: dict[str, object] = json.loads(out.splitlines()[-1])
    return report


@pytest.mark.long
def test_quick_run_ends_with_the_promised_object() -> None:
    report = run("--runs", "calibrated,strict,cold")
    for burst in (report, report["strict"], report["cold"]):
        assert isinstance(burst, dict)
        assert burst["overspend_usd"] == 0
        assert burst["verify_differences"] == 0
        assert burst["ledger_minus_bill_usd"] >= 0
        assert burst["ledger_minus_bill_usd_by_row"]["exact"] == 0
        assert burst["unknown_generations"] == 0
        assert 0 <= burst["false_denial_ratio"] <= 1
        assert burst["wait_p99_s"] >= 0


def test_two_gateways_need_a_store_to_share() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.burst", "--gateways", "2"],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        _, err = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 2
    assert "need --store valkey" in err
