"""Arms of experiments: the same for a run wherever it is asked, as often as percents say, independent of others."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter

import pytest

from routing.experiments import arm_of
from routing.rules import Arm
from tests.routing.world import wanted

THREE = (Arm("a", 50, ("small",)), Arm("b", 30, ("middle",)), Arm("c", 20, ("large",)))


def arm(experiment: str = "trial", **fields: str) -> str:
    return arm_of(experiment, THREE, wanted(**fields)).name  # type: ignore[arg-type]


def test_an_arm_depends_on_nothing_but_names() -> None:
    """Every gateway of every version says the same: these may never change, or experiments under way would."""
    assert [arm(run=f"tester/run-{number}") for number in range(12)] == list("babaabbcaaac")


PROGRAM = """
from tests.routing.test_experiments import arm
print("".join(arm(run=f"tester/run-{number}") for number in range(64)))
"""


@pytest.mark.parametrize("seed", ["0", "1"])
def test_other_processes_say_the_same(seed: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, "PYTHONHASHSEED": seed},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.strip() == "".join(arm(run=f"tester/run-{number}") for number in range(64))


def test_the_run_decides_else_the_session_else_the_request() -> None:
    whole = {"run": "tester/r", "session": "tester/session:s", "request_id": "req_1"}
    assert {arm(**{**whole, "session": f"s{number}", "request_id": f"q{number}"}) for number in range(30)} == {
        arm(run="tester/r")
    }
    assert {arm(session="s", request_id=f"q{number}") for number in range(30)} == {arm(session="s")}
    assert len({arm(request_id=f"q{number}") for number in range(30)}) == 3


def test_each_arm_is_as_frequent_as_its_percent_says() -> None:
    counts = Counter(arm(run=f"tester/{number}") for number in range(4_000))
    for each in THREE:
        assert abs(counts[each.name] / 40 - each.percent) < 3  # four standard deviations


def test_experiments_are_independent_and_so_are_agents() -> None:
    both = Counter((arm("one", run=f"r{number}"), arm("two", run=f"r{number}")) for number in range(4_000))
    assert abs(both["a", "a"] / 40 - 25) < 3
    assert abs(both["c", "b"] / 40 - 6) < 2
    agents = Counter((arm(run=f"r{number}"), arm(run=f"r{number}", agent="other")) for number in range(4_000))
    assert abs(agents["a", "a"] / 40 - 25) < 3
