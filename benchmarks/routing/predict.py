"""The routes that the router takes for every row of every table, for others to check against answers kept back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from benchmarks.routing.data import Row
from benchmarks.routing.evaluate import Routed
from benchmarks.routing.targets import TARGETS


def routes(known: Routed, rows: Sequence[Row], signals: Sequence[Sequence[float]]) -> Iterator[dict[str, object]]:
    """One line for each row: the model at each target, as the gateway's own code chooses it."""
    for row, seen in zip(rows, signals, strict=True):
        choice = {}
        for target in TARGETS:
            weight = known.weights[target]
            strong = known.router.pool.strong
            choice[str(target)] = strong if weight < 0 else known.router.choose(row, seen, weight)
        yield {"id": row.id, "table": row.table, "choice": choice}


def write_routes(path: Path, tables: Mapping[str, tuple[Routed, Sequence[Row], Sequence[Sequence[float]]]]) -> int:
    """Write the routes of all tables, JSON lines; how many there are."""
    lines = [line for known, rows, signals in tables.values() for line in routes(known, rows, signals)]
    path.write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))
    return len(lines)
