"""`python -m gateway.telemetry.boards`: write every board into dashboards/grafana/."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Final

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as model

from gateway.telemetry.boards import agent, budgets, reliability, routing, runs, spend

FOLDER: Final = Path(__file__).resolve().parents[3] / "dashboards" / "grafana"
BOARDS: Final = (spend, budgets, agent, routing, reliability, runs)


def boards() -> dict[str, model.Dashboard]:
    """Every board by the name of its file."""
    return {f"{made.uid}.json": made for made in (module.build() for module in BOARDS)}


def text(board: model.Dashboard) -> str:
    """A board as its file holds it."""
    return json.dumps(board, cls=JSONEncoder, indent=2, sort_keys=True) + "\n"


def main() -> None:
    """Write the files; boards that are gone lose theirs."""
    made = boards()
    for old in FOLDER.glob("*.json"):
        if old.name not in made:
            old.unlink()
    for name, board in made.items():
        (FOLDER / name).write_text(text(board), "utf-8")
        sys.stdout.write(f"{FOLDER.name}/{name}\n")


if __name__ == "__main__":
    main()
