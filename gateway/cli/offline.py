"""Loading the configuration for commands that call nobody: they run without the providers' keys, in CI too."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from gateway.cli.configuration import USAGE
from gateway.cli.remote import fail

if TYPE_CHECKING:
    from gateway.config.snapshot import Snapshot


def load_offline(config: Path, policy: Path | None = None) -> Snapshot:
    """The configuration, with the policy of a file in place of the one with its name. Exits with 2 on any problem.

    Variables that are not set are stood in for.
    """
    from gateway.config import ConfigError
    from gateway.config.cases import without_secrets
    from gateway.config.loader import load

    for file in (config, policy):
        if file is not None and not file.is_file():
            fail(f"there is no {file}", USAGE)
    try:
        return load(config, without_secrets(config, os.environ), policy=policy)
    except ConfigError as error:
        for problem in error.problems:
            typer.echo(str(problem), err=True)
        fail(f"{len(error.problems)} problem(s) in the configuration", USAGE)
