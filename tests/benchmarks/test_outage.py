"""The outage benchmark's figures, and that it runs from end to end."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.outage_client import Shot
from benchmarks.outage_report import (
    Outage,
    added_ms,
    calls_per_request,
    cut_figures,
    error_ratio,
    hedge_figures,
    outage_figures,
    percentile,
    probe_interval_s,
    recovery_s,
    table,
)
from benchmarks.outage_servers import FALLBACK, HEDGED, MODEL, PRIMARY, Turn

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 180
OUTAGE = Outage(100.0, 110.0)


def shot(
    due_s: float, took_s: float = 0.1, *, provider: str = PRIMARY, complete: bool = True, **fields: object
) -> Shot:
    found = Shot(due_s, MODEL, stream=False, ended_s=due_s + took_s, complete=complete, deployment=f"{provider}/sim")
    for name, value in fields.items():
        setattr(found, name, value)
    return found


def every(from_s: float, until_s: float, **fields: object) -> list[Shot]:
    return [shot(from_s + step / 10, **fields) for step in range(round((until_s - from_s) * 10))]  # type: ignore[arg-type]


def test_percentiles_are_values_that_were_seen() -> None:
    assert percentile([3.0, 1.0, None, 2.0], 0.5) == 2.0
    assert percentile([3.0, 1.0, 2.0], 0.99) == 3.0
    assert percentile([None], 0.5) is None


def test_errors_are_clients_without_a_complete_answer() -> None:
    assert error_ratio([shot(1), shot(2, complete=False), shot(3), shot(4)]) == 0.25
    assert error_ratio([]) == 0.0


def test_the_first_second_of_an_outage_adds_no_latency() -> None:
    shots = every(90, 100) + every(100, 101, took_s=9.0) + every(101, 120, took_s=0.104)
    assert added_ms(shots, OUTAGE, 0.99) == pytest.approx(4.0)


def test_recovery_is_when_the_primary_serves_again() -> None:
    shots = every(100, 114, provider=FALLBACK) + every(114, 120)
    assert recovery_s(shots, OUTAGE) == pytest.approx(3.9)  # nine of ten from then on
    assert recovery_s(every(100, 120, provider=FALLBACK), OUTAGE) is None


def test_the_probe_interval_is_the_wait_that_ended_after_the_outage() -> None:
    turns = [
        Turn(100.2, "primary", "closed", "open"),
        Turn(105.0, "primary", "half_open", "open"),
        Turn(114.5, "primary", "open", "half_open"),
    ]
    assert probe_interval_s(turns, OUTAGE) == 9.5
    assert probe_interval_s(turns[:1], OUTAGE) is None


def test_calls_count_by_when_their_request_arrived() -> None:
    calls = [(99.0, 1), (100.0, 3), (109.0, 1), (110.0, 8)]
    assert calls_per_request(calls, 100.0, 110.0) == 2.0
    assert calls_per_request([], 0.0, 1.0) is None


def test_after_the_breaker_opened_means_a_second_after() -> None:
    shots = [shot(100.1, complete=False), shot(100.9, complete=False), shot(101.6), shot(102)]
    found = outage_figures(shots, OUTAGE, [], [Turn(100.5, "primary", "closed", "open")])
    assert (found["error_ratio"], found["error_ratio_after_open"], found["opened_after_s"]) == (0.5, 0.0, 0.5)
    assert outage_figures(shots, OUTAGE, [], [])["error_ratio_after_open"] == 0.0


def test_cut_streams_are_told_or_not() -> None:
    shots = [shot(99), shot(101, complete=False, told=True), shot(102, complete=False), shot(103)]
    found = cut_figures(shots, OUTAGE)
    assert (found["broken"], found["told_ratio"], found["error_ratio"]) == (2, 0.5, 0.5)


def test_hedging_is_compared_with_the_same_without() -> None:
    def stream(model: str, first_s: float, name: str) -> Shot:
        return shot(0.0, stream=True, model=model, first_byte_s=first_s, request_id=name)

    shots = [stream(MODEL, 1.0, "a"), stream(HEDGED, 0.2, "b")]
    found = hedge_figures(shots, {"a": 1_000, "b": 1_020})
    assert (found["p99_ratio"], found["extra_cost_ratio"]) == (0.2, 0.02)


def test_the_table_has_every_figure() -> None:
    shown = table({"error_ratio": 0.1, "hedge": {"p99_ratio": None}, "scenario": {"fallback": "x"}})
    assert shown.row_count == 2


@pytest.mark.long
def test_a_short_run_ends_with_the_promised_object() -> None:
    command = [sys.executable, "-m", "benchmarks.outage", "--json", "--seconds", "12", "--rate", "30"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            out, err = process.communicate(timeout=TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.terminate()  # not kill: it has servers to stop
            out, err = process.communicate()
    assert process.returncode == 0, err
    report = json.loads(out.splitlines()[-1])
    assert 0 <= report["error_ratio"] <= 1
    assert 0 <= report["error_ratio_after_open"] <= 1
    assert report["upstream_calls_per_request"] >= 0
    assert {"added_p99_ms", "recovery_s", "cut_streams"} <= report.keys()
    assert {"p99_ratio", "extra_cost_ratio"} <= report["hedge"].keys()
