"""`farebox reconcile`: shown, entered once, kept for the metric."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from gateway.cli import app
from gateway.config.snapshot import StorageSettings
from gateway.journal.database import Database
from gateway.journal.reconciliations import latest
from gateway.journal.writer import Journal
from gateway.reports.periods import DAY_S, date_of
from routing.money import NanoUsd
from tests.gateway.telemetry.samples import charged

CONFIG = """
providers:
  main: {base_url: "https://api.openai.com/v1", api_key: "${KEY}"}
models:
  gpt:
    deployments: [{provider: main, model: gpt-5-mini}]
agents:
  dev: {}
storage: {dir: state}
"""
YESTERDAY = int(time.time() // DAY_S) - 1


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "config.yaml").write_text(CONFIG)
    (tmp_path / "costs.csv").write_text(
        "start_time,amount_value,amount_currency,line_item,new_column\n"
        f'{YESTERDAY * DAY_S},0.75,usd,"gpt-5-mini-2025-08-07, input",x\n'
        f'{YESTERDAY * DAY_S},0.50,usd,"gpt-5-mini-2025-08-07, output",x\n'
    )
    call = charged(
        window_at_s=YESTERDAY * DAY_S + 60.0, provider="main", upstream_model="gpt-5-mini", cost_nano_usd=NanoUsd(10**9)
    )

    async def write() -> None:
        journal = await Journal.open(StorageSettings(dir=tmp_path / "state"))
        journal.write([call])
        await journal.close()

    asyncio.run(write())
    return tmp_path


def run(folder: Path, *options: str) -> Any:
    words = ["reconcile", "openai", "--config", str(folder / "config.yaml"), *options]
    return CliRunner().invoke(app, words, env={"COLUMNS": "200"})


def test_the_drift_is_shown_entered_once_and_kept(folder: Path) -> None:
    file = ("--file", str(folder / "costs.csv"))
    shown = run(folder, *file)
    assert shown.exit_code == 1, shown.output
    assert "gpt: the bill is +25.00% of what was charged." in shown.stdout
    [entered] = json.loads(run(folder, *file, "--post", "--json").stdout)["entered"]
    assert entered == {"id": f"bill:main:gpt-5-mini:{date_of(YESTERDAY)}:1", "amount_usd": "0.25"}
    assert json.loads(run(folder, *file, "--post", "--json").stdout)["entered"] == []
    again = run(folder, *file)
    assert (again.exit_code, "gpt: the bill is +0.00%" in again.stdout) == (0, True)

    async def kept() -> list[Any]:
        database = await Database.open(StorageSettings(dir=folder / "state"))
        try:
            return [(each.provider, each.model, each.drift_ratio) for each in await latest(database.engine)]
        finally:
            await database.close()

    assert asyncio.run(kept()) == [("main", "gpt", 0.0)]


def test_what_cannot_be_read_is_said_in_a_line(folder: Path) -> None:
    wrong = folder / "wrong.csv"
    wrong.write_text("start_time,amount_value\nsoon,1\n")
    found = run(folder, "--file", str(wrong))
    assert (found.exit_code, found.stderr.strip()) == (
        2,
        f"farebox: {wrong}:2: `start_time` should be a date, not `soon`",
    )
    assert "cannot be read: No such file" in run(folder, "--file", str(folder / "none.csv")).stderr
    file = ("--file", str(folder / "costs.csv"))
    assert "has no provider `other`" in run(folder, *file, "--provider", "other").stderr
    words = ["reconcile", "anthropic", "--config", str(folder / "config.yaml"), *file]
    assert "no provider of the configuration is at api.anthropic.com" in CliRunner().invoke(app, words).stderr
