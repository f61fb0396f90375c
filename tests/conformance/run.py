"""The run: environments, servers, every script, and the rows of the table."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tests.conformance.blocks import read_blocks
from tests.conformance.cases import Case, Variant
from tests.conformance.environments import Environment, NotInstalled, environment
from tests.conformance.judge import Cell, Scene, judge
from tests.conformance.scripts import Script
from tests.conformance.world import Scenario, World, scenarios, told

Chosen = Sequence[tuple[Case, Environment]]
Progress = Callable[[str, int], None]
"""Is told what goes on, and how many scenarios have ended since."""


class TableRow(NamedTuple):
    """One way of one SDK. `absent` says why there are no cells."""

    case: Case
    variant: Variant
    versions: dict[str, str]
    cells: dict[str, Cell]
    scenes: dict[str, Scene]
    absent: str = ""


def plan(cases: Sequence[Case]) -> dict[str, list[list[Scenario]]]:
    """All scenarios by case, one list for each variant."""
    return {
        case.name: [scenarios(case.name, number, variant) for number, variant in enumerate(case.variants)]
        for case in cases
    }


async def run(cases: Sequence[Case], progress: Progress, keep: Path | None = None) -> list[TableRow]:
    """Every case in an environment of its own, one after the other."""
    planned = plan(cases)
    everything = [each for lists in planned.values() for listed in lists for each in listed]
    rows: list[TableRow] = []
    with tempfile.TemporaryDirectory(prefix="farebox-conformance-") as name:
        folder = keep or Path(name)
        async with World(folder, everything) as world:
            for case in cases:
                progress(f"{case.title}: environment", 0)
                try:
                    place = environment(case.environment)
                    await place.make()
                except NotInstalled as error:
                    rows += [TableRow(case, variant, {}, {}, {}, str(error)) for variant in case.variants]
                    progress(case.title, sum(map(len, planned[case.name])))
                    continue
                rows += await run_case(case, planned[case.name], place, world, folder, progress)
    return rows


async def run_case(
    case: Case, listed: list[list[Scenario]], place: Environment, world: World, folder: Path, progress: Progress
) -> list[TableRow]:
    """One SDK's script through all scenarios of all its variants."""
    blocks = read_blocks()
    flat = [each for group in listed for each in group]
    home = folder / case.name
    home.mkdir()
    script = Script(place, case.script, home)
    said: dict[str, Any] = {}
    progress(case.title, 0)
    async with world.occupied(flat):
        async for each in script.run([told(scenario, world.url, blocks) for scenario in flat]):
            said[each["id"]] = each
            progress(case.title, 1)
    progress(case.title, len(flat) - len(said))
    books = await world.books(flat)
    versions = await place.versions(case.packages)
    rows = []
    for variant, group in zip(case.variants, listed, strict=True):
        scenes = {each.name: Scene(said.get(each.agent), books[each.agent]) for each in group}
        rows.append(TableRow(case, variant, versions, judge(variant, scenes), scenes))
    return rows
