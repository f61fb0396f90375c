from __future__ import annotations

import json
import re
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from gateway.cli.keys import keys
from gateway.identity.keys import key_digest

CONFIG = """\
providers:
  mine: {base_url: "http://127.0.0.1:1/v1"}
models:
  sim-small: {provider: mine, price: {input: "1", output: "1"}, aliases: [small]}
agents: {crawler: {}, coder: {}}
keys: {ci: {agent: coder, sha256: "5b1b2c2e1d3a4f5968778695a4b3c2d1e0f0a1b2c3d4e5f60718293a4b5c6d7e"}}
"""
CHECKOUT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, with a configuration."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.yaml").write_text(CONFIG)
    return tmp_path


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(keys, list(arguments))
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


def made(*arguments: str) -> str:
    code, out, err = run("create", "--agent", "crawler", *arguments)
    assert code == 0, err
    return out.strip()


def listed() -> dict[str, dict[str, Any]]:
    code, out, _ = run("list", "--json")
    assert code == 0
    return {record["id"]: record for record in json.loads(out)}


def stored(folder: Path) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(folder / ".farebox" / "journal.db")
    rows = connection.execute("SELECT id, sha256 FROM keys ORDER BY created_at_us").fetchall()
    connection.close()
    return rows


def test_a_new_key_is_all_that_standard_output_has(folder: Path) -> None:
    code, out, err = run("create", "--agent", "crawler", "--name", "laptop")
    assert code == 0
    assert re.fullmatch(r"fb-[a-z2-9]{40}\n", out)
    assert out.strip() not in err
    assert out[:11] in err
    assert stored(folder) == [(out[:11], key_digest(out.strip()))]


def test_a_key_in_json(folder: Path) -> None:
    made = json.loads(run("create", "-a", "crawler", "--models", "sim-small, s*", "--expires", "2h", "--json")[1])
    assert key_digest(made["key"]) == stored(folder)[0][1]
    assert (made["agent"], made["state"], made["models"]) == ("crawler", "active", ["s*", "sim-small"])
    assert made["expires_at_s"] - made["created_at_s"] == pytest.approx(7200, abs=60)


def test_a_date_is_when_that_day_begins() -> None:
    key = made("--expires", "2999-12-31")
    moment = datetime(2999, 12, 31, tzinfo=UTC).timestamp()
    assert listed()[key[:11]]["expires_at_s"] == moment


@pytest.mark.parametrize(
    ("options", "code", "told"),
    [
        (("--agent", "crawlr"), 1, "there is no agent `crawlr` in config.yaml; did you mean `crawler`?"),
        (("--agent", "x"), 1, "there is no agent `x` in config.yaml"),
        (("--agent", "crawler", "--expires", "soon"), 2, "neither a length of time (30d, 12h) nor a date"),
        (("--agent", "crawler", "--expires", "2020-01-01"), 2, "in the past"),
        (("--agent", "crawler", "--expires", "0d"), 2, "in the past"),
        (("--agent", "crawler", "--expires", "999999999d"), 2, "too far away"),
        (("--agent", "crawler", "--models", " , "), 2, "names no model"),
        (("--agent", "crawler", "--name", "two\nlines"), 2, "a line of plain text"),
    ],
)
def test_what_makes_no_sense_makes_no_key(options: tuple[str, ...], code: int, told: str) -> None:
    status, out, err = run("create", *options)
    assert (status, out) == (code, "")
    assert told in err
    assert "Traceback" not in err
    assert list(listed()) == ["config:ci"]


def test_a_model_that_nothing_matches_is_warned_of() -> None:
    _, out, err = run("create", "--agent", "crawler", "--models", "sim-smal,small,sim-*")
    assert out.startswith("fb-")
    assert err.splitlines()[0] == "farebox: warning: no model matches `sim-smal`; did you mean `sim-small`?"
    assert err.count("warning") == 1


def test_the_list_is_a_line_for_each_key_even_with_long_names() -> None:
    key = made("--name", "[red]the laptop of somebody with a name that does not end[/] " * 3, "--expires", "30d")
    code, out, _ = run("list")
    assert code == 0
    lines = out.splitlines()
    assert lines[0].split() == ["key", "agent", "name", "state", "created", "expires"]
    [line] = [line for line in lines if line.startswith(key[:11])]
    assert "[red]the laptop" in line
    assert re.search(r"active +\d{4}-\d\d-\d\d +\d{4}-\d\d-\d\d", line)
    assert any(line.startswith("config:ci") for line in lines)
    assert key not in out


def test_the_list_leaves_the_keys_of_runs_out_unless_asked(folder: Path) -> None:
    key = made()
    connection = sqlite3.connect(folder / ".farebox" / "journal.db")
    connection.execute("UPDATE keys SET run = 'researcher/1' WHERE id = ?", (key[:11],))
    connection.commit()
    connection.close()
    assert key[:11] not in run("list")[1]
    listed = json.loads(run("list", "--runs", "--json")[1])
    assert [record["run"] for record in listed if record["id"] == key[:11]] == ["researcher/1"]


