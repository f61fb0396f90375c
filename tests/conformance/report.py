"""The table: for a terminal, as JSON, and as docs/conformance.md."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tests.conformance.cases import COLUMNS
from tests.conformance.judge import COLUMN_TITLES, EXPLAINED, NO, YES, Cell, Scene
from tests.conformance.run import TableRow

PAGE = Path(__file__).parents[2] / "docs" / "conformance.md"
_INTRODUCTION = """# Conformance

Real agent SDKs, each in an environment of its own, against a real gateway and the simulated provider. Each runs a small
agent, one tool and then a final answer, plainly and streamed, set up with nothing but its block of [SDKs](sdks.md).
`make conformance` makes the environments, runs everything and writes this page.

{summary}

**yes** was seen to hold; **no** was not; a number is a footnote: the SDK's own limit, and what shows it.

| column | what is compared |
|---|---|
| run completed | both runs end with an answer, and the provider was asked by the API that it speaks |
| tool called | the SDK ran the tool that the model asked for, in both |
| streamed | the user got the streamed run in pieces, and the gateway was asked for streams |
| usage seen | the tokens that the SDK shows its user are those that were charged, in both |
| cost exact | what is charged is what the provider billed, request by request, to the nano-dollar; no estimates |
| run, session | run, session and value of the block are on every request |
| 402 stops | the budget has no room: the run ends after one call, and the user sees an error |
| 429 waits | the key's only place is taken: refused with `Retry-After: 1`, the SDK waits so long and finishes |
| cut reported | the provider's connection breaks off after twelve tokens: the user sees an error, not half an answer |

"native" is a deployment that speaks the SDK's own API; the others only speak chat completions, and the gateway
translates.
"""

_SHORT_TITLES = dict(zip(COLUMNS, ("done", "tool", "flow", "use", "cost", "run", "402", "429", "cut"), strict=True))


def tally(rows: Sequence[TableRow]) -> dict[str, int]:
    """How many cells are in which state; `absent` counts rows."""
    states = [cell.state for row in rows for cell in row.cells.values()]
    return {
        **{state: states.count(state) for state in (YES, EXPLAINED, NO)},
        "absent": sum(bool(r.absent) for r in rows),
    }


class Notes:
    """Footnotes, numbered as they come; the same words have one number."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def number(self, text: str) -> int:
        """The number of a footnote."""
        if text not in self.texts:
            self.texts.append(text)
        return self.texts.index(text) + 1


def _footnote(row: TableRow, cell: Cell) -> str:
    return cell.footnote or f"{row.case.title} ({row.variant.name}): {cell.evidence}"


def print_table(console: Console, rows: Sequence[TableRow]) -> None:
    """The table with its footnotes, 80 columns wide: an SDK with several ways has a line of its own above them."""
    notes = Notes()
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 1, 0, 0))
    table.add_column("SDK", no_wrap=True)
    for column in COLUMNS:
        table.add_column(_SHORT_TITLES[column], justify="right", no_wrap=True)
    for case, group in groupby(rows, key=lambda row: row.case):
        listed = list(group)
        alone = len(listed) == 1
        if not alone:
            table.add_row(case.title)
        for row in listed:
            name = f"{case.title} [dim]{row.variant.name}[/]" if alone else f"[dim]  {row.variant.name}[/]"
            table.add_row(name, *_marks(row, notes))
    console.print(table)
    for number, text in enumerate(notes.texts, 1):
        console.print(f"[dim]{number}[/] {escape(text)}", highlight=False)


def _marks(row: TableRow, notes: Notes) -> list[str]:
    if row.absent:
        return [f"[red]-{notes.number(row.absent)}[/]"] * len(COLUMNS)
    return [_mark(row, row.cells[column], notes) for column in COLUMNS]


def _mark(row: TableRow, cell: Cell, notes: Notes) -> str:
    if cell.state == YES:
        return "[green]yes[/]"
    number = notes.number(_footnote(row, cell))
    return f"[yellow]{number}[/]" if cell.state == EXPLAINED else f"[red]no{number}[/]"


def as_json(rows: Sequence[TableRow]) -> dict[str, Any]:
    """Everything that was seen."""
    return {
        "cells": tally(rows),
        "rows": [
            {
                "sdk": row.case.name,
                "variant": row.variant.name,
                "versions": row.versions,
                "absent": row.absent,
                "cells": {name: cell._asdict() for name, cell in row.cells.items()},
                "said": {name: scene.said for name, scene in row.scenes.items()},
                "statuses": {
                    name: [request["status"] for request in scene.books.requests] for name, scene in row.scenes.items()
                },
            }
            for row in rows
        ],
    }


def page(rows: Sequence[TableRow], date: str) -> str:
    """docs/conformance.md."""
    counts = tally(rows)
    summary = (
        f"Last run: {date}. {counts[YES]} cells are green, {counts[EXPLAINED]} explained, {counts[NO]} not green"
        + (f"; {counts['absent']} rows could not be run." if counts["absent"] else ".")
    )
    notes = Notes()
    lines = [_INTRODUCTION.format(summary=summary)]
    lines += ["| SDK | by | " + " | ".join(COLUMN_TITLES[column] for column in COLUMNS) + " |"]
    lines += ["|---" * (len(COLUMNS) + 2) + "|"]
    for row in rows:
        cells = [_cell(row, row.cells[column], notes) for column in COLUMNS] if not row.absent else []
        cells = cells or [f"not run [{notes.number(row.absent)}]"] + [""] * (len(COLUMNS) - 1)
        lines.append(f"| {row.case.title} | {row.variant.name} | " + " | ".join(cells) + " |")
    if notes.texts:
        lines += ["", "## Footnotes", ""]
        lines += [f"{number}. {text}" for number, text in enumerate(notes.texts, 1)]
    lines += ["", *_errors(rows)]
    lines += ["", "## Versions", "", "| SDK | packages |", "|---|---|"]
    seen = {row.case.title: row.versions for row in rows if row.versions}
    lines += [f"| {title} | {', '.join(f'{n} {v}' for n, v in found.items())} |" for title, found in seen.items()]
    return "\n".join(lines) + "\n"


def _errors(rows: Sequence[TableRow]) -> list[str]:
    lines = [
        "## What the user of an SDK sees",
        "",
        "The type of the error, whether its message is the gateway's, and the calls that reached the gateway, the",
        "first included. Two of `beta` are one: Anthropic's tool runner asks for a `thread` first and is refused it.",
        "Claude Code was told to try twice more after a broken stream (`CLAUDE_CODE_MAX_RETRIES`).",
        "",
        "| SDK | by | budget spent | told why | calls | stream cut | told why | calls |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        if row.scenes:
            cells = [part for name in ("broke", "cut") for part in _error(row.scenes[name], _REASONS[name])]
            lines.append(f"| {row.case.title} | {row.variant.name} | " + " | ".join(cells) + " |")
    return lines


_REASONS = {"broke": "has no room for this request", "cut": "broke before its answer was whole"}
"""Words of the gateway's messages."""


def _error(scene: Scene, reason: str) -> tuple[str, str, str]:
    error = (scene.said and scene.said["error"]) or {"type": "none", "message": ""}
    return f"`{error['type']}`", YES if reason in error["message"] else "no", str(len(scene.books.requests))


def _cell(row: TableRow, cell: Cell, notes: Notes) -> str:
    if cell.state == YES:
        return YES
    number = notes.number(_footnote(row, cell).replace("|", "\\|").replace("\n", " "))
    return f"[{number}]" if cell.state == EXPLAINED else f"**no** [{number}]"
