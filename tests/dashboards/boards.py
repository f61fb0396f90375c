"""Reads the committed boards as Grafana would: panels, their queries, and what variables stand for."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from tests.dashboards import fleet

FOLDER = Path(__file__).resolve().parents[2] / "dashboards" / "grafana"
SCRAPE_S = 60
POINTS = 240
"""How many points a panel has room for."""
AGENT = "coder"
_LEGEND = re.compile(r"{{\s*(\w+)\s*}}")
_DURATION = re.compile(r"(\d+)([smhdw])")
_UNIT_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


class Asked(NamedTuple):
    """A panel's query and the time it is asked about."""

    board: str
    panel: dict[str, Any]
    target: dict[str, Any]
    range_s: int

    @property
    def name(self) -> str:
        return f"{self.board}: {self.panel['title']} {self.target['refId']}"

    @property
    def is_sql(self) -> bool:
        return "rawSql" in self.target

    @property
    def text(self) -> str:
        """As it stands in the board."""
        return str(self.target["rawSql"] if self.is_sql else self.target["expr"])

    @property
    def step_s(self) -> int:
        least = seconds(self.target.get("interval", f"{SCRAPE_S}s"))
        return max(least, SCRAPE_S, -(-self.range_s // POINTS // 60) * 60)

    @property
    def legend(self) -> list[str]:
        """The labels that name its series, `$by` as it is chosen at first."""
        return _LEGEND.findall(self.target.get("legendFormat", "").replace("$by", "agent"))

    def filled(self, by: str = "agent") -> str:
        """With Grafana's own variables and the board's as they are when it is opened."""
        rate_s = max(self.step_s + SCRAPE_S, 4 * SCRAPE_S)
        values = {"__range": f"{self.range_s}s", "__interval": f"{self.step_s}s", "__rate_interval": f"{rate_s}s"}
        values |= {"__range_s": str(self.range_s), "__interval_ms": str(self.step_s * 1000)}
        one = self.board == "farebox-agent"
        values |= {"by": by, "org": ".*", "team": ".*", "agent": AGENT if one else ".*", "model": ".*"}
        return re.sub(r"\$(\w+)", lambda found: values[found[1]], self.text)


def seconds(duration: str) -> int:
    """`5m` in seconds."""
    found = _DURATION.fullmatch(duration)
    assert found is not None, duration
    return int(found[1]) * _UNIT_S[found[2]]


@cache
def boards() -> dict[str, dict[str, Any]]:
    """The committed boards by uid."""
    read = [json.loads(path.read_text("utf-8")) for path in sorted(FOLDER.glob("*.json"))]
    return {board["uid"]: board for board in read}


def panels(board: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Its panels, without the headings between them."""
    for panel in board["panels"]:
        if panel["type"] != "row":
            yield panel
        yield from panel.get("panels", [])


def asked() -> list[Asked]:
    """Every query of every board."""
    return [
        Asked(uid, panel, target, _range_s(panel.get("timeFrom") or board["time"]["from"]))
        for uid, board in boards().items()
        for panel in panels(board)
        for target in panel["targets"]
    ]


def _range_s(since: str) -> int:
    now = datetime.fromtimestamp(fleet.END_S, UTC)
    if since == "now/d":
        return int((now - now.replace(hour=0, minute=0)).total_seconds())
    if since == "now/M":
        return fleet.END_S - fleet.MONTH_START_S
    return seconds(since.removeprefix("now-"))
