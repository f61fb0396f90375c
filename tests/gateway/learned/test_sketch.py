"""Sketches follow what they see, forget what is long ago, and survive being packed."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.learned.expectations import OUTPUT_TOKENS, TOKENS_PER_BYTE
from gateway.learned.sketch import Scale, Sketch

SCALE = Scale(low=1, high=1e6, growth=1.15, memory=16)
_VALUES = st.floats(0, 1e7)
_OBSERVED = st.lists(st.tuples(_VALUES, st.booleans()), max_size=60)


def observed(values: list[tuple[float, bool]], prior: float | None = None) -> Sketch:
    sketch = Sketch(SCALE, prior)
    for value, at_least in values:
        sketch.observe(value, at_least=at_least)
    return sketch


@pytest.mark.parametrize("scale", [SCALE, OUTPUT_TOKENS, TOKENS_PER_BYTE])
@given(value=st.floats(0, 1e7))
def test_a_bucket_holds_its_values(scale: Scale, value: float) -> None:
    bucket = scale.bucket(value)
    assert 0 <= bucket < scale.buckets
    if bucket < scale.buckets - 1:
        assert value <= scale.top(bucket) * (1 + 1e-6)
    if bucket:
        assert value > scale.top(bucket - 1) * (1 - 1e-6)


def test_nothing_is_known_at_first() -> None:
    assert Sketch(SCALE).quantile(0.95) is None
    assert Sketch(SCALE, 2_048).quantile(0.01) == pytest.approx(2_048, rel=0.16)


@given(st.lists(_VALUES, min_size=1, max_size=60), st.floats(0, 1))
def test_a_quantile_lies_among_the_values(values: list[float], share: float) -> None:
    sketch = observed([(value, False) for value in values])
    found = sketch.quantile(share)
    assert found is not None
    assert SCALE.bucket(min(values)) <= SCALE.bucket(found) <= SCALE.bucket(max(values))
    assert SCALE.bucket(found) <= SCALE.bucket(sketch.quantile(1) or 0)
    assert sketch.quantile(1) == SCALE.top(SCALE.bucket(max(values)))


@given(_OBSERVED, st.floats(0, 1), st.floats(0, 1))
def test_quantiles_rise(values: list[tuple[float, bool]], one: float, other: float) -> None:
    sketch = observed(values, prior=100)
    low, high = sketch.quantile(min(one, other)), sketch.quantile(max(one, other))
    assert low is not None
    assert high is not None
    assert low <= high


def test_the_prior_gives_way() -> None:
    sketch = observed([(100, False)] * 8, prior=2_048)
    assert sketch.quantile(0.95) == pytest.approx(2_048, rel=0.16)
    for _ in range(8):
        sketch.observe(100)
    assert sketch.quantile(0.95) == pytest.approx(100, rel=0.16)


@pytest.mark.parametrize(("before", "after"), [(1_000, 50), (50, 1_000)])
def test_new_habits_are_followed_within_fifty_answers(before: float, after: float) -> None:
    sketch = observed([(before, False)] * 500)
    for _ in range(50):
        sketch.observe(after)
    assert sketch.quantile(0.95) == pytest.approx(after, rel=0.16)


def test_longer_answers_are_followed_at_once() -> None:
    sketch = observed([(50, False)] * 500)
    sketch.observe(1_000)
    assert sketch.quantile(0.95) == pytest.approx(1_000, rel=0.16)


@given(st.integers(50, 3_000))
def test_quantiles_do_not_depend_on_how_much_was_seen(count: int) -> None:
    """Weights are normalised every so often: that must not show."""
    sketch = Sketch(SCALE)
    for _ in range(count):
        sketch.observe(100)
        sketch.observe(1_000)
    assert sketch.quantile(0.4) == pytest.approx(100, rel=0.16)
    assert sketch.quantile(0.6) == pytest.approx(1_000, rel=0.16)


def test_answers_that_were_cut_do_not_teach_that_answers_are_short() -> None:
    sketch = observed([(1_000, False)] * 100)
    for _ in range(100):
        sketch.observe(50, at_least=True)
    assert sketch.quantile(0.5) == pytest.approx(1_000, rel=0.16)


def test_an_answer_cut_beyond_all_known_ones_counts_double() -> None:
    sketch = observed([(100, False)] * 20)
    sketch.observe(600, at_least=True)
    assert sketch.quantile(1) == pytest.approx(1_200, rel=0.16)


@given(_OBSERVED, _OBSERVED)
def test_packing_changes_nothing(before: list[tuple[float, bool]], after: list[tuple[float, bool]]) -> None:
    sketch = observed(before, prior=100)
    restored = Sketch.decode(SCALE, sketch.encode())
    assert restored is not None
    assert restored.count == sketch.count
    for value, at_least in after:
        sketch.observe(value, at_least=at_least)
        restored.observe(value, at_least=at_least)
    assert [restored.quantile(share) for share in (0, 0.6, 0.95, 1)] == [
        sketch.quantile(share) for share in (0, 0.6, 0.95, 1)
    ]


def test_it_stays_small() -> None:
    sketch = Sketch(SCALE)
    for value in range(10_000):
        sketch.observe(1.01 ** (value % 1_400))
    assert len(sketch.encode()) < 1_500


@given(st.binary(max_size=80))
def test_any_bytes_are_read_or_refused(packed: bytes) -> None:
    sketch = Sketch.decode(SCALE, packed)
    if sketch is not None:
        sketch.observe(5)
        sketch.quantile(0.95)


@pytest.mark.parametrize(
    "packed",
    [
        (2, 1, {3: 1.0}),
        (1, -1, {3: 1.0}),
        (1, 1, {1_000: 1.0}),
        (1, 1, {-1: 1.0}),
        (1, 1, {3: 0.0}),
        (1, 1, {3: float("nan")}),
        (1, 1, {3: float("inf")}),
        (1, 1),
    ],
)
def test_what_is_not_ours_is_refused(packed: object) -> None:
    assert Sketch.decode(SCALE, msgspec.msgpack.encode(packed)) is None
    assert Sketch.decode(SCALE, msgspec.msgpack.encode((1, 1, {3: 1.0}))) is not None
