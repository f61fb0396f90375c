"""The `farebox` command. One file per subcommand; each imports what is heavy when it runs, not when it is listed.

A subcommand that is called by its name is imported alone: `serve` keeps for years what it imports.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

import typer

from gateway import __version__

if TYPE_CHECKING:
    app: typer.Typer

_FILES: Final = {"test": "cases", "import": "importer"}
"""Of the commands whose name is not their file's."""
_OBJECTS: Final = {"test": "run_cases"}
"""What stands for it there, where that is not the file's name."""
_ORDER: Final = (
    *("serve", "init", "check", "test", "explain", "backtest", "profiles", "demo", "simulate", "keys", "budgets"),
    *("runs", "breakers", "alerts", "verify", "report", "reconcile", "forget", "import"),
)
_BY_THEMSELVES: Final = frozenset(("explain", "backtest", "reconcile"))
"""They name their commands."""


def _print_version(value: bool) -> None:
    if value:
        typer.echo(f"farebox {__version__}")
        raise typer.Exit


def _root(
    version: bool = typer.Option(False, "--version", callback=_print_version, is_eager=True, help="Print the version."),
) -> None:
    pass


def build(commands: Iterable[str] = _ORDER) -> typer.Typer:
    """The command with these subcommands."""
    made = typer.Typer(
        name="farebox",
        help="An OpenAI-compatible gateway that governs what every model call of an AI agent costs.",
        epilog="Start here: `farebox init` writes a configuration, `farebox serve` runs it, `farebox demo` shows it.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    made.callback()(_root)
    for name in commands:
        file = _FILES.get(name, name)
        command = getattr(import_module(f"gateway.cli.{file}"), _OBJECTS.get(name, file))
        if not isinstance(command, typer.Typer):
            made.command(name)(command)
        elif name in _BY_THEMSELVES:
            made.add_typer(command)
        else:
            made.add_typer(command, name=name)
    return made


def __getattr__(name: str) -> Any:
    """`app`: the command with all its subcommands."""
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return _whole()


@cache
def _whole() -> typer.Typer:
    return build()


def main() -> None:
    """Entry point of the console script."""
    called = sys.argv[1:2]
    try:
        build(called if called and called[0] in _ORDER else _ORDER)()
    finally:
        _flush()


def _flush() -> None:
    """Say nothing of a reader that has gone (`farebox report | head`): Python would, when it flushes at its end."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
