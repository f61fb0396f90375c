from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.config.loader import load
from gateway.config.snapshot import Snapshot
from gateway.pricing.table import PriceTable

CONFIG = """\
providers: {p: {base_url: "http://127.0.0.1:1/v1"}}
models:
  small: {provider: p, price: {input: "1", output: "1"}, aliases: [little]}
  large: {provider: p, price: {input: "9", output: "9"}}
  spare: {provider: p, price: {input: "2", output: "2"}}
teams: {research: {}}
agents: {dev: {team: research}, other: {}}
budgets:
  devs: {scope: "agent:dev", limit_usd: "5", window: day}
  all: {scope: global, limit_usd: "50", window: month, mode: shadow}
"""


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> PriceTable:
    return PriceTable.load(tmp_path_factory.mktemp("prices"))


@pytest.fixture
def ruled(tmp_path: Path, table: PriceTable) -> Callable[..., Snapshot]:
    """A configuration with one policy, `main`, that rules all. `budget`: changes of the budget of `dev`."""

    def made(policy: str, budget: str = "") -> Snapshot:
        (tmp_path / "policies").mkdir(exist_ok=True)
        (tmp_path / "policies" / "main.yaml").write_text(f"name: main\n{policy}")
        text = CONFIG.replace("window: day}", f"window: day{budget}}}") + "policy: main\n"
        (tmp_path / "config.yaml").write_text(text)
        return load(tmp_path / "config.yaml", {}, table=lambda _: table)

    return made
