"""Counting instructions runs from end to end."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.long
@pytest.mark.skipif(shutil.which("valgrind") is None, reason="valgrind is not installed")
def test_every_request_costs_instructions_on_both_threads() -> None:
    command = [sys.executable, "-m", "benchmarks.instructions", "--json", "--only", "plain", "--requests", "100"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])["instructions"]["plain"]
    assert found["loop_kilo"] > 100
    assert found["others_kilo"] > 10
