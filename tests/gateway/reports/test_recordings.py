"""Recorded requests in files."""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.reports.recordings import RecordingError, decode, encode, read, write
from routing.recorded import Recorded
from tests.routing.recordings import recorded, recordings


async def each(rows: Iterable[Recorded]) -> AsyncIterator[Recorded]:
    for row in rows:
        yield row


@given(recordings(), st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=2), st.booleans())
def test_what_is_written_is_read(rows: list[Recorded], tags: dict[str, str], flag: bool) -> None:
    for row in rows:
        full = row._replace(tags=tags, in_tool_loop=flag, parallel_tools=flag, run_depth=int(flag), value_usd=0.5)
        assert decode(encode(full)) == full
        assert decode(encode(row)) == row


@pytest.mark.parametrize("name", ["p.jsonl", "p.jsonl.gz"])
async def test_files(tmp_path: Path, name: str) -> None:
    rows, path = [recorded(number) for number in range(5)], tmp_path / name
    assert await write(path, each(rows)) == 5
    assert list(read(path)) == rows
    assert [file.name for file in tmp_path.iterdir()] == [name]
    text = gzip.decompress(path.read_bytes()) if name.endswith("gz") else path.read_bytes()
    assert json.loads(text.splitlines()[0]) == {"farebox_profiles": 1}


async def test_a_file_that_is_cut_short(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl.gz"
    await write(path, each([recorded()]))
    path.write_bytes(path.read_bytes()[:-12])
    with pytest.raises(RecordingError, match="cannot be read"):
        list(read(path))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is no file of"),
        ('{"a": 1}\n', "is no file of"),
        ('{"farebox_profiles": 9}\n', "is of format 9"),
        ('{"farebox_profiles": 1}\n{"request_id": 1}\n', ":2: Expected `str`"),
        ('{"farebox_profiles": 1}\nnonsense\n', ":2: "),
    ],
)
def test_other_files(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "p").write_text(text)
    with pytest.raises(RecordingError, match=message):
        list(read(tmp_path / "p"))


async def test_no_half_file_is_left(tmp_path: Path) -> None:
    async def breaks() -> AsyncIterator[Recorded]:
        yield recorded()
        raise KeyError

    with pytest.raises(KeyError):
        await write(tmp_path / "p", breaks())
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(RecordingError, match="cannot be written"):
        await write(tmp_path / "none" / "p", each([]))
    with pytest.raises(RecordingError, match="cannot be read"):
        list(read(tmp_path / "none"))
