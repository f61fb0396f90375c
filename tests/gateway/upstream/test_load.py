"""What a process remembers of its deployments' load."""

from __future__ import annotations

import pytest

from gateway.upstream import load
from gateway.upstream.load import Loads
from routing.catalog import Deployment
from routing.load import IDLE, UNKNOWN_S, Load


def deployment(name: str) -> Deployment:
    return Deployment(f"{name}/m", name, "m", None, watched=True)


A, B = deployment("a"), deployment("b")


class Clock:
    """Time by hand."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def loads(clock: Clock) -> Loads:
    return Loads(clock, lambda: 0.5)


def test_an_attempt_is_in_flight_until_it_ends(loads: Loads, clock: Clock) -> None:
    flight = loads.begin(A, stream=True)
    assert loads.view((A, B), stream=True) == [Load(1, UNKNOWN_S), IDLE]
    clock.now_s += 2.0
    flight.answered()
    assert loads.view((A, B), stream=True) == [Load(1, 2.0), IDLE]
    clock.now_s += 5.0
    flight.end(answered=True)
    (known, _) = loads.view((A, B), stream=True)
    assert known.in_flight == 0
    assert known.latency_s is not None
    assert known.latency_s < 2.0


def test_one_without_a_first_byte_that_ends_well_has_had_one(loads: Loads, clock: Clock) -> None:
    flight = loads.begin(A, stream=False)
    clock.now_s += 3.0
    flight.end(answered=True)
    assert loads.view((A,), stream=False) == [Load(0, 3.0)]


def test_a_failure_teaches_nothing(loads: Loads) -> None:
    loads.begin(A, stream=False).end()
    assert loads.view((A,), stream=False) == [Load(0, None)]


def test_whatever_comes_after_the_end_changes_nothing(loads: Loads) -> None:
    flight = loads.begin(A, stream=True)
    other = loads.begin(A, stream=True)
    for _ in range(2):
        flight.end()
        flight.answered()
    assert loads.view((A,), stream=True)[0].in_flight == 1
    other.end()
    assert loads.view((A,), stream=True)[0].in_flight == 0


def test_only_so_many_are_remembered(loads: Loads, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "KEPT_MAX", 2)
    busy = loads.begin(A, stream=True)
    loads.begin(B, stream=True).end()
    loads.begin(deployment("c"), stream=True)
    assert set(loads._known) == {"a/m", "c/m"}
    busy.end()
    assert loads.view((A,), stream=True)[0].in_flight == 0
