"""`python -m tests.conformance`: run the SDKs and show the table."""

from __future__ import annotations

import argparse
import asyncio
import datetime
import json
import sys
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from tests.conformance import report
from tests.conformance.cases import CASES, Case
from tests.conformance.judge import NO
from tests.conformance.run import TableRow, plan, run


def main(arguments: list[str] | None = None) -> int:
    """0 when every cell is green or explained."""
    parser = argparse.ArgumentParser(prog="python -m tests.conformance", description=__doc__)
    parser.add_argument("--only", action="append", metavar="NAME", default=[], help="only this SDK; can be repeated")
    parser.add_argument("--api", choices=("chat", "responses", "messages", "beta"), help="only by this API")
    parser.add_argument("--list", action="store_true", help="list the SDKs' names and end")
    parser.add_argument("--json", action="store_true", help="print everything that was seen as JSON")
    parser.add_argument("--no-page", action="store_true", help="leave docs/conformance.md as it is")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep the journal and the logs in this new folder")
    asked = parser.parse_args(arguments)
    if asked.list:
        print("\n".join(case.name for case in CASES))
        return 0
    if unknown := set(asked.only) - {case.name for case in CASES}:
        parser.error(f"no SDK is called {', '.join(sorted(unknown))}; --list shows their names")
    chosen = [_narrowed(case, asked.api) for case in CASES if not asked.only or case.name in asked.only]
    chosen = [case for case in chosen if case.variants]
    if asked.keep:
        asked.keep = asked.keep.resolve()
        asked.keep.mkdir(parents=True)
    rows = asyncio.run(_with_progress(chosen, asked.keep, quiet=asked.json))
    if asked.json:
        print(json.dumps(report.as_json(rows)))
    else:
        report.print_table(Console(), rows)
    if not (asked.only or asked.api or asked.no_page):
        today = datetime.datetime.now(datetime.UTC).date().isoformat()
        report.PAGE.write_text(report.page(rows, today), "utf-8")
    counts = report.tally(rows)
    return 1 if counts[NO] or counts["absent"] else 0


def _narrowed(case: Case, api: str | None) -> Case:
    return case if api is None else replace(case, variants=tuple(each for each in case.variants if each.api == api))


async def _with_progress(chosen: list[Case], keep: Path | None, *, quiet: bool) -> list[TableRow]:
    bar = Progress(
        TextColumn("{task.description}", justify="left"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
        console=Console(stderr=True), transient=True, disable=quiet,
    )  # fmt: skip
    total = sum(len(group) for lists in plan(chosen).values() for group in lists)
    with bar:
        task = bar.add_task("starting", total=total)

        def progress(what: str, ended: int) -> None:
            bar.update(task, description=what[:40], advance=ended)

        return await run(chosen, progress, keep)


if __name__ == "__main__":
    sys.exit(main())
