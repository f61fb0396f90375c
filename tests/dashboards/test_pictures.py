"""The boards' pictures in the documentation show the boards as they are."""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.dashboards import drawing
from tests.dashboards.boards import boards
from tests.dashboards.drawing import Box, Line
from tests.dashboards.pictures import FOLDER

PAGE = (FOLDER.parent / "dashboards.md").read_text("utf-8")
STEPS = [{"color": "green"}, {"color": "red", "value": 5}]


@pytest.mark.parametrize("board", boards().values(), ids=boards())
def test_each_board_has_a_current_picture(board: dict[str, Any]) -> None:
    """`make boards` draws them."""
    assert f"pictures/{board['uid']}.svg)" in PAGE
    assert f"\n## {board['title'].removeprefix('Farebox / ')}\n" in PAGE
    text = (FOLDER / f"{board['uid']}.svg").read_text("utf-8")
    drawn = {"".join(element.itertext()) for element in ElementTree.fromstring(text).iter()}
    for panel in board["panels"]:
        title = re.sub(r"\$\w+", "", panel["title"])
        assert any(shown.startswith(title[:20].rstrip()) for shown in drawn), panel["title"]
    assert len(text) < 120_000
    assert "no data" not in text


def test_no_picture_is_left_over() -> None:
    assert {path.stem for path in FOLDER.iterdir()} == set(boards())


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [
        (1234.5, "currencyUSD", "$1.23K"),
        (12.345, "currencyUSD", "$12.35"),
        (-0.5, "currencyUSD", "-$0.50"),
        (0.0, "currencyUSD", "$0.00"),
        (0.00361, "currencyUSD", "$0.0036"),
        (0.1234, "percentunit", "12.3%"),
        (90.0, "s", "1.5 min"),
        (0.0021, "s", "2.1 ms"),
        (0.0, "s", "0 s"),
        (2_500_000, "short", "2.5M"),
        (float("nan"), "short", "no data"),
    ],
)
def test_numbers_are_readable(value: float, unit: str, shown: str) -> None:
    assert drawing.number(value, unit) == shown


def test_colors_follow_thresholds() -> None:
    assert drawing.shade(4.9, STEPS) == drawing.NAMED["green"]
    assert drawing.shade(5, STEPS) == drawing.NAMED["red"]


def test_what_a_name_holds_does_not_end_the_picture() -> None:
    box, lines = Box(0, 0, 300, 200), [Line("<b>&", {1.0: 1.0, 2.0: 6.0})]
    parts = [*drawing.bars(box, lines, "short", STEPS), *drawing.donut(box, lines, "short", {})]
    parts += drawing.over_time(box, lines, "short", span=(1.0, 2.0), stack=False, colors={})
    ElementTree.fromstring(f"<svg>{''.join(parts)}</svg>")
