"""Strategies: every one gives all of the group, in the order it promises."""

from __future__ import annotations

from collections import Counter
from itertools import permutations
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.balance import LOOKING, STRATEGIES, Fastest, LeastBusy, Member, Ordered, Weighted, two_of
from routing.load import Load

DRAWS = st.floats(0.0, 1.0, exclude_max=True)
LOADS = st.builds(Load, st.integers(0, 50), st.none() | st.floats(0.0, 600.0))
GROUPS = st.lists(st.builds(Member, st.integers(0, 9), LOADS), min_size=1, max_size=6)
NAMES = sorted(STRATEGIES)
DRAWN = 20_000


def firsts(strategy: Weighted | LeastBusy | Fastest, group: list[Member], seed: int = 1) -> list[float]:
    """How often each is first, as a share."""
    random = Random(seed)
    count = Counter(strategy.order(group, random.random())[0] for _ in range(DRAWN))
    return [count[place] / DRAWN for place in range(len(group))]


@given(GROUPS, DRAWS, st.sampled_from(NAMES))
def test_the_order_is_always_a_permutation(group: list[Member], draw: float, name: str) -> None:
    assert sorted(STRATEGIES[name].order(group, draw)) == list(range(len(group)))  # type: ignore[index]


@given(GROUPS, DRAWS, st.sampled_from(sorted(set(NAMES) - {"ordered"})))
def test_what_has_no_weight_comes_last(group: list[Member], draw: float, name: str) -> None:
    order = STRATEGIES[name].order(group, draw)  # type: ignore[index]
    none = [place for place, member in enumerate(group) if not member.weight]
    assert order[len(order) - len(none) :] == none


def test_the_ordered_one_stays_as_it_is_written() -> None:
    assert Ordered().order([Member(1, Load(9, 9.0)), Member(), Member(5)], 0.99) == [0, 1, 2]


# --- weights ---


@given(st.lists(st.integers(0, 9), min_size=1, max_size=5).filter(any), st.integers(0, 2**32))
def test_weights_hold_on_average(weights: list[int], seed: int) -> None:
    random, count, times = Random(seed), Counter[int](), 2_000
    group = [Member(weight) for weight in weights]
    strategy = Weighted()
    for at in range(times):  # evenly spread draws: no luck is needed
        count[strategy.order(group, (at + random.random()) / times)[0]] += 1
    for place, weight in enumerate(weights):
        assert count[place] / times == pytest.approx(weight / sum(weights), abs=2 / times * len(weights))


def test_one_draw_decides_the_whole_order_fairly() -> None:
    random, count = Random(7), Counter[tuple[int, ...]]()
    group = [Member(1), Member(2), Member(3)]
    for _ in range(DRAWN):
        count[tuple(Weighted().order(group, random.random()))] += 1
    for order in permutations(range(3)):
        first, second, _ = (place + 1 for place in order)
        assert count[order] / DRAWN == pytest.approx(first / 6 * second / (6 - first), abs=0.02)


# --- the least busy ---


@given(GROUPS, DRAWS)
def test_the_least_busy_for_its_weight_is_first(group: list[Member], draw: float) -> None:
    order = [place for place in LeastBusy().order(group, draw) if group[place].weight]
    shares = [group[place].load.in_flight / group[place].weight for place in order]
    assert shares == sorted(shares)


def test_the_idle_are_drawn_by_weight() -> None:
    assert firsts(LeastBusy(), [Member(7), Member(3)]) == pytest.approx([0.7, 0.3], abs=0.02)


# --- the better of two ---


@given(st.lists(st.builds(Member, st.just(1), LOADS), min_size=2, max_size=6), DRAWS)
def test_never_the_worse_of_its_two(group: list[Member], draw: float) -> None:
    def cost_s(place: int) -> float:
        in_flight, latency_s = group[place].load
        return 0.0 if latency_s is None else latency_s * (in_flight + 1)

    order = Fastest().order(group, draw)
    one, other = two_of(range(len(group)), draw)
    assert order[0] in (one, other)
    assert cost_s(order[0]) == min(cost_s(one), cost_s(other))
    assert [cost_s(place) for place in order[1:]] == sorted(cost_s(place) for place in order[1:])


def test_every_pair_is_drawn_equally_often() -> None:
    random = Random(3)
    count = Counter(two_of(range(4), random.random()) for _ in range(DRAWN))
    assert set(count) == set(permutations(range(4), 2))
    assert all(each / DRAWN == pytest.approx(1 / 12, abs=0.01) for each in count.values())


@given(st.integers(2, 6), DRAWS)
def test_two_are_never_the_same(count: int, draw: float) -> None:
    one, other = two_of(range(count), draw)
    assert one != other


def test_of_two_the_quicker_takes_all_until_it_is_busy() -> None:
    quick, slow = Member(1, Load(0, 0.2)), Member(1, Load(0, 1.0))
    assert firsts(Fastest(), [quick, slow]) == [1.0, 0.0]
    assert firsts(Fastest(), [quick._replace(load=Load(5, 0.2)), slow]) == [0.0, 1.0]


def test_one_without_data_is_tried() -> None:
    known, unknown = Member(1, Load(0, 0.000_001)), Member()
    assert firsts(Fastest(), [known, unknown]) == [0.0, 1.0]
    assert firsts(Fastest(), [unknown, unknown]) == pytest.approx([0.5, 0.5], abs=0.02)


def test_who_looks_at_the_load_says_so() -> None:
    group = [Member(1, Load(5, 5.0)), Member(1, Load(0, 0.1)), Member(1, Load(9, 9.0))]
    idle = [Member()] * 3
    for name, strategy in STRATEGIES.items():
        draws = [at / 97 for at in range(97)]
        looks = any(strategy.order(group, draw) != strategy.order(idle, draw) for draw in draws)
        assert looks == (name in LOOKING)
