"""`farebox explain`."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from gateway.cli import app
from gateway.config.snapshot import StorageSettings
from gateway.journal.database import Database
from gateway.learned.keeper import Keeper
from gateway.learned.quality import Heard, LearnedQuality

CONFIG = """
providers:
  up: {base_url: http://127.0.0.1:9/v1, api_key: "${KEY_THAT_NOBODY_SET}"}
models:
  small: {deployments: [{provider: up, context_tokens: 4000, price: {input: "0.10", output: "0.40"}}]}
  tiny: {deployments: [{provider: up, price: {input: "0.01", output: "0.04"}}]}
  large: {deployments: [{provider: up, price: {input: "10", output: "40"}}]}
agents: {researcher: {trust: [value]}, narrow: {allowed_models: [tiny]}}
policy: main
"""
POLICY = """
name: main
tiers: {cheap: [small], strong: [large]}
rules:
  - name: watched
    when: agent == "researcher"
    shadow: true
    use: strong
  - name: broken
    when: size(tags["feature"]) > 9
    use: strong
  - name: dear
    when: value_usd > 100.0
    use: strong
default: cheap
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "config.yaml").write_text(CONFIG)
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "main.yaml").write_text(POLICY)
    write(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(folder: Path, **fields: Any) -> None:
    messages = [{"role": "user", "content": "Prove that there are infinitely many primes."}]
    (folder / "request.json").write_text(json.dumps({"model": "auto", "messages": messages, **fields}))


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["explain", "request.json", *arguments])


def explained(*arguments: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run("--agent", "researcher", *arguments, "--json").stdout)
    return found


def test_rules_gates_and_numbers(folder: Path) -> None:
    found = explained()
    assert [(rule["name"], rule["result"], rule["role"]) for rule in found["rules"]] == [
        ("watched", "true", "shadow"),
        ("broken", "failed", ""),
        ("dear", "false", ""),
        ("default", "true", "obeyed"),
    ]
    assert [(gate["model"], gate["tier"], gate["excluded"]) for gate in found["gates"]] == [
        ("large", "strong", ""),
        ("small", "cheap", ""),
    ]
    assert found["decision"]["models"] == ["small"]
    assert found["decision"]["shadows"] == [{"rule": "watched", "model": "large"}]
    assert 0 < found["p_correct"]["small"] < found["p_correct"]["large"] < 1
    assert found["request"]["complexity"] == pytest.approx(1 - found["p_correct"]["small"])


def test_a_header_that_nobody_trusts_is_told_of(folder: Path) -> None:
    headers = ("-H", "x-farebox-value-usd: 500", "-H", "x-farebox-complexity: 0.9")
    assert explained(*headers)["unheard"] == ["x-farebox-complexity"]  # its value is trusted
    assert explained("-H", "x-farebox-value-usd: 500")["unheard"] == []
    told = run("--agent", "narrow", *headers)
    assert "x-farebox-value-usd does not count: the `trust` of the agent `narrow` does not list it" in told.stdout


def test_headers_count_as_the_clients_own(folder: Path) -> None:
    found = explained("-H", "x-farebox-value-usd: 500", "-H", "x-farebox-tags: feature=none")
    assert (found["decision"]["rule"], found["decision"]["models"]) == ("dear", ["large"])
    assert [rule["result"] for rule in found["rules"]] == ["true", "false", "true", "not asked"]


def test_gates_exclude(folder: Path) -> None:
    write(folder, messages=[{"role": "user", "content": "word " * 5_000}])
    found = explained()
    assert found["gates"][1] == {"model": "small", "tier": "cheap", "excluded": "context"}
    assert "small" not in found["p_correct"]
    assert found["decision"]["models"] == ["large"]


def test_nothing_is_left(folder: Path) -> None:
    result = run("--agent", "narrow")
    assert result.exit_code == 1
    assert "allowed_models" in result.stdout


def test_a_concrete_model_is_obeyed(folder: Path) -> None:
    write(folder, model="large")
    found = explained()
    assert (found["policy"], found["rules"], found["decision"]["models"]) == (None, [], ["large"])
    assert run("--agent", "researcher").exit_code == 0


def test_what_was_learned_counts(folder: Path) -> None:
    async def learn() -> None:
        database = await Database.open(StorageSettings(dir=folder / ".farebox"))
        learned = LearnedQuality()
        for number in range(50):
            learned.hear(Heard("researcher", "small", str(number), 0.0, None))
        await Keeper(database.engine, learned).save()
        await database.close()

    before = explained()["p_correct"]
    asyncio.run(learn())
    after = explained()["p_correct"]
    assert after["small"] < 0.2 < before["small"]
    assert after["large"] == before["large"]


def test_the_text(folder: Path) -> None:
    result = run("--agent", "researcher")
    assert result.exit_code == 0
    for text in ("asks for auto", "complexity", "value_usd > 100.0", "failed", "obeyed", "small", "strongest"):
        assert text in result.stdout


def test_another_policy(folder: Path) -> None:
    (folder / "new.yaml").write_text(POLICY.replace("default: cheap", "default: strong"))
    assert explained("--policy", "new.yaml")["decision"]["models"] == ["large"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("--agent", "nobody"),
        ("--agent", "researcher", "-H", "nonsense"),
        ("--agent", "researcher", "-H", "x-farebox-value-usd: much"),
        ("--agent", "researcher", "--api", "images"),
        ("--agent", "researcher", "--policy", "missing.yaml"),
        ("--agent", "researcher", "--config", "missing.yaml"),
    ],
)
def test_bad_input(folder: Path, arguments: tuple[str, ...]) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert result.stderr.startswith("farebox: ")


def test_no_request(folder: Path) -> None:
    (folder / "request.json").write_text("{")
    assert run("--agent", "researcher").exit_code == 2
    (folder / "request.json").unlink()
    assert run("--agent", "researcher").exit_code == 2
