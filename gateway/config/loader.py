"""A configuration from its files: read, merge, check, compile."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from gateway.config.compile import Compiler, TableLoader
from gateway.config.prices import load_table
from gateway.config.snapshot import Snapshot
from gateway.config.sources import Sources
from gateway.config.variables import Variables, environment


def load(
    path: Path,
    environ: Mapping[str, str] | None = None,
    *,
    version: int = 1,
    table: TableLoader = load_table,
    policy: Path | None = None,
) -> Snapshot:
    """Read the configuration at `path`. Raises ConfigError with all that is wrong with it, and nothing else.

    `environ` (default: the process's) overrides the `.env` file beside `path`. `table` makes the price table, given the
    folder that it may be kept in. `policy` is a file whose policy takes the place of the one with its name. Reads
    files: call it in a thread where a loop must not wait.
    """
    variables = environment(path.parent / ".env", os.environ if environ is None else environ)
    resolver = Variables(variables, path.parent)
    sources = Sources(path, resolver)
    return Compiler(sources, path, variables, policy).compile(version, resolver.files, table)
