"""Configurations for tests that need one and care for a part of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from gateway.config.snapshot import (
    AdminSettings,
    MetricsSettings,
    ServerSettings,
    SimulatorSettings,
    Snapshot,
    StorageSettings,
)
from routing.catalog import Catalog

_EMPTY = Snapshot(
    version=1,
    source=Path("config.yaml"),
    files=(),
    auth=True,
    anonymous_agent=None,
    server=ServerSettings(),
    admin=AdminSettings(),
    storage=StorageSettings(),
    simulator=SimulatorSettings(),
    metrics=MetricsSettings(),
    endpoints={},
    catalog=Catalog({}),
    agents={},
)


def snapshot_of(**parts: Any) -> Snapshot:
    """An empty configuration, but for these parts."""
    return replace(_EMPTY, **parts)
