"""Reports as files: JSON and CSV as text, Parquet as a file; the FOCUS export as CSV or Parquet."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from gateway.reports import focus, parquet
from gateway.reports.columns import COUNTS, MONEY, columns, report_object, rows
from gateway.reports.spending import Report

_LINES_AT_A_TIME = 1_000


def report_json(report: Report) -> str:
    """The report as JSON."""
    return json.dumps(report_object(report), indent=2) + "\n"


def report_csv(report: Report) -> Iterator[str]:
    """The report's lines as CSV, in pieces."""
    return _csv(columns(report), rows(report))


def report_parquet(report: Report, path: Path) -> int:
    """The report's lines as a Parquet file; how many. Raises NoParquet, OSError."""
    kinds = {name: "money" if name in MONEY else "count" if name in COUNTS else "ratio" for name in columns(report)}
    return parquet.write(path, kinds | dict.fromkeys(report.by, "text"), rows(report))


def focus_csv(exported: Iterable[Sequence[Any]]) -> Iterator[str]:
    """Rows of `focus_rows` as CSV, in pieces."""
    return _csv(tuple(focus.KINDS), exported, focus.text_of)


def focus_parquet(exported: Iterable[Sequence[Any]], path: Path) -> int:
    """Rows of `focus_rows` as a Parquet file; how many. Raises NoParquet, OSError."""
    kinds: Mapping[str, str] = focus.KINDS
    return parquet.write(path, kinds, exported)


def _csv(names: Sequence[str], lines: Iterable[Sequence[Any]], text_of: Any = None) -> Iterator[str]:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(names)
    for number, line in enumerate(lines, 1):
        writer.writerow(line if text_of is None else map(text_of, line))
        if number % _LINES_AT_A_TIME == 0:
            yield buffer.getvalue()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue()
