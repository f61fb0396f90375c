"""The command and its subcommands, as they are found by their names."""

from __future__ import annotations

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from gateway.cli import app, build

_PROGRAM = """
import sys
import gateway.cli
sys.argv = ["farebox", "serve", "--help"]
try:
    gateway.cli.main()
finally:
    assert "gateway.cli.serve" in sys.modules
    others = [name for name in sys.modules if name.startswith("gateway.cli.") and name != "gateway.cli.serve"]
    assert not others, others
"""


def test_a_subcommand_is_imported_alone() -> None:
    done = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Run the gateway" in done.stdout


@pytest.mark.parametrize("name", ["serve", "test", "keys", "explain", "reconcile", "import"])
def test_a_subcommand_alone_is_called_as_among_the_others(name: str) -> None:
    alone, among = (CliRunner().invoke(each, [name, "--help"]) for each in (build([name]), app))
    assert alone.exit_code == among.exit_code == 0
    assert alone.output == among.output


def test_all_are_listed() -> None:
    listed = CliRunner().invoke(app, ["--help"]).output
    assert all(
        f" {name} " in listed for name in ("serve", "check", "test", "backtest", "reconcile", "forget", "import")
    )


def test_nothing_else_is_there() -> None:
    with pytest.raises(ImportError):
        from gateway.cli import nothing  # noqa: F401
