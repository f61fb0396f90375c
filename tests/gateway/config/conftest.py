from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from gateway.config import ConfigError
from gateway.config.loader import load
from gateway.config.snapshot import Snapshot
from gateway.pricing.table import PriceTable

Load = Callable[..., Snapshot]
Problems = Callable[..., list[str]]


@pytest.fixture(scope="session")
def table(tmp_path_factory: pytest.TempPathFactory) -> PriceTable:
    return PriceTable.load(tmp_path_factory.mktemp("prices"))


@pytest.fixture
def load_text(tmp_path: Path, table: PriceTable) -> Load:
    """Load a configuration from its text."""

    def run(text: str, environ: Mapping[str, str] | None = None) -> Snapshot:
        path = tmp_path / "config.yaml"
        path.write_text(text)
        return load(path, environ or {}, table=lambda folder: table)

    return run


@pytest.fixture
def problems(load_text: Load, tmp_path: Path) -> Problems:
    """The problems of a configuration, as lines without its folder."""

    def run(text: str, environ: Mapping[str, str] | None = None) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            load_text(text, environ)
        return [str(problem).replace(f"{tmp_path}/", "") for problem in caught.value.problems]

    return run
