"""The burst runs from end to end, spends no more than there is, and says so when it says nothing of budgets."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.burst_client import error_of
from benchmarks.burst_plan import QUICK, scenario
from benchmarks.burst_report import FAILED_MAX, busy, invalid
from benchmarks.burst_servers import BUDGETS_ONLY, Setting, configuration

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 400


def run(*arguments: str, exit_code: int = 0) -> dict[str, object]:
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
    assert process.returncode == exit_code, (out, err)
    report: dict[str, object] = json.loads(out.splitlines()[-1])
    return report


def test_breakers_at_their_defaults_leave_the_refusing_to_the_budgets() -> None:
    report = run("--runs", "cold", "--no-kill")
    refusals, outcomes = report["refusals"], report["outcomes"]
    assert isinstance(refusals, dict)
    assert isinstance(outcomes, dict)
    assert report["invalid"] == {}
    assert report["failures"] == {}
    assert report["utilisation"] is not None
    assert sum(refusals.values()) == outcomes["refused"] > 0


@pytest.mark.long
def test_a_run_in_which_providers_were_left_alone_is_invalid() -> None:
    report = run("--runs", "cold", "--no-kill", "--pause-s", "60", exit_code=1)
    assert "parked" in str(report["invalid"])


def figures(**changes: object) -> dict[str, object]:
    return {"failed_ratio": 0.0, "failures": {}, "utilisation": 0.98, "outcomes": {}, **changes}


def test_what_says_nothing_of_budgets_is_invalid() -> None:
    assert invalid(figures()) is None
    assert invalid(figures(failed_ratio=FAILED_MAX)) is None
    assert "breakers_open" in str(invalid(figures(failed_ratio=0.8, failures={"503 breakers_open": 1456})))
    assert "ever used up" in str(invalid(figures(utilisation=None)))


def test_a_busy_machine_is_told_of() -> None:
    assert busy({"least_estimate_surplus_tokens": None}) is None
    assert busy({"least_estimate_surplus_tokens": 3.0}) is None
    assert "556" in str(busy({"least_estimate_surplus_tokens": -556.0}))


def test_breakers_are_only_off_where_that_was_asked_for() -> None:
    plan = scenario(QUICK, 1, lambda _: 1)
    default, off = (Setting("strict", plan.limits, 1.0, 5.0, 64, breakers) for breakers in (True, False))
    written = configuration(Path("state"), 1, plan, default, None)
    assert not written.keys() & BUDGETS_ONLY.keys()
    assert BUDGETS_ONLY.items() <= configuration(Path("state"), 1, plan, off, None).items()


def test_only_rate_limits_ask_for_a_pause() -> None:
    assert [error_of(status, 0.0) for status in (500, 429)] == ["500", "429;retry_after=0"]
    assert error_of(429, 1.5) == "429;retry_after=1.5"


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
