from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.store.clock import CONFIRM_S, JUMP_S, StoreClock

NOON_S = 1_795_000_000.0


class World:
    """A wall clock and a monotonic one that a test moves."""

    def __init__(self, *, floor_s: float = 0.0) -> None:
        self.wall_s = NOON_S
        self.monotonic_s = 5_000.0
        self.clock = StoreClock(lambda: self.wall_s, lambda: self.monotonic_s, floor_s)

    def run(self, seconds: float) -> float:
        self.wall_s += seconds
        self.monotonic_s += seconds
        return self.clock()


def test_it_is_the_wall_clock() -> None:
    world = World()
    assert world.clock() == NOON_S
    assert world.run(86_400.0) == NOON_S + 86_400.0


def test_it_starts_no_earlier_than_what_the_journal_knows() -> None:
    world = World(floor_s=NOON_S + 10.0)
    assert world.clock() == NOON_S + 10.0
    assert world.run(4.0) == NOON_S + 12.0
    assert world.run(100.0) == NOON_S + 104.0


def test_a_small_forward_step_is_followed_at_once() -> None:
    world = World()
    world.wall_s += JUMP_S
    assert world.clock() == NOON_S + JUMP_S


def test_a_backward_step_slows_it_down_until_the_wall_clock_has_caught_up() -> None:
    world = World()
    world.wall_s -= 3_600.0
    assert world.clock() == NOON_S
    assert world.run(1_800.0) == NOON_S + 900.0
    assert world.run(5_399.0) == NOON_S + 3_599.5
    assert world.run(1.0) == world.wall_s
    assert world.run(10.0) == world.wall_s


def test_a_jump_is_taken_over_when_it_lasts() -> None:
    world = World()
    world.wall_s += 7_200.0
    assert world.clock() == NOON_S
    assert world.clock.jump_s == 7_200.0
    assert world.run(CONFIRM_S - 0.5) == NOON_S + CONFIRM_S - 0.5
    assert world.run(0.5) == NOON_S + 7_200.0 + CONFIRM_S
    assert world.clock.jump_s == 0.0


def test_a_jump_that_is_taken_back_leaves_no_trace() -> None:
    world = World()
    world.wall_s += 7_200.0
    assert world.run(30.0) == NOON_S + 30.0
    world.wall_s -= 7_200.0
    assert world.run(29.0) == NOON_S + 59.0
    world.wall_s += 7_200.0
    assert world.run(59.0) == NOON_S + 118.0  # confirmation began anew


def test_a_clock_that_jumps_about_is_not_believed() -> None:
    world = World()
    for _ in range(10):
        world.wall_s += 3_600.0
        world.run(30.0)
    assert world.clock() == NOON_S + 300.0


def test_a_long_pause_between_two_questions_is_no_jump() -> None:
    world = World()
    assert world.run(10 * 86_400.0) == NOON_S + 10 * 86_400.0


steps = st.lists(
    st.tuples(st.sampled_from(["run", "step"]), st.floats(-1e5, 1e5, allow_nan=False)), min_size=1, max_size=50
)


@given(steps)
def test_it_never_goes_back_and_never_runs_away(steps: list[tuple[str, float]]) -> None:
    world = World()
    last_s = world.clock()
    highest_s = world.wall_s
    for kind, seconds in steps:
        if kind == "run":
            now_s = world.run(abs(seconds))
            assert now_s - last_s >= abs(seconds) / 2 - 1e-5
        else:
            world.wall_s += seconds
            before_s = last_s
            now_s = world.clock()
            assert now_s - before_s <= JUMP_S + 1e-5
        assert now_s >= last_s
        highest_s = max(highest_s + (abs(seconds) if kind == "run" else 0.0), world.wall_s)
        assert now_s <= highest_s + 1e-5
        last_s = now_s


@given(steps)
def test_it_finds_back_to_the_wall_clock(steps: list[tuple[str, float]]) -> None:
    world = World()
    for kind, seconds in steps:
        if kind == "run":
            world.run(abs(seconds))
        else:
            world.wall_s += seconds
            world.clock()
    world.run(1.0)
    for _ in range(3):
        world.run(2e7)
    assert abs(world.clock() - world.wall_s) < 1e-3
