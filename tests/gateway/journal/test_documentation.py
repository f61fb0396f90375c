"""docs/journal.md describes the tables as they are, and its queries run."""

from __future__ import annotations

import re
import shlex
import sqlite3
from pathlib import Path

import pytest

from gateway.journal.tables import metadata
from gateway.journal.writer import Journal
from gateway.telemetry.events import Choice
from tests.documents import ROOT, Block, blocks
from tests.gateway.telemetry.samples import charged, finished

PAGE = ROOT / "docs" / "journal.md"


def documented(table: str) -> list[str]:
    section = re.search(rf"^## {table}\n(.*?)(?=^## )", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert section is not None, f"docs/journal.md has no section {table}"
    return re.findall(r"^\| `(\w+)` \| \S", section[1], re.MULTILINE)


@pytest.mark.parametrize("table", metadata.tables)
def test_every_column_is_documented_in_its_place(table: str) -> None:
    assert documented(table) == list(metadata.tables[table].columns.keys())


def test_every_field_of_a_decision_is_documented_in_its_place() -> None:
    section = re.search(r"^## decisions\n(.*?)(?=^## )", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert section is not None
    rows = re.findall(r"^\| (`[^|]*`) \|", section[1], re.MULTILINE)
    assert re.findall(r"`(\w+)`", " ".join(rows)) == list(Choice._fields)


@pytest.mark.parametrize("block", blocks("bash", [PAGE]), ids=str)
async def test_the_queries_run(journal: Journal, other: sqlite3.Connection, block: Block) -> None:
    journal.write([charged(), finished()])
    await journal.flush()
    command = shlex.split(block.text)
    assert command[:3] == ["sqlite3", "-box", ".farebox/journal.db"]
    other.execute(command[3])


def test_the_file_is_called_as_documented() -> None:
    from gateway.journal.database import FILE_NAME

    assert f"`{FILE_NAME}`" in PAGE.read_text("utf-8")
    assert Path(FILE_NAME).suffix == ".db"
