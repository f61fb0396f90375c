from __future__ import annotations

from gateway.deciding.runs import NO_RUN, Runs
from routing.money import NanoUsd


def test_a_run_counts_its_steps_and_its_sub_runs_cost() -> None:
    runs = Runs()
    child = runs.of("a/child", "a/root")
    runs.ended("a/root", NanoUsd(2_000_000_000))
    runs.ended("a/child", NanoUsd(500_000_000))
    root = runs.of("a/root")
    assert (root.steps, root.cost_usd, root.depth) == (1, 2.5, 0)
    assert (child.steps, child.cost_usd, child.depth) == (1, 0.5, 1)


def test_a_request_without_a_run() -> None:
    runs = Runs()
    runs.ended(None, NanoUsd(1))
    assert runs.of(None) is NO_RUN
    assert (NO_RUN.steps, NO_RUN.cost) == (0, 0)


def test_the_longest_unheard_of_are_forgotten() -> None:
    runs = Runs(most=2)
    for name in ("a/1", "a/2"):
        runs.ended(name, NanoUsd(1))
    runs.ended("a/1", NanoUsd(1))
    runs.of("a/3")
    assert len(runs) == 2
    assert runs.of("a/1").steps == 2
