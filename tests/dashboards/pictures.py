"""`python -m tests.dashboards.pictures`: draw every board over the simulated week, for docs/dashboards.md.

What Prometheus and PostgreSQL answer to the boards' own queries; only the drawing is not Grafana's.
"""

from __future__ import annotations

import asyncio
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg

from tests.dashboards import drawing
from tests.dashboards.boards import Asked, asked, boards
from tests.dashboards.drawing import Box, Line
from tests.dashboards.fleet import END_S
from tests.dashboards.ledger import READER, answer, fill
from tests.dashboards.prometheus import Prometheus, missing
from tests.servers import Postgres

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "pictures"
POINTS = 100
DATABASE = "pictures"


def main() -> None:
    """Draw them all."""
    if missing():
        sys.stdout.write(f"no pictures: {missing()}\n")
        return
    FOLDER.mkdir(exist_ok=True)
    server, postgres = None, Postgres.start()
    try:
        with tempfile.TemporaryDirectory(prefix="farebox-pictures-") as folder:
            postgres.run(f"CREATE DATABASE {DATABASE}")
            postgres.run(READER.read_text("utf-8"), DATABASE)
            asyncio.run(fill(postgres.url(DATABASE), Path(folder)))
            rows = asyncio.run(_rows(postgres.url(DATABASE)))
            server = Prometheus.of_the_week(Path(folder))
            for uid, board in boards().items():
                picture = drawing.board(board["title"], list(_panels(uid, board, server, rows)))
                (FOLDER / f"{uid}.svg").write_text(picture, "utf-8")
                sys.stdout.write(f"docs/pictures/{uid}.svg {len(picture) // 1024} kB\n")
            server.stop()
    finally:
        if server is not None:
            server.stop()
        postgres.destroy()


async def _rows(url: str) -> dict[str, list[dict[str, Any]]]:
    connection = await asyncpg.connect(url)
    found = {one.name: await answer(connection, one) for one in asked() if one.is_sql}
    await connection.close()
    return found


def _panels(
    uid: str, board: dict[str, Any], server: Prometheus, rows: dict[str, list[dict[str, Any]]]
) -> Iterator[tuple[dict[str, Any], Callable[[Box], Iterator[str]]]]:
    for panel in board["panels"]:
        title = panel["title"].replace("$by", "agent").replace("$run", "coder/fix-1207")
        queries = [one for one in asked() if one.board == uid and one.panel["id"] == panel["id"]]
        yield {**panel, "title": title}, _drawer(panel, queries, server, rows)


def _drawer(
    panel: dict[str, Any], queries: list[Asked], server: Prometheus, rows: dict[str, list[dict[str, Any]]]
) -> Callable[[Box], Iterator[str]]:
    if panel["type"] == "row":
        return lambda box: iter(())
    defaults = panel["fieldConfig"]["defaults"]
    unit, steps, colors = defaults["unit"], defaults["thresholds"]["steps"], _colors(panel)
    if panel["type"] == "table":
        heads, cells = _cells(panel, queries, server, rows)
        return lambda box: drawing.table(box, heads, cells)
    if queries[0].is_sql:
        lines = _from_rows(rows[queries[0].name])
    else:
        lines = [line for query in queries for line in _lines(query, server)]
    span = (END_S - queries[0].range_s, END_S)
    stack = defaults.get("custom", {}).get("stacking", {}).get("mode") == "normal"
    states = next((one["options"] for one in defaults.get("mappings", [])), {})
    draw: dict[str, Callable[[Box], Iterator[str]]] = {
        "stat": lambda box: drawing.stat(box, lines, unit, steps),
        "bargauge": lambda box: drawing.bars(box, lines, unit, steps),
        "piechart": lambda box: drawing.donut(box, lines, unit, colors),
        "timeseries": lambda box: drawing.over_time(box, lines, unit, span=span, stack=stack, colors=colors),
        "state-timeline": lambda box: drawing.timeline(box, lines, states),
    }
    return draw[panel["type"]]


