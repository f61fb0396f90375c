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


def run(folder: Path, *options: str, answer: str = "") -> Any:
    words = ["reconcile", "openai", "--config", str(folder / "config.yaml"), *options]
    return CliRunner().invoke(app, words, input=answer, env={"COLUMNS": "200"})


def test_the_drift_is_shown_entered_once_and_kept(folder: Path) -> None:
    file = ("--file", str(folder / "costs.csv"))
    shown = run(folder, *file)
    assert shown.exit_code == 1, shown.output
    assert "gpt: the bill is +25.00% of what was charged." in shown.stdout
    [entered] = json.loads(run(folder, *file, "--post", "--yes", "--json").stdout)["entered"]
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


def test_nothing_is_entered_without_a_yes(folder: Path) -> None:
    file = ("--file", str(folder / "costs.csv"), "--post")
    for answer in ("n\n", ""):
        refused = run(folder, *file, answer=answer)
        assert (refused.exit_code, "corrections entered" in refused.stdout) == (1, False)
        assert "Enter 1 corrections, together 0.25 USD?" in refused.stderr
    agreed = run(folder, *file, answer="y\n")
    assert (agreed.exit_code, "1 corrections entered." in agreed.stdout) == (0, True)
    nothing = run(folder, *file)  # nothing is left to ask for
    assert (nothing.exit_code, "0 corrections entered." in nothing.stdout) == (0, True)


def test_a_correction_beyond_the_bound_is_refused(folder: Path) -> None:
    file = ("--file", str(folder / "costs.csv"), "--post", "--yes")
    refused = run(folder, *file, "--most-usd", "0.249999999")
    assert refused.exit_code == 1
    assert "the corrections come to 0.25 USD, signs aside: more than --most-usd" in refused.stderr
    assert "corrections entered" not in refused.stdout
    assert run(folder, *file, "--most-usd", "0.25").exit_code == 0
    assert "--most-usd: " in run(folder, *file, "--most-usd", "much").stderr


def test_what_the_export_leaves_out_is_shown_and_not_entered(folder: Path) -> None:
    (folder / "other.csv").write_text(
        f'start_time,amount_value,amount_currency,line_item\n{YESTERDAY * DAY_S},0.10,usd,"gpt-5-nano, input"\n'
    )
    found = run(folder, "--file", str(folder / "other.csv"), "--post", "--yes")
    assert found.exit_code == 0, found.output
    assert "gpt: the bill has nothing of it" in found.stdout
    assert [line for line in found.stdout.splitlines() if line.startswith("entered")] == [
        f"entered bill:main:gpt-5-nano:{date_of(YESTERDAY)}:1: 0.10 USD"
    ]


def test_a_bill_without_models_is_entered_as_one_correction_that_says_so(folder: Path) -> None:
    (folder / "total.csv").write_text(f"start_time,amount_value,amount_currency\n{YESTERDAY * DAY_S},1.40,usd\n")
    found = run(folder, "--file", str(folder / "total.csv"), "--post", "--yes")
    assert f"entered bill:main:all:{date_of(YESTERDAY)}:1: 0.40 USD" in found.stdout
