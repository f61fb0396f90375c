"""The `farebox` command. One file per subcommand; each imports what is heavy when it runs, not when it is listed."""

from __future__ import annotations

import os
import sys

import typer

from gateway import __version__
from gateway.cli.alerts import alerts
from gateway.cli.backtest import backtest
from gateway.cli.breakers import breakers
from gateway.cli.budgets import budgets
from gateway.cli.cases import run_cases
from gateway.cli.check import check
from gateway.cli.demo import demo
from gateway.cli.explain import explain
from gateway.cli.forget import forget
from gateway.cli.importer import importer
from gateway.cli.init import init
from gateway.cli.keys import keys
from gateway.cli.profiles import profiles
from gateway.cli.reconcile import reconcile
from gateway.cli.report import report
from gateway.cli.runs import runs
from gateway.cli.serve import serve
from gateway.cli.simulate import simulate
from gateway.cli.verify import verify

app = typer.Typer(
    name="farebox",
    help="An OpenAI-compatible gateway that governs what every model call of an AI agent costs.",
    epilog="Start here: `farebox init` writes a configuration, `farebox serve` runs it, `farebox demo` shows it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _print_version(value: bool) -> None:
    if value:
        typer.echo(f"farebox {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(False, "--version", callback=_print_version, is_eager=True, help="Print the version."),
) -> None:
    pass


app.command()(serve)
app.command()(init)
app.command()(check)
app.command("test")(run_cases)
app.add_typer(explain)
app.add_typer(backtest)
app.add_typer(profiles, name="profiles")
app.command()(demo)
app.command()(simulate)
app.add_typer(keys, name="keys")
app.add_typer(budgets, name="budgets")
app.add_typer(runs, name="runs")
app.add_typer(breakers, name="breakers")
app.add_typer(alerts, name="alerts")
app.command()(verify)
app.command()(report)
app.add_typer(reconcile)
app.command()(forget)
app.add_typer(importer, name="import")


def main() -> None:
    """Entry point of the console script."""
    try:
        app()
    finally:
        _flush()


def _flush() -> None:
    """Say nothing of a reader that has gone (`farebox report | head`): Python would, when it flushes at its end."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
