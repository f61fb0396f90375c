"""`farebox backtest` and `farebox profiles export`, on a journal and on a file."""

from __future__ import annotations

import asyncio
import json
import shlex
import time
from pathlib import Path
from typing import Any

import click
import pytest
import typer
import yaml
from typer.testing import CliRunner, Result

from gateway.cli import app
from gateway.config.snapshot import StorageSettings
from gateway.journal.writer import Journal
from gateway.telemetry.events import Event
from routing.money import NanoUsd, Usage
from tests.documents import ROOT, blocks
from tests.gateway.telemetry.samples import charged, finished
from tests.routing.recordings import profile

CONFIG = """
providers:
  up: {base_url: http://127.0.0.1:9/v1, api_key: "${KEY_THAT_NOBODY_SET}"}
models:
  small: {deployments: [{provider: up, price: {input: "0.10", output: "0.40"}}]}
  large: {deployments: [{provider: up, price: {input: "10", output: "40"}}]}
orgs: {acme: {}}
teams: {search: {org: acme}}
agents: {researcher: {team: search}}
budgets:
  researcher-daily: {scope: "agent:researcher", limit_usd: "0.05", window: day}
"""
POLICY = """
name: default
tiers:
  cheap: [small]
  strong: [large]
rules:
  - name: long
    when: input_tokens > 5000
    use: strong
default: %s
"""
LARGE_NANO_USD = 100 * 10_000 + 20 * 40_000


def events(number: int) -> list[Event]:
    at_s, request_id = time.time() - 3_600 + number, f"req-{number}"
    usage, cost = Usage(100, 20), NanoUsd(LARGE_NANO_USD)
    paid = charged(
        charge_id=f"c{number}", request_id=request_id, at_s=at_s, model="large", usage=usage, cost_nano_usd=cost
    )
    return [paid, finished(request_id=request_id, at_s=at_s, profile=profile(input_tokens=100), cost_nano_usd=cost)]


async def fill(folder: Path, count: int) -> None:
    journal = await Journal.open(StorageSettings(dir=folder / ".farebox"))
    journal.write([event for number in range(count) for event in events(number)])
    await journal.close()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "config.yaml").write_text(CONFIG)
    (tmp_path / "policies").mkdir()
    (tmp_path / "cheap.yaml").write_text(POLICY % "cheap")
    (tmp_path / "strong.yaml").write_text(POLICY % "strong")
    asyncio.run(fill(tmp_path, 20))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def report(*arguments: str) -> dict[str, Any]:
    result = run("backtest", *arguments, "--json")
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_what_a_policy_would_have_cost(folder: Path) -> None:
    found = report("--policy", "cheap.yaml")
    assert (found["requests"], found["routed"], found["moved"]) == (20, 20, 20)
    assert found["today"]["cost_nano_usd"] == 20 * LARGE_NANO_USD
    assert found["candidate"]["cost_nano_usd"] == 20 * LARGE_NANO_USD // 100
    assert found["candidate"]["cost_usd"] == "0.00036"
    assert found["cost_change"] == -0.99
    assert found["strongest_only"]["cost_usd"] == found["today"]["cost_usd"]
    assert found["assumed_output_tokens"]["small"]["assumed_mean"] == 20
    assert found["rules"] == {"default": 20}


def test_a_policy_like_todays_changes_nothing(folder: Path) -> None:
    found = report("--policy", "strong.yaml", "--max-cost-increase", "0%", "--max-refused", "0")
    assert (found["ok"], found["cost_change"], found["moved"], found["refused"]) == (True, 0, 0, 0)


def test_gates(folder: Path) -> None:
    assert run("backtest", "--policy", "strong.yaml", "--max-cost-increase", "5%").exit_code == 0
    result = run("backtest", "--policy", "strong.yaml", "--max-cost-increase", "-0.5%")
    assert result.exit_code == 1
    assert "changes by +0.00%, and may change by -0.5% at most" in result.stderr
    assert run("backtest", "--policy", "cheap.yaml", "--max-cost-increase", "-99%").exit_code == 0
    assert run("backtest", "--policy", "cheap.yaml", "--max-cost-increase", "-99.01%").exit_code == 1


def test_a_file_says_the_same_as_the_journal(folder: Path) -> None:
    exported = run("profiles", "export", "--out", "p.jsonl.gz", "--since", "1d")
    assert exported.exit_code == 0
    assert "20 requests written to p.jsonl.gz" in exported.stderr
    assert report("--policy", "cheap.yaml", "--profiles", "p.jsonl.gz") == report("--policy", "cheap.yaml")
    nobody = run("profiles", "export", "--out", "none.jsonl", "--agent", "nobody")
    assert "0 requests" in nobody.stderr


def test_the_table(folder: Path) -> None:
    result = run("backtest", "--policy", "cheap.yaml")
    assert result.exit_code == 0
    for text in ("20 requests", "today", "candidate", "-99.0%", "researcher", "small", "quality", "Assumed"):
        assert text in result.stdout
    assert max(map(len, result.stdout.split("Assumed:")[0].splitlines())) <= 100


@pytest.mark.parametrize(
    "arguments",
    [
        ("--policy", "missing.yaml"),
        ("--policy", "config.yaml"),
        ("--policy", "idle.yaml"),
        ("--policy", "cheap.yaml", "--since", "soon"),
        ("--policy", "cheap.yaml", "--since", "1s"),
        ("--policy", "cheap.yaml", "--max-cost-increase", "5"),
        ("--policy", "cheap.yaml", "--profiles", "missing.jsonl"),
        ("--policy", "cheap.yaml", "--profiles", "cheap.yaml"),
        ("--config", "missing.yaml"),
    ],
)
def test_bad_input(folder: Path, arguments: tuple[str, ...]) -> None:
    (folder / "idle.yaml").write_text("name: idle\n")
    result = run("backtest", *arguments)
    assert result.exit_code == 2, result.output
    assert result.stderr


def test_no_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.yaml").write_text(CONFIG)
    (tmp_path / "cheap.yaml").write_text(POLICY % "cheap")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KEY_THAT_NOBODY_SET", "k")
    assert run("backtest", "--policy", "cheap.yaml").exit_code == 2
    assert run("profiles", "export", "--out", "p").exit_code == 2
    assert not (tmp_path / ".farebox" / "journal.db").exists()


def test_the_example_for_ci_is_a_workflow_of_commands_that_exist() -> None:
    (block,) = blocks("yml", [ROOT / "docs" / "how-to" / "backtest-a-policy.md"])
    steps = yaml.safe_load(block.text)["jobs"]["cost"]["steps"]
    ours = [shlex.split(step["run"])[1:] for step in steps if step.get("run", "").startswith("farebox ")]
    assert [words[0] for words in ours] == ["test", "backtest"]
    commands: dict[str, click.Command] = getattr(typer.main.get_command(app), "commands", {})
    for words in ours:
        commands[words[0]].make_context(words[0], words[1:])
