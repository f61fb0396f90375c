"""What routing saves, on recorded answers of several models to the same prompts (docs/complexity.md).

    python -m benchmarks.routing --json
    python -m benchmarks.routing --predict routes.jsonl   # the routes of all rows, blind ones too
    python -m benchmarks.routing --data FOLDER            # where the replay tables are; default: ../shared/routing_data

Records and thresholds come from the training rows alone, by weights that never saw the row's question; the figures are
of the test rows, by the weights that are shipped. `saved_at_T`: what is saved of the strong model's cost when T percent
of its quality are to be kept; `quality_at_T`: what was kept. Intervals are 95%, by bootstrap over the test rows.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.routing.data import TABLES, Row, Tables, read_tables, request_of
from benchmarks.routing.decision import decision_figures
from benchmarks.routing.evaluate import Known, pool_figures, routed, routellm_figures, unseen_figures
from benchmarks.routing.learning import fold_of, learn_folds
from benchmarks.routing.predict import write_routes
from benchmarks.routing.replay import LLMROUTER9, POOL7, POOLS, ROUTELLM2
from routing.complexity import Scorer
from routing.weights import Weights, shipped

_DATA = Path(__file__).parents[3] / "shared" / "routing_data"


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.routing", description=__doc__)
    parser.add_argument("--data", type=Path, default=_DATA, help="folder of the replay tables")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--predict", type=Path, metavar="FILE", help="write the routes of all rows to FILE")
    options = parser.parse_args()
    if not options.data.is_dir():
        parser.error(f"no folder {options.data}: docs/complexity.md says where the tables come from")
    console = Console(stderr=True)
    tables = read_tables(options.data)
    weights = shipped()
    scorer = Scorer(weights)
    with console.status("learning without each fold in turn"):
        held = [Scorer(each) for each in learn_folds(tables.rows)]
    known = {table: _known(tables, table, scorer, held) for table in TABLES}
    if options.predict is not None:
        with console.status("routing all rows"):
            count = _predict(options.predict, tables, known, scorer)
        console.print(f"{count} routes in {options.predict}")
        return 0
    with console.status("replaying"):
        figures = _figures(known, scorer, weights)
    if options.json:
        print(json.dumps(figures, indent=2))
    else:
        Console().print(_table(figures))
    return 0


def _known(tables: Tables, table: str, scorer: Scorer, held: Sequence[Scorer]) -> Known:
    train, test = tables.of(table, "train"), tables.of(table, "test")
    unseen = [held[fold].score(request_of(row)).signals for row, fold in zip(train, fold_of(train), strict=True)]
    return Known(train, unseen, test, _signals(scorer, test))


def _signals(scorer: Scorer, rows: Sequence[Row]) -> list[Sequence[float]]:
    return [scorer.score(request_of(row)).signals for row in rows]


def _figures(known: Mapping[str, Known], scorer: Scorer, weights: Weights) -> dict[str, Any]:
    pools = {pool.table: (pool, known[pool.table]) for pool in (POOL7, LLMROUTER9)}
    return {
        **{name: pool_figures(pool, rows) for name, (pool, rows) in pools.items()},
        "routellm2": routellm_figures(ROUTELLM2, known["routellm2"]),
        "unseen": unseen_figures(pools),
        "decision": decision_figures(scorer),
        "weights": {"version": weights.header.version, "rows": weights.header.rows, "data": weights.header.data_sha256},
    }


def _predict(path: Path, tables: Tables, known: Mapping[str, Known], scorer: Scorer) -> int:
    """Training rows too are routed by the shipped weights and the whole record: they are there to be complete."""
    each = {}
    for pool in POOLS:
        rows = tables.of(pool.table)
        learned = routed(pool, known[pool.table].train, known[pool.table].train_signals)
        each[pool.table] = (learned, rows, _signals(scorer, rows))
    return write_routes(path, each)


def _table(figures: Mapping[str, Any]) -> Table:
    table = Table("figure", "router", "95%", "task table", "random mix", "oracle")
    rows = [
        (name, f"{what}_at_{target}")
        for name in ("pool7", "llmrouter9")
        for target in (95, 99, 100)
        for what in ("saved", "quality")
    ]
    rows += [("routellm2", "apgr_mmlu"), ("routellm2", "apgr_gsm8k")]
    for name, key in rows:
        of = figures[name]
        low, high = of[f"{key}_interval"]
        beside = [f"{of[baseline][key]:.3f}" for baseline in ("task_table", "random_mix", "oracle")]
        table.add_row(f"{name}.{key}", f"{of[key]:.3f}", f"{low:.3f} to {high:.3f}", *beside)
    table.add_row("unseen.quality", f"{figures['unseen']['quality']:.3f}")
    for key in ("complexity_p50_us", "complexity_p99_us"):
        table.add_row(f"decision.{key}", f"{figures['decision'][key]:.0f}")
    return table


if __name__ == "__main__":
    sys.exit(main())
