"""The core five in the project's own environment: real processes and sockets, and the blocks of docs/sdks.md."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from tests.conformance.cases import CASES
from tests.conformance.environments import OwnEnvironment
from tests.conformance.judge import NO
from tests.conformance.run import plan, run_case
from tests.conformance.world import World

CORE: Mapping[str, tuple[str, ...]] = {
    "openai": ("chat", "responses", "responses, native"),
    "openai-agents": ("responses", "responses, native"),
    "pydantic-ai": ("chat", "responses"),
    "langgraph": ("chat", "responses, native"),
    "anthropic": ("messages", "messages, native"),
}
"""By name of the SDK, the ways that are run here, each once somewhere; `make conformance` runs all of them."""
CASES_BY_NAME = {
    case.name: replace(case, variants=tuple(each for each in case.variants if each.name in CORE[case.name]))
    for case in CASES
    if case.name in CORE
}
PLAN = {
    # Waiting takes a second each time: every SDK does it once.
    name: [[each for each in group if number == 0 or each.name != "busy"] for number, group in enumerate(groups)]
    for name, groups in plan(list(CASES_BY_NAME.values())).items()
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """One gateway and one provider for all of them."""
    everything = [each for groups in PLAN.values() for group in groups for each in group]
    async with World(tmp_path_factory.mktemp("world"), everything) as running:
        yield running


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("name", CORE)
async def test_every_cell_is_green_or_explained(name: str, world: World, tmp_path: Path) -> None:
    rows = await run_case(
        CASES_BY_NAME[name], PLAN[name], OwnEnvironment(), world, tmp_path, lambda _what, _ended: None
    )
    assert [row.variant.name for row in rows] == list(CORE[name])
    wrong = {
        f"{row.variant.name}, {column}": cell.evidence
        for row in rows
        for column, cell in row.cells.items()
        if cell.state == NO
    }
    log = (tmp_path / name / "log.txt").read_text("utf-8", "replace")
    assert wrong == {}, log[-4000:]
