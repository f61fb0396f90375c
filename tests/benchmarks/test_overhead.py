"""The benchmark runs from end to end. Its figures are not looked at: a busy machine must not fail a test."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "tools", [pytest.param(True, id="installed-tools"), pytest.param(False, id="no-tools", marks=pytest.mark.long)]
)
def test_quick_run_ends_with_the_promised_object(tools: bool, tmp_path: Path) -> None:
    environment = os.environ if tools else os.environ | {"PATH": str(tmp_path)}
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.overhead", "--json", "--quick"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            out, err = process.communicate(timeout=180)
        except subprocess.TimeoutExpired:
            process.terminate()  # not kill: it has servers to stop
            out, err = process.communicate()
    assert process.returncode == 0, err
    report = json.loads(out.splitlines()[-1])
    for connections in ("c1", "c16", "c64"):
        assert report["plain"][connections]["cpu_us"] > 0
        assert report["plain"][connections]["requests_per_s"] > 0
        assert isinstance(report["plain"][connections]["added_p99_us"], int)
    assert report["stream"]["c32"]["cpu_us_per_event"] > 0
    assert report["start_s"] > 0
    assert report["rss_mb"] > 0
    if not tools:
        assert report["tools"] == {"load": "own", "nginx": None}
        assert report["plain"]["c16"]["nginx_ratio"] is None


def test_streams_are_told_by_api() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.overhead", "--json", "--quick", "--streams", "all"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            out, err = process.communicate(timeout=180)
        except subprocess.TimeoutExpired:
            process.terminate()
            out, err = process.communicate()
    assert process.returncode == 0, err
    costs = json.loads(out.splitlines()[-1])["stream"]["c32"]
    kinds = ["chat", "messages_native", "responses_native", "messages_translated", "responses_translated"]
    assert list(costs) == kinds
    assert all(cost["cpu_us_per_event"] > 0 for cost in costs.values())


@pytest.mark.parametrize("store", ["memory", pytest.param("valkey", marks=pytest.mark.long)])
def test_what_governing_adds_is_told_by_store(store: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.overhead", "--json", "--quick", "--governed", store],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            out, err = process.communicate(timeout=180)
        except subprocess.TimeoutExpired:
            process.terminate()
            out, err = process.communicate()
    assert process.returncode == 0, err
    costs = json.loads(out.splitlines()[-1])["governed"][store]
    assert isinstance(costs["cpu_us"], float)
    assert costs["governed_cpu_us"] > 0
    assert costs["ungoverned_cpu_us"] > 0
