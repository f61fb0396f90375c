"""Loading the configuration for a command: the snapshot, or every problem on stderr and a telling exit status."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from gateway.config.snapshot import Snapshot

PROBLEMS = 1
USAGE = 2
NO_ANSWER = 3
"""No gateway answers, or it cannot say: nothing is known then."""


def load_or_exit(path: Path) -> Snapshot:
    """Load `path`. Exits with 2 when it is not there, with 1 when it has problems: all are printed, a line each."""
    from gateway.config import ConfigError, load

    if not path.is_file():
        typer.echo(f"farebox: there is no {path}. `farebox init` writes one; --config names another.", err=True)
        raise typer.Exit(USAGE)
    try:
        return load(path, os.environ)
    except ConfigError as error:
        for problem in error.problems:
            typer.echo(str(problem), err=True)
        typer.echo(f"farebox: {len(error.problems)} problem(s) in the configuration; nothing was started.", err=True)
        raise typer.Exit(PROBLEMS) from None
