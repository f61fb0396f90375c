"""The table: what it says, that it fits a terminal, and that the page in docs/ is one that it wrote."""

from __future__ import annotations

import io
from dataclasses import replace

from rich.console import Console

from tests.conformance.cases import CASES, COLUMNS
from tests.conformance.judge import EXPLAINED, NO, YES, Cell
from tests.conformance.report import PAGE, page, print_table, tally
from tests.conformance.run import TableRow


def rows() -> list[TableRow]:
    """A row for each way of each SDK: green but for one red, one explained cell, and one SDK that is absent."""
    listed = []
    for case in CASES:
        for variant in case.variants:
            cells = {column: Cell(YES) for column in COLUMNS}
            listed.append(TableRow(case, variant, {"package": "1.0"}, cells, {}))
    listed[0].cells["402"] = Cell(NO, "3 calls [of one]")
    listed[1].cells["429"] = Cell(EXPLAINED, "2 s", "It waits | for two seconds.")
    listed[-1] = listed[-1]._replace(absent="npm is not installed", cells={})
    return listed


def test_the_terminal_gets_no_line_that_is_too_long() -> None:
    stream = io.StringIO()
    print_table(Console(file=stream, width=80), rows())
    lines = stream.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert not any("…" in line for line in lines)
    assert any("3 calls [of one]" in line for line in lines)
    assert any("npm is not installed" in line for line in lines)


def test_the_page_has_every_row_and_footnote() -> None:
    text = page(rows(), "2026-11-21")
    assert "2026-11-21" in text
    assert "It waits \\| for two seconds." in text
    for row in rows():
        assert f"| {row.case.title} | {row.variant.name} |" in text
    assert "**no** [1]" in text
    width = len(COLUMNS) + 3
    table = [line for line in text.partition("\n## ")[0].splitlines() if line.startswith("| ") and line.count("|") > 5]
    assert {line.replace("\\|", "").count("|") for line in table} == {width}


def test_the_tally_counts_cells_and_absent_rows() -> None:
    listed = rows()
    cells = (len(listed) - 1) * len(COLUMNS)
    assert tally(listed) == {YES: cells - 2, EXPLAINED: 1, NO: 1, "absent": 1}


def test_the_same_words_are_one_footnote() -> None:
    case = replace(CASES[0], variants=CASES[0].variants[:1])
    cells = {column: Cell(EXPLAINED, "", "The same.") for column in COLUMNS}
    text = page([TableRow(case, case.variants[0], {}, cells, {})] * 2, "2026-11-21")
    assert text.count("The same.") == 1


def test_the_page_in_docs_is_of_these_sdks() -> None:
    text = PAGE.read_text("utf-8")
    for case in CASES:
        for variant in case.variants:
            assert f"| {case.title} | {variant.name} |" in text, "run make conformance"
