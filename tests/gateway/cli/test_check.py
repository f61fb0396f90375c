from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from gateway.cli.check import check

GOOD = """\
providers:
  mine: {base_url: "http://127.0.0.1:1/v1", api_key: "${KEY}"}
  away: {base_url: "${AWAY}", optional: true}
models:
  m: {provider: mine, price: {input: "0.15", cache_read: "0.075", output: "12"}, aliases: [n]}
  w/*: {provider: mine}
agents: {dev: {}}
keys: {ci: {agent: dev, key: "${KEY}"}}
budgets:
  month: {scope: "user:*", limit_usd: "20.5", window: month, timezone: Europe/Berlin}
  lately: {scope: global, limit_usd: "1", window: {rolling: 90m}, mode: shadow}
limits:
  rate: {scope: "agent:*", requests: 600/min, tokens: {limit: 5, per: 90s, burst: 2}, concurrency: 7}
"""

app = typer.Typer()
app.command()(check)


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KEY", "sk-hidden")
    path = tmp_path / "config.yaml"
    path.write_text(GOOD)
    return path


def run(*arguments: str | Path) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return result.exit_code, result.stdout, result.stderr


def test_policies_that_choose_models_are_summed_up(config: Path) -> None:
    (config.parent / "policies").mkdir()
    (config.parent / "policies/default.yaml").write_text(
        "name: default\ntiers: {weak: [n], strong: [m]}\nrules: [{name: r, use: weak}]\nclaims: [smart, auto]\n"
    )
    (config.parent / "policies/idle.yaml").write_text("name: idle\n")

    _, out, _ = run("--config", config)

    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert "default weak < strong 1 auto, smart dev" in lines
    assert not any(line.startswith("idle") for line in lines)


def test_a_good_configuration_is_summed_up(config: Path) -> None:
    code, out, _ = run("--config", config)

    assert code == 0
    assert f"{config}: no problems" in out
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert "m mine/m 0.15 0.075 12.00 n" in lines
    assert "mine http://127.0.0.1:1/v1" in lines
    assert "dev default default ci" in lines
    assert "month user:* 20.50 month (Europe/Berlin) enforce" in lines
    assert "lately global 1.00 last 90m shadow" in lines
    assert "rate agent:* 600 in 1m 5 in 90s, 2 at once 7 enforce" in lines
    assert f"warning: {config}:10:18: budgets.month.scope: refuses requests without it" in out
    assert "optional provider away left out: AWAY is not set" in lines
    assert "sk-hidden" not in out


def test_problems_are_a_line_each(config: Path) -> None:
    config.write_text("srver: 1\nauth: maybe\n")

    code, out, err = run("-c", config)

    assert code == 1
    assert out.splitlines() == [
        f"{config}:1:1: srver: unknown setting 'srver'; did you mean 'server'?",
        f"{config}:2:7: auth: should be `on` or `off`",
    ]
    assert err == "farebox check: 2 problems\n"


def test_json_of_a_good_configuration(config: Path) -> None:
    code, out, _ = run("-c", config, "--json")
    summary = json.loads(out)

    assert code == 0
    assert summary["ok"] is True
    assert summary["models"]["m"] == [
        {"deployment": "mine/m", "unpriced": False, "input": "0.15", "cache_read": "0.075", "output": "12.00"}
    ]
    assert summary["keys"] == {"ci": "dev"}
    assert summary["budgets"]["lately"] == {
        "scope": "global",
        "limit_usd": "1.00",
        "window": "last 90m",
        "mode": "shadow",
    }
    assert summary["limits"]["rate"]["concurrency"] == "7"
    assert summary["store"] == "memory"
    assert len(summary["warnings"]) == 1
    assert "sk-hidden" not in out


def test_json_of_problems(config: Path) -> None:
    config.write_text("srver: 1\n")

    code, out, _ = run("-c", config, "--json")

    assert code == 1
    assert json.loads(out) == {
        "ok": False,
        "problems": [
            {
                "file": str(config),
                "line": 1,
                "column": 1,
                "path": "srver",
                "message": "unknown setting 'srver'; did you mean 'server'?",
            }
        ],
    }


def test_a_file_that_is_not_there_is_a_usage_error(tmp_path: Path) -> None:
    code, _, err = run("-c", tmp_path / "none.yaml")

    assert code == 2
    assert "farebox init" in err
