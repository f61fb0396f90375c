"""RouteLLM's measure of a router between two models: how much of the quality gap it recovers, for any share of calls.

PGR(x) is the part of the gap between the weak and the strong model that is recovered when the x of requests that the
router thinks gain most go to the strong one; APGR is its mean over x in 0..1, and 0.5 for a random mix. From Ong et
al., "RouteLLM: Learning to Route LLMs with Preference Data" (2024).
"""

from __future__ import annotations

import numpy as np

from benchmarks.routing.replay import Matrix


def apgr(gains: Matrix, believed: Matrix) -> float:
    """APGR of the order in which `believed` puts rows whose real gains (strong less weak quality) are `gains`.

    Rows that are believed to gain alike are taken in proportion.
    """
    order = np.argsort(-believed, kind="stable")
    level = np.concatenate(([0], np.flatnonzero(np.diff(believed[order])) + 1, [len(order)]))
    recovered = np.concatenate(([0.0], np.cumsum(gains[order])))[level]
    share = level / len(order)
    return float(((recovered[1:] + recovered[:-1]) / 2 * np.diff(share)).sum() / recovered[-1])
