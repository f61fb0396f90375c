from __future__ import annotations

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from gateway.cli.init import init
from gateway.config import load

app = typer.Typer()
app.command()(init)

WRITTEN = {"config.yaml", ".env.example", "config.schema.json", "policies/default.yaml", "policies/schema.json"}


def run(*arguments: str | Path) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return result.exit_code, result.stdout, result.stderr


def test_it_writes_a_configuration_that_works(tmp_path: Path) -> None:
    code, out, _ = run(tmp_path / "new")

    files = {str(path.relative_to(tmp_path / "new")) for path in (tmp_path / "new").rglob("*") if path.is_file()}
    assert code == 0
    assert files == WRITTEN
    assert "farebox serve" in out
    snapshot = load(tmp_path / "new" / "config.yaml", {})
    assert "sim-small" in snapshot.catalog.models
    assert [policy.name for policy in snapshot.policies] == ["default"]


def test_the_editors_schema_lies_where_the_file_says(tmp_path: Path) -> None:
    run(tmp_path)

    first = (tmp_path / "config.yaml").read_text().splitlines()[0]
    assert (tmp_path / first.partition("$schema=")[2]).is_file()
    first = (tmp_path / "policies" / "default.yaml").read_text().splitlines()[0]
    assert (tmp_path / "policies" / first.partition("$schema=")[2]).is_file()


def test_here_is_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    assert run()[0] == 0
    assert (tmp_path / "config.yaml").is_file()


def test_it_replaces_nothing_unless_forced(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("mine")

    code, _, err = run(tmp_path)

    assert code == 1
    assert "--force" in err
    assert (tmp_path / "config.yaml").read_text() == "mine"
    assert not (tmp_path / "policies").exists()
    assert run(tmp_path, "--force")[0] == 0
    assert (tmp_path / "config.yaml").read_text() != "mine"


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    code, _, err = run(tmp_path / "file" / "sub")

    assert code == 1
    assert "cannot write" in err
