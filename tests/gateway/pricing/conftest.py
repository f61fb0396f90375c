"""The compiled table, made once for all pricing tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.pricing.table import PriceTable


@pytest.fixture(scope="session")
def price_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("prices")


@pytest.fixture(scope="session")
def table(price_cache: Path) -> PriceTable:
    return PriceTable.load(price_cache)
