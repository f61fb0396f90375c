"""Configuration: what people write, checked strictly, compiled into an immutable `Snapshot`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.config.problems import ConfigError, Problem

if TYPE_CHECKING:
    from gateway.config.snapshot import Snapshot

__all__ = ["ConfigError", "Problem", "load"]


def load(path: Path, environ: Mapping[str, str] | None = None, *, version: int = 1) -> Snapshot:
    """See `gateway.config.loader.load`, which is imported only here: snapshots are used without it."""
    from gateway.config import loader

    return loader.load(path, environ, version=version)
