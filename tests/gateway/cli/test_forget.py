"""`farebox forget`, on a journal that a gateway has left."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from gateway.cli import app
from gateway.config.snapshot import StorageSettings
from gateway.journal.database import FILE_NAME
from gateway.journal.writer import Journal
from gateway.ledger.budgets import RunLimits
from gateway.ledger.operations import Run
from gateway.telemetry.events import RunChanged
from tests.gateway.telemetry.samples import charged, finished

CONFIG = """
providers:
  sim: {base_url: "http://127.0.0.1:9/v1", api_key: "${KEY}"}
models:
  gpt: {deployments: [{provider: sim, model: gpt, price: {input: "1", output: "1"}}]}
agents: {dev: {}}
storage: {dir: state}
"""
BUDGET = "budgets: {people: {scope: 'user:*', limit_usd: '1', window: {rolling: 10d}, when_missing: shared}}\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "config.yaml").write_text(CONFIG)
    now_s = time.time()

    async def write() -> None:
        journal = await Journal.open(StorageSettings(dir=tmp_path / "state"))
        for number, at_s in enumerate((now_s - 20 * 86_400, now_s - 60)):
            at = {"at_s": at_s, "user": "ann"}
            journal.write(
                [charged(charge_id=f"c{number}", window_at_s=at_s, **at), finished(request_id=f"r{number}", **at)]
            )
        await journal.close()

    asyncio.run(write())
    return tmp_path


def run(folder: Path, *options: str) -> Any:
    return CliRunner().invoke(app, ["forget", "--user", "ann", "--config", str(folder / "config.yaml"), *options])


def named(folder: Path) -> int:
    connection = sqlite3.connect(folder / "state" / FILE_NAME)
    [(count,)] = connection.execute("SELECT count(*) FROM charges WHERE end_user = 'ann'").fetchall()
    connection.close()
    return int(count)


def test_it_says_what_it_would_do_and_does_it(folder: Path) -> None:
    tried = run(folder, "--dry-run")
    assert (tried.exit_code, named(folder)) == (0, 2)
    assert "2 requests and 2 charges would be given the pseudonym forgotten-" in tried.stdout
    done = json.loads(run(folder, "--json").stdout)
    assert (done["charges"], done["left"], done["dry_run"], named(folder)) == (2, 0, False, 0)


def test_an_open_window_of_a_budget_does_not_wait_and_the_file_is_written_anew(folder: Path) -> None:
    (folder / "config.yaml").write_text(CONFIG + BUDGET)
    found = json.loads(run(folder, "--json").stdout)
    assert (found["charges"], found["not_compacted"], named(folder)) == (2, None, 0)


def test_an_open_run_waits(folder: Path) -> None:
    open_run = Run("dev/ann-1", ("dev/ann-1",), "o", "dev", RunLimits(), 1.0, time.time() + 600)

    async def write() -> None:
        journal = await Journal.open(StorageSettings(dir=folder / "state"))
        journal.write([RunChanged(open_run, 1.0), finished(request_id="r9", agent="dev", run="ann-1", user="ann")])
        await journal.close()

    asyncio.run(write())
    found = run(folder)
    assert (found.exit_code, "1 runs are open and keep their names" in found.stderr) == (1, True)
    assert named(folder) == 0


def test_a_large_file_is_left_to_its_operator(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.journal.compacting.MOST_BYTES", 1)
    found = run(folder)
    assert (found.exit_code, "could not be written anew" in found.stderr) == (0, True)


def test_without_a_journal(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(CONFIG)
    found = run(tmp_path)
    assert (found.exit_code, "there is no journal" in found.stderr) == (2, True)
