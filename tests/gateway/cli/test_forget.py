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


def test_what_a_budget_counts_waits_unless_all_is_asked_for(folder: Path) -> None:
    (folder / "config.yaml").write_text(CONFIG + BUDGET)
    found = run(folder)
    assert "2 rows or runs still have the id" in found.stderr
    assert named(folder) == 1
    assert run(folder, "--all").exit_code == 0
    assert named(folder) == 0


def test_without_a_journal(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(CONFIG)
    found = run(tmp_path)
    assert (found.exit_code, "there is no journal" in found.stderr) == (2, True)