def _lines(query: Asked, server: Prometheus) -> list[Line]:
    if query.target.get("instant"):
        return [Line(_name(query, one["metric"]), {END_S: float(one["value"][1])}) for one in server.at(query.filled())]
    step_s = max(query.step_s, query.range_s // POINTS // 60 * 60)
    if "[$__interval]" in query.text:
        step_s = query.step_s
    found = server.over(query.filled(), END_S - query.range_s, END_S, step_s)
    lines = [Line(_name(query, one["metric"]), {float(t): float(v) for t, v in one["values"]}) for one in found]
    moving = [line for line in lines if any(line.points.values()) or query.panel["type"] == "state-timeline"]
    return sorted(moving or lines, key=lambda line: line.name)


def _name(query: Asked, labels: dict[str, str]) -> str:
    legend = query.target.get("legendFormat", "").replace("$by", "agent")
    return re.sub(r"{{\s*(\w+)\s*}}", lambda found: labels.get(found[1], ""), legend).strip()


def _from_rows(rows: list[dict[str, Any]]) -> list[Line]:
    """Over time: a column for each series, or one that names it."""
    lines: dict[str, dict[float, float]] = {}
    for row in rows:
        for column, value in row.items():
            if column not in ("time", "metric"):
                lines.setdefault(row.get("metric", column), {})[row["time"]] = float(value)
    return [Line(name, points) for name, points in sorted(lines.items())]


def _cells(
    panel: dict[str, Any], queries: list[Asked], server: Prometheus, rows: dict[str, list[dict[str, Any]]]
) -> tuple[list[str], list[list[tuple[str, str]]]]:
    """A table's headings and its cells, sorted as the panel says."""
    if queries[0].is_sql:
        found = rows[queries[0].name]
        heads = list(found[0])
    else:
        (organize,) = [one["options"] for one in panel["transformations"] if one["id"] == "organize"]
        names = {
            field: organize["renameByName"][field]
            for field in sorted(organize["indexByName"], key=organize["indexByName"].get)
        }
        heads = list(names.values())
        labels = [field for field in names if not field.startswith("Value")]
        merged: dict[tuple[str, ...], dict[str, Any]] = {}
        for query in queries:
            value_of = names[f"Value #{query.target['refId']}" if len(queries) > 1 else "Value"]
            for series in server.at(query.filled()):
                key = tuple(series["metric"].get(label, "") for label in labels)
                row = merged.setdefault(key, {names[label]: part for label, part in zip(labels, key, strict=True)})
                row[value_of] = float(series["value"][1])
        found = list(merged.values())
    (sort,) = panel["options"]["sortBy"]
    found.sort(key=lambda row: row.get(sort["displayName"]) or 0, reverse=sort["desc"])
    return heads, [[_cell(panel, head, row.get(head)) for head in heads] for row in found]


def _cell(panel: dict[str, Any], head: str, value: Any) -> tuple[str, str]:
    fields = {
        field["id"]: field["value"]
        for override in panel["fieldConfig"]["overrides"]
        if override["matcher"]["options"] == head
        for field in override["properties"]
    }
    if value is None:
        return "", ""
    if not isinstance(value, int | float):
        return f"{value:%H:%M:%S}" if hasattr(value, "hour") else str(value), ""
    color = drawing.shade(value, fields["thresholds"]["steps"]) if "thresholds" in fields else ""
    return drawing.number(float(value), fields.get("unit", panel["fieldConfig"]["defaults"]["unit"])), color


def _colors(panel: dict[str, Any]) -> dict[str, str]:
    return {
        override["matcher"]["options"]: drawing.NAMED[field["value"]["fixedColor"]]
        for override in panel["fieldConfig"]["overrides"]
        for field in override["properties"]
        if field["id"] == "color"
    }


if __name__ == "__main__":
    main()
