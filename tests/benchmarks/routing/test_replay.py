from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.routing.data import read_tables
from benchmarks.routing.evaluate import Known, pool_figures, routed, routellm_figures, unseen_figures
from benchmarks.routing.predict import routes
from benchmarks.routing.replay import POOL7, ROUTELLM2, Pool, Router, without_text
from tests.benchmarks.routing.tables import write_tables


@pytest.fixture
def known(tmp_path: Path) -> dict[str, Known]:
    """Signals that tell hard questions from easy ones, as the made-up tables have them."""
    write_tables(tmp_path, 400)
    tables = read_tables(tmp_path)
    found = {}
    for pool in (POOL7, ROUTELLM2):
        train, test = tables.of(pool.table, "train"), tables.of(pool.table, "test")
        signals = [
            [[3.0 if "add" in row.prompt else -3.0, 0.0, 0.0, 0.0, 0.0] for row in rows] for rows in (train, test)
        ]
        found[pool.table] = Known(train, signals[0], test, signals[1])
    return found


@pytest.mark.parametrize("usd_weight", [0.0, 10.0, 1_000.0])
def test_the_replay_chooses_as_the_gateways_code_does(known: dict[str, Known], usd_weight: float) -> None:
    rows = known["pool7"]
    router = Router.learned(POOL7, rows.train[:60], rows.train_signals[:60])
    chosen = router.belief(rows.test, rows.test_signals).choose(usd_weight)
    for row, signals, index in zip(rows.test, rows.test_signals, chosen, strict=True):
        assert router.choose(row, signals, usd_weight) == POOL7.models[index]


def test_an_agent_that_nobody_has_seen_gets_the_strong_model(known: dict[str, Known]) -> None:
    rows = known["pool7"]
    router = Router.learned(POOL7, [row for row in rows.train if row.bench == "mmlu"], without_text(rows.train)[:100])
    other = [row for row in rows.test if row.bench == "gsm8k"]
    assert set(router.belief(other, without_text(other)).choose(1e6)) == {POOL7.strong_index}


def test_text_finds_what_a_table_cannot(known: dict[str, Known]) -> None:
    """Half of the questions are as well answered by a model at a tenth of the price: 45% is all that can be saved."""
    figures = pool_figures(POOL7, known["pool7"])
    assert figures["saved_at_99"] == pytest.approx(0.45)
    assert figures["quality_at_99"] == 1.0
    assert figures["saved_at_99_interval"][0] < 0.45 < figures["saved_at_99_interval"][1]
    assert figures["task_table"]["saved_at_99"] == 0.0
    assert figures["oracle"]["saved_at_99"] == pytest.approx(0.45)
    assert figures["random_mix"]["saved_at_99"] == pytest.approx(0.018, abs=0.002)


def test_apgr_of_text_and_table(known: dict[str, Known]) -> None:
    figures = routellm_figures(ROUTELLM2, known["routellm2"])
    assert figures["apgr_mmlu"] == figures["oracle"]["apgr_mmlu"] == pytest.approx(0.75)
    assert figures["task_table"]["apgr_gsm8k"] == pytest.approx(0.5)


def test_an_unseen_task_keeps_its_quality_by_abstaining(known: dict[str, Known]) -> None:
    figures = unseen_figures({"pool7": (POOL7, known["pool7"])})
    assert (figures["quality"], figures["saved"]) == (1.0, 0.0)
    assert set(figures["without_abstaining"]) == {"quality", "saved"}


def test_routes_are_written_for_blind_rows_too(known: dict[str, Known], tmp_path: Path) -> None:
    rows = known["pool7"]
    blind = read_tables(tmp_path).of("pool7", "blind")
    signals = [[3.0 if "add" in row.prompt else -3.0, 0.0, 0.0, 0.0, 0.0] for row in blind]
    learned = routed(POOL7, rows.train, rows.train_signals)
    lines = list(routes(learned, blind, signals))
    assert [line["id"] for line in lines] == [row.id for row in blind]
    for line, row in zip(lines, blind, strict=True):
        choice = line["choice"]
        assert isinstance(choice, dict)
        assert set(choice) == {"95", "99", "100"}
        assert (choice["99"] == POOL7.strong) == ("prove" in row.prompt)


def test_expected_costs_follow_the_size(known: dict[str, Known]) -> None:
    pool = Pool("pool7", POOL7.models[:5], POOL7.cheap, POOL7.strong)
    router = Router.learned(pool, known["pool7"].train, known["pool7"].train_signals)
    usd = np.array([router.expected_usd(row) for row in known["pool7"].test])
    assert (usd[:, pool.strong_index] > usd[:, 0]).all()
