from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.percentiles import percentile, uncorrected


def corrected(measured: dict[int, int], interval: int) -> dict[int, int]:
    """What wrk 4 does to its histogram, and shows of it to a script."""
    counts = Counter(measured)
    for latency in range(interval * 2, max(measured) + 1):
        added = latency - interval
        while counts[latency] and added > interval:
            counts[added] += counts[latency]
            added -= interval
    return {latency: count for latency, count in counts.items() if count and latency >= min(measured)}


@given(st.dictionaries(st.integers(1, 400), st.integers(1, 9), min_size=1, max_size=40), st.integers(1, 500))
def test_undoes_the_correction(measured: dict[int, int], interval: int) -> None:
    assert uncorrected(corrected(measured, interval), interval) == measured


def test_one_pause_does_not_make_a_percentile() -> None:
    measured = {100: 999, 50_000: 1}
    seen = corrected(measured, 110)
    assert percentile(seen, 0.99) > 10_000
    assert percentile(uncorrected(seen, 110), 0.99) == 100


def test_percentiles() -> None:
    histogram = {10: 50, 20: 49, 30: 1}
    assert [percentile(histogram, share) for share in (0.5, 0.501, 0.99, 1.0)] == [10, 20, 20, 30]
    with pytest.raises(ValueError, match="no samples"):
        percentile({}, 0.5)
