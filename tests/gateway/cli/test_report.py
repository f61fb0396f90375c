"""`farebox report`, on a journal that a gateway has left, and its files in DuckDB."""

from __future__ import annotations

import asyncio
import builtins
import csv
import io
import json
import os
import sqlite3
import subprocess
import sys
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
from typer.testing import CliRunner

from gateway.cli import app
from gateway.config.snapshot import StorageSettings
from gateway.journal.database import FILE_NAME, Database
from gateway.journal.prices import note
from gateway.journal.writer import Journal
from routing.money import NanoUsd, PricePoint, Usage
from tests.gateway.reports.focus_rules import problems
from tests.gateway.telemetry.samples import charged, finished

CONFIG = """
providers:
  sim: {base_url: "http://127.0.0.1:9/v1", api_key: "${KEY}"}
models:
  gpt:
    deployments:
      - {provider: sim, model: gpt-large, price: {input: "0.25", output: "2.00"}}
agents:
  dev: {}
storage: {dir: state}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "config.yaml").write_text(CONFIG)
    now_s = time.time()
    events = []
    for number in range(6):
        usage = Usage(input_tokens=1_001 + number, output_tokens=7)
        cost = usage.input_tokens * 250 + 7 * 2_000
        at = {"at_s": now_s - 40 * number, "window_at_s": now_s - 40 * number}
        where = {"model": "gpt", "deployment": "sim/gpt-large", "provider": "sim", "upstream_model": "gpt-large"}
        events += [
            charged(
                charge_id=f"c{number}", agent=f"agent-{number % 2}", usage=usage, cost_nano_usd=NanoUsd(cost),
                price_point="config:gpt", purpose="failed" if number == 5 else "useful", user="alice", **at, **where,
            ),
            finished(request_id=f"r{number}", agent=f"agent-{number % 2}", at_s=at["at_s"]),
        ]  # fmt: skip

    async def write() -> None:
        journal = await Journal.open(StorageSettings(dir=tmp_path / "state"))
        journal.write(events)
        await journal.close()

    asyncio.run(write())
    return tmp_path


TOTAL = sum((1_001 + number) * 250 + 14_000 for number in range(6))


def run(folder: Path, *options: str) -> Any:
    return CliRunner().invoke(app, ["report", "--config", str(folder / "config.yaml"), "--since", "2d", *options])


def test_a_table_for_people(folder: Path) -> None:
    found = run(folder)
    assert found.exit_code == 0, found.output
    assert [line.split()[0] for line in found.output.splitlines()[:3]] == ["team", "search", "search"]
    assert "agent-1" in found.output
    assert "0.001589 USD, 0.00 in the 2 days before; 0.000266 bought nothing." in found.output


def test_csv_and_json_say_the_same(folder: Path) -> None:
    lines = list(csv.DictReader(io.StringIO(run(folder, "--by", "agent", "--format", "csv").stdout)))
    found = json.loads(run(folder, "--by", "agent", "--format", "json").stdout)
    assert [line["cost_usd"] for line in lines] == [line["cost_usd"] for line in found["data"]]
    assert sum(int(line["requests"]) for line in lines) == found["total"]["requests"] == 6
    assert found["total"]["waste"] == {"failed": found["total"]["waste_usd"]}
    assert found["total"]["cost_usd"] == f"0.{TOTAL:09d}".rstrip("0")


def test_duckdb_reads_the_parquet_file(folder: Path) -> None:
    out = folder / "report.parquet"
    found = run(folder, "--by", "agent,user", "--format", "parquet", "--out", str(out))
    assert found.exit_code == 0, found.output
    rows = duckdb.sql(f"SELECT \"user\", sum(cost_usd), typeof(any_value(cost_usd)) FROM '{out}' GROUP BY 1").fetchall()
    assert [(user, int(cost * 10**9), kind) for user, cost, kind in rows] == [("alice", TOTAL, "DECIMAL(38,9)")]


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_duckdb_reads_the_focus_file(folder: Path, kind: str) -> None:
    out = folder / f"focus.{kind}"
    found = run(folder, "--format", "focus", "--out", str(out))
    assert found.exit_code == 0, found.output
    source = f"read_csv('{out}', all_varchar = true)" if kind == "csv" else f"'{out}'"
    total, exact = duckdb.sql(
        'SELECT sum(CAST("BilledCost" AS DECIMAL(38, 15))), bool_and(CAST("ListUnitPrice" AS DECIMAL(38, 15)) * '
        'CAST("PricingQuantity" AS DECIMAL(38, 0)) = CAST("ListCost" AS DECIMAL(38, 15))) '
        f"FROM {source}"
    ).fetchall()[0]
    assert (int(total * 10**9), exact) == (TOTAL, True)
    if kind == "csv":
        with out.open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert list(problems(rows)) == []
        assert {row["SkuMeter"] for row in rows} == {"Input tokens", "Output tokens"}


def test_focus_rows_can_be_told_apart_by_user(folder: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(run(folder, "--by", "user", "--format", "focus").stdout)))
    assert {json.loads(row["Tags"])["farebox/user"] for row in rows} == {"alice"}
    assert list(problems(rows)) == []


def test_what_cannot_be_done_is_said_in_a_line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def lines(*options: str) -> tuple[int, str]:
        found = run(folder, *options)
        return found.exit_code, found.stderr.strip()

    assert lines("--format", "parquet") == (2, "farebox: a Parquet file needs a name: --out report.parquet")
    assert lines("--by", "colour")[1].startswith("farebox: a report cannot go by `colour`; it can by day, week")
    assert "is neither a date" in lines("--since", "soon")[1]
    assert "cannot be written: No such file" in lines("--format", "csv", "--out", str(folder / "no" / "x.csv"))[1]
    real = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    status, line = lines("--format", "parquet", "--out", str(folder / "x.parquet"))
    assert (status, line.partition(": pip")[2]) == (2, " install 'farebox[parquet]'")


def test_without_a_journal(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(CONFIG)
    found = run(tmp_path)
    assert (found.exit_code, "there is no journal" in found.stderr) == (2, True)


@pytest.mark.parametrize("form", ["table", "csv"])
def test_a_reader_that_has_seen_enough_is_no_error(folder: Path, form: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "gateway.cli", "report", "--config", str(folder / "config.yaml"), "--format", form]
    with os.fdopen(writer) as out:
        found = subprocess.run(command, stdout=out, stderr=subprocess.PIPE, check=False)
    assert (found.returncode, found.stderr) == (1, b"")


def test_the_total_tells_of_requests_whatever_it_goes_by(folder: Path) -> None:
    for by in ("agent,model", "model", "user", "agent"):
        total = json.loads(run(folder, "--by", by, "--format", "json").stdout)["total"]
        assert (total["requests"], total["errors"], total["attempts"]) == (6, 0, 6), by


def test_roll_ups_are_verified_without_a_gateway(folder: Path) -> None:
    words = ["verify", "--offline", "--config", str(folder / "config.yaml")]
    found = CliRunner().invoke(app, words)
    assert (found.exit_code, found.stdout) == (0, "1 days of roll-ups compared: all agree with the charges.\n")
    database = sqlite3.connect(folder / "state" / FILE_NAME)
    database.execute(
        "UPDATE daily SET cost_nano_usd = cost_nano_usd + 1 WHERE agent = 'agent-1' AND purpose = 'useful'"
    )
    database.commit()
    database.close()
    wrong = CliRunner().invoke(app, [*words, "--json"])
    assert (wrong.exit_code, json.loads(wrong.stdout)["ok"]) == (1, False)
    assert "cost_nano_usd is" in CliRunner().invoke(app, words).stderr
    nowhere = CliRunner().invoke(app, ["verify", "--offline", "--config", str(folder.parent / "none.yaml")])
    assert nowhere.exit_code == 2


def test_focus_tells_the_rates_that_the_journal_remembers(folder: Path) -> None:
    """The configuration has another price by now."""

    async def write() -> None:
        database = await Database.open(StorageSettings(dir=folder / "state"))
        await note(database.engine, [PricePoint("config:gpt", 250_000, 2_000_000, *[0] * 8)], 1.0)
        await database.close()

    (folder / "config.yaml").write_text(CONFIG.replace("0.25", "0.20"))
    before = list(csv.DictReader(io.StringIO(run(folder, "--format", "focus").stdout)))
    assert {line["SkuMeter"] for line in before} == {"Model usage"}
    asyncio.run(write())
    after = list(csv.DictReader(io.StringIO(run(folder, "--format", "focus").stdout)))
    assert {line["SkuMeter"] for line in after} == {"Input tokens", "Output tokens"}
    assert sum(Decimal(line["BilledCost"]) for line in after) == Decimal(TOTAL).scaleb(-9)
