"""Percentiles of what clients really saw, from wrk's histogram.

wrk corrects its histogram for "coordinated omission": for each latency of at least twice the mean interval between two
requests of a connection it adds samples that nobody measured, one for every interval that fits (`stats_correct` in its
stats.c). With fixed request counts that turns one pause into a false percentile, so we take them out again.
"""

from __future__ import annotations

from collections.abc import Mapping


def uncorrected(histogram: Mapping[int, int], interval: int) -> dict[int, int]:
    """Undo wrk's correction: latency in µs -> count, as it was measured. `interval` is wrk's, in µs.

    wrk adds samples below each latency, as many as were measured at it. So, from the longest down, what is left of a
    count once the longer ones' additions are taken away is what was measured. Its scripts do not see what it added
    below the shortest measured one.
    """
    lowest = max(interval, min(histogram, default=0) - 1)
    measured = dict(histogram)
    for latency in sorted(histogram, reverse=True):
        count = measured[latency]
        if interval <= 0 or latency < 2 * interval or not count:
            continue
        for added in range(latency - interval, lowest, -interval):
            measured[added] = measured.get(added, 0) - count
    return {latency: count for latency, count in measured.items() if count}


def percentile(histogram: Mapping[int, int], share: float) -> int:
    """The smallest latency that at least `share` (0..1) of all samples do not exceed."""
    wanted = share * sum(histogram.values())
    seen = 0
    for latency in sorted(histogram):
        seen += histogram[latency]
        if seen >= wanted:
            return latency
    raise ValueError("no samples")
