"""docs/sdks.md and the cases belong together."""

from __future__ import annotations

import pytest

from tests.conformance.blocks import PAGE, named_blocks, read_blocks
from tests.conformance.cases import CASES, COLUMNS
from tests.conformance.environments import LISTS
from tests.conformance.scripts import AGENTS

USED = {name for case in CASES for variant in case.variants for name in variant.block.split()}


def test_every_block_is_run_and_every_run_has_its_blocks() -> None:
    assert set(read_blocks()) == USED


def test_no_block_of_code_is_without_a_name() -> None:
    fences = [line for line in PAGE.read_text("utf-8").splitlines() if line.startswith("```") and line != "```"]
    assert len(fences) == len(read_blocks())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_case_has_what_it_needs(case) -> None:  # type: ignore[no-untyped-def]
    assert (AGENTS / case.script).is_file()
    assert (LISTS / f"{case.environment}.txt").is_file() or (LISTS / case.environment / "package-lock.json").is_file()
    for variant in case.variants:
        text = "\n".join(read_blocks()[name] for name in variant.block.split())
        assert "http://127.0.0.1:4000" in text
        assert "sim-small" in text
        assert set(variant.explained) <= set(COLUMNS)
    assert len({variant.name for variant in case.variants}) == len(case.variants)


def test_names_are_unique() -> None:
    assert len({case.name for case in CASES}) == len(CASES)
    with pytest.raises(ValueError, match="two blocks"):
        named_blocks("<!-- run: a -->\n```python\nx = 1\n```\n\n<!-- run: a -->\n```python\ny = 1\n```\n")


def test_lists_pin_everything_and_name_no_index() -> None:
    for file in LISTS.glob("*.txt"):
        lines = [line for line in file.read_text("utf-8").splitlines() if line and not line.startswith("#")]
        assert lines
        assert all("==" in line for line in lines), file.name
        assert not any("://" in line for line in lines), file.name