def test_the_list_fits_a_terminal_of_80_columns(folder: Path) -> None:
    """What people copy stays in one piece; long names are folded."""
    key = made("--name", "the laptop of somebody with quite a name", "--expires", "30d")
    program = (
        "import sys; sys.stdout.isatty = lambda: True\n"
        "from gateway.cli import main; sys.argv = ['farebox', 'keys', 'list']; main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, timeout=60, check=True,
        env={"COLUMNS": "80", "PYTHONPATH": str(CHECKOUT)},
    )  # fmt: skip
    lines = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout).splitlines()
    assert max(map(len, lines)) <= 80
    assert any(key[:11] in line for line in lines)
    assert "active" in done.stdout


def test_states(folder: Path) -> None:
    ids = {state: made()[:11] for state in ("active", "revoked", "expired", "no_agent")}
    run("revoke", ids["revoked"])
    connection = sqlite3.connect(folder / ".farebox" / "journal.db")
    connection.execute("UPDATE keys SET expires_at_us = 1 WHERE id = ?", (ids["expired"],))
    connection.execute("UPDATE keys SET agent = 'gone' WHERE id = ?", (ids["no_agent"],))
    connection.commit()
    connection.close()
    found = listed()
    assert {state: found[key_id]["state"] for state, key_id in ids.items()} == {state: state for state in ids}
    assert "no agent" in run("list")[1]


def test_no_keys_at_all(folder: Path) -> None:
    (folder / "config.yaml").write_text(CONFIG.split("keys:", maxsplit=1)[0])
    code, out, err = run("list")
    assert (code, out) == (0, "")
    assert "farebox keys create" in err
    assert json.loads(run("list", "--json")[1]) == []


def test_revoking_takes_the_name_or_the_whole_key() -> None:
    first, second = made(), made()
    assert run("revoke", first[:11])[:2] == (0, f"{first[:11]} is revoked.\n")
    assert json.loads(run("revoke", second, "--json")[1]) == {"id": second[:11], "revoked": True}
    assert run("revoke", first[:11])[0] == 0, "again changes nothing"
    assert {record["state"] for key_id, record in listed().items() if key_id != "config:ci"} == {"revoked"}


def test_a_key_that_is_not_stored_is_not_revoked() -> None:
    assert run("revoke", "fb-nobody00")[::2] == (
        1,
        "farebox: no stored key has the id `fb-nobody00`; `farebox keys list` shows them\n",
    )
    assert "declared in the configuration" in run("revoke", "config:ci")[2]
    assert "declared in the configuration" in run("rotate", "config:ci")[2]


def test_rotating_prints_the_new_key_and_ends_the_old_one() -> None:
    old = made("--name", "laptop", "--models", "small")
    code, out, err = run("rotate", old[:11])
    assert code == 0
    assert re.fullmatch(r"fb-[a-z2-9]{40}\n", out)
    assert "agent crawler" in err
    found = listed()
    assert (found[old[:11]]["state"], found[out[:11]]["state"]) == ("revoked", "active")
    assert [found[out[:11]][field] for field in ("name", "models")] == ["laptop", ["small"]]
    assert run("rotate", old[:11])[0] == 1


def test_rotating_with_an_overlap_and_another_end() -> None:
    old = made("--expires", "1d")
    new = json.loads(run("rotate", old[:11], "--overlap", "1h", "--expires", "30d", "--json")[1])
    found = listed()
    assert found[old[:11]]["state"] == "active"
    assert found[old[:11]]["expires_at_s"] - new["created_at_s"] == pytest.approx(3600, abs=60)
    assert new["expires_at_s"] - new["created_at_s"] == pytest.approx(30 * 86_400, abs=60)
    assert run("rotate", old[:11], "--overlap", "a while")[0] == 2


def test_a_journal_in_the_way_is_told_in_a_line(folder: Path) -> None:
    (folder / ".farebox").mkdir()
    (folder / ".farebox" / "journal.db").write_text("no database " * 100)
    code, out, err = run("list")
    assert (code, out) == (1, "")
    assert err == "farebox: the journal in .farebox cannot be opened: file is not a database\n"


def test_as_a_process_it_is_made_for_scripts(folder: Path) -> None:
    script = 'KEY=$("$PYTHON" -m gateway.cli keys create --agent crawler) && printf "<%s>" "$KEY"'
    done = subprocess.run(
        ["bash", "-c", script], cwd=folder, capture_output=True, text=True, timeout=60, check=True,
        env={"PYTHON": sys.executable, "PYTHONPATH": str(CHECKOUT)},
    )  # fmt: skip
    assert re.fullmatch(r"<fb-[a-z2-9]{40}>", done.stdout)
    assert stored(folder)[0][1] == key_digest(done.stdout.strip("<>"))
