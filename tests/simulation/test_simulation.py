"""The whole path under faults, from two hundred seeds.

Every seed is a test of its own: `pytest "tests/simulation/test_simulation.py::test_seed[17]"` replays it exactly.
`FAREBOX_SEEDS=1000-1999` runs others, and `FAREBOX_REQUESTS=5000` longer ones.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from tests.simulation.invariants import everyone_is_answered, summary, violations
from tests.simulation.loop import run_virtual
from tests.simulation.scenario import draw
from tests.simulation.weather import KINDS
from tests.simulation.world import Evidence, World, chance_of

_REQUESTS = int(os.environ.get("FAREBOX_REQUESTS", "200"))
_SHOWN = 20


def _seeds() -> range:
    first, _, last = os.environ.get("FAREBOX_SEEDS", "0-199").partition("-")
    return range(int(first), int(last or first) + 1)


def simulate(
    seed: int, directory: Path, requests: int = _REQUESTS, *, sound: bool = False, requests_per_s: float | None = None
) -> Evidence:
    """Run a seed to its end."""
    scenario = draw(seed, directory, requests, sound=sound, requests_per_s=requests_per_s)

    async def run() -> Evidence:
        return await World(scenario).run()

    with chance_of(seed):
        return run_virtual(run())


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    """Outages are the weather here, and tell nothing about a failure."""
    caplog.set_level(logging.CRITICAL, "farebox.health")


@pytest.mark.parametrize("seed", _seeds())
def test_seed(seed: int, tmp_path: Path) -> None:
    found = simulate(seed, tmp_path)
    show(found, violations(found), f"test_seed[{seed}]")


@pytest.mark.parametrize("seed", _seeds()[:20])
def test_sound_fallback(seed: int, tmp_path: Path) -> None:
    found = simulate(seed, tmp_path, sound=True)
    show(found, [*violations(found), *everyone_is_answered(found)], f"test_sound_fallback[{seed}]")


@pytest.mark.parametrize("seed", _seeds()[:2])
def test_thousands_a_second(seed: int, tmp_path: Path) -> None:
    found = simulate(seed, tmp_path, 2_000, requests_per_s=2_000)
    show(found, violations(found), f"test_thousands_a_second[{seed}]")


@pytest.mark.long
@pytest.mark.parametrize("seed", _seeds()[:20])
def test_thousands_a_second_for_a_while(seed: int, tmp_path: Path) -> None:
    found = simulate(seed, tmp_path, 20_000, requests_per_s=4_000)
    show(found, violations(found), f"test_thousands_a_second_for_a_while[{seed}]")


def show(found: Evidence, wrong: list[str], test: str) -> None:
    """Fail with what was wrong, and how to see it again."""
    if wrong:
        more = [f"... and {len(wrong) - _SHOWN} more"] if len(wrong) > _SHOWN else []
        replay = f'replay it: pytest "tests/simulation/test_simulation.py::{test}"'
        pytest.fail("\n".join([found.scenario.describe(), *wrong[:_SHOWN], *more, replay]), pytrace=False)


def test_a_seed_replays_exactly(tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()
    (tmp_path / "2").mkdir()
    once, again = simulate(7, tmp_path / "1"), simulate(7, tmp_path / "2")
    assert once.charges == again.charges
    assert once.finished == again.finished


def test_everything_happens(tmp_path: Path) -> None:
    seen: dict[str, int] = {}
    for seed in range(60):
        (directory := tmp_path / str(seed)).mkdir()
        for name, times in summary(simulate(seed, directory)).items():
            seen[name] = seen.get(name, 0) + times
    assert seen.keys() >= {
        *(f"fault {kind}" for kind in KINDS),
        *(f"charged {outcome}" for outcome in ("ok", "cancelled", "cut", "drained", "error", "timeout", "unreachable")),
        *("client whole", "client finished", "client left", "client broken upstream_error"),
        *("for useful", "for failed", "for fallback", "for retry", "for hedge", "for cancelled"),
        *("client error 402 budget_exceeded", "client error 504 upstream_timeout"),
    }
