"""Grafana's boards: current, valid by Grafana's own schema, and readable by somebody who has never seen them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import combinations
from typing import Any

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models import dashboard as model

from gateway.telemetry.boards.__main__ import FOLDER, text
from gateway.telemetry.boards.__main__ import boards as built
from gateway.telemetry.boards.tables import register
from tests.dashboards.boards import boards, panels

BOARDS = sorted(boards().items())
PANELS = [(uid, panel) for uid, board in BOARDS for panel in panels(board)]
UNITS = {"currencyUSD", "percentunit", "s", "short", "reqps"}
COLORS = {"green", "orange", "red", "blue", "yellow", "purple", "text", "dark-red", "dark-orange"}
"""Grafana's names: each has a shade for the light theme and one for the dark."""

each_board = pytest.mark.parametrize("board", [board for _, board in BOARDS], ids=[uid for uid, _ in BOARDS])
each_panel = pytest.mark.parametrize("panel", [p for _, p in PANELS], ids=[f"{u}: {p['title']}" for u, p in PANELS])


@pytest.fixture(autouse=True)
def plugins() -> None:
    register_default_plugins()
    register()


def lost(before: Any, after: Any, place: str = "") -> Iterator[str]:
    """What was there before and is not there, or another, after. The schema may add what goes without saying."""
    if isinstance(before, dict) and isinstance(after, dict):
        for name, part in before.items():
            yield from lost(part, after.get(name), f"{place}/{name}")
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, (part, other) in enumerate(zip(before, after, strict=True)):
            yield from lost(part, other, f"{place}/{index}")
    elif before != after:
        yield place


def test_the_files_are_current() -> None:
    """`make boards` writes them."""
    assert {path.name: path.read_text("utf-8") for path in FOLDER.glob("*.json")} == {
        name: text(board) for name, board in built().items()
    }


@each_board
def test_grafanas_own_schema_knows_every_field(board: dict[str, Any]) -> None:
    """What the schema's types do not know is lost when they read a board and write it again."""
    read = model.Dashboard.from_json(board)
    assert list(lost(board, json.loads(json.dumps(read, cls=JSONEncoder)))) == []
    for panel in read.panels or []:
        assert isinstance(panel, model.Panel | model.RowPanel)


def test_an_unknown_field_would_be_noticed() -> None:
    board = json.loads(json.dumps(BOARDS[0][1]))
    next(panels(board))["thresholdz"] = 1
    again = json.loads(json.dumps(model.Dashboard.from_json(board), cls=JSONEncoder))
    assert list(lost(board, again)) == ["/panels/1/thresholdz"]


@each_panel
def test_panels_explain_themselves(panel: dict[str, Any]) -> None:
    defaults = panel["fieldConfig"]["defaults"]
    assert panel["title"]
    assert panel["description"].endswith(".")
    assert len(panel["description"]) > 20
    assert defaults["unit"] in UNITS
    assert defaults["thresholds"]["steps"][0].get("value") is None
    assert panel["datasource"]["uid"] in ("${prometheus}", "${journal}")
    assert panel["targets"]


@each_panel
def test_colors_suit_both_themes(panel: dict[str, Any]) -> None:
    configured = json.dumps(panel["fieldConfig"])
    assert "#" not in configured
    assert "rgb" not in configured
    steps = list(panel["fieldConfig"]["defaults"]["thresholds"]["steps"])
    for override in panel["fieldConfig"]["overrides"]:
        for field in override["properties"]:
            if field["id"] == "thresholds":
                steps += field["value"]["steps"]
            elif field["id"] == "color":
                steps.append({"color": field["value"]["fixedColor"]})
    assert {step["color"] for step in steps} <= COLORS


@each_board
def test_panels_do_not_lie_on_each_other(board: dict[str, Any]) -> None:
    places = [(panel["gridPos"], panel["title"]) for panel in board["panels"]]
    for (one, title), (other, another) in combinations(places, 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        below = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or below, f"{title} and {another}"
    assert all(place["x"] + place["w"] <= 24 for place, _ in places)
    numbers = [panel["id"] for panel in board["panels"]]
    assert len(set(numbers)) == len(numbers)


@each_board
def test_boards_lead_to_each_other(board: dict[str, Any]) -> None:
    (link,) = board["links"]
    assert link["type"] == "dashboards"
    assert link["includeVars"]
    assert link["keepTime"]
    assert set(link["tags"]) <= set(board["tags"])


def test_links_lead_to_boards_that_are_there() -> None:
    whole = json.dumps([board for _, board in BOARDS])
    led_to = {part.partition("?")[0].partition('"')[0] for part in whole.split("/d/")[1:]}
    assert led_to == {"farebox-agent", "farebox-runs"}
    assert led_to <= {uid for uid, _ in BOARDS}


def test_variables() -> None:
    names = {uid: [variable["name"] for variable in board["templating"]["list"]] for uid, board in BOARDS}
    assert names["farebox-spend"] == ["prometheus", "org", "team", "agent", "model", "by"]
    assert names["farebox-agent"] == ["prometheus", "journal", "agent"]
    for board in names.values():
        assert {"prometheus", "agent"} <= set(board)
