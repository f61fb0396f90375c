from __future__ import annotations

from pathlib import Path

from benchmarks.routing.data import read_tables, request_of, training_rows
from benchmarks.routing.learning import FOLDS, fold_of, learn, learn_folds, lesson
from routing.complexity import FEATURES, HEADS, Scorer
from routing.weights import pack, unpack
from tests.benchmarks.routing.tables import write_tables


def test_the_same_tables_give_the_same_bytes(tmp_path: Path) -> None:
    write_tables(tmp_path, 24)
    first, again = (pack(learn(lesson(training_rows(read_tables(tmp_path).rows)), 0.01)) for _ in range(2))
    assert first == again


def test_what_was_learned_tells_hard_from_easy(tmp_path: Path) -> None:
    write_tables(tmp_path)
    tables = read_tables(tmp_path)
    weights = unpack(pack(learn(lesson(training_rows(tables.rows)), 0.01)))
    assert (weights.header.features, weights.header.heads) == (FEATURES, HEADS)
    scorer = Scorer(weights)
    for row in tables.of("pool7", "test"):
        assert (scorer.score(request_of(row)).complexity > 0.5) == ("prove" in row.prompt)


def test_each_row_has_weights_that_never_saw_it(tmp_path: Path) -> None:
    write_tables(tmp_path, 24)
    rows = read_tables(tmp_path).rows
    learned = learn_folds(rows)
    taken = training_rows(rows)
    assert len(learned) == FOLDS
    for fold, weights in enumerate(learned):
        assert weights.header.rows == sum(each != fold for each in fold_of(taken))
