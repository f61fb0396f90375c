"""Reads a provider's export: JSON as its API answers (one page, several in a list or one after the other), or CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from gateway.reports.bills import anthropic, openai
from gateway.reports.bills.bill import BillError, BillLine, Fields

READERS: Final[Mapping[str, Callable[[Fields, Fields], BillLine | None]]] = {
    "openai": openai.usage_or_cost,
    "anthropic": anthropic.usage_or_cost,
}
HOSTS: Final = {"openai": "api.openai.com", "anthropic": "api.anthropic.com"}
_NESTED = ("amount", "cache_creation")


def read(provider: str, file: Path) -> list[BillLine]:
    """The lines of an export. Raises BillError, which names the file and the line, and OSError."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise BillError(str(file), "is neither JSON nor CSV: it is not text in UTF-8") from error
    records = _json(text, file) if text.lstrip()[:1] in {"{", "["} else _csv(text, file)
    found = [line for bucket, result in records if (line := READERS[provider](bucket, result)) is not None]
    if not found:
        raise BillError(str(file), f"has no usage and no costs of {provider}: is it another export?")
    return found


def _csv(text: str, file: Path) -> Iterator[tuple[Fields, Fields]]:
    rows = csv.reader(io.StringIO(text, newline=""))
    try:
        names = [name.strip().lower() for name in next(rows, [])]
        if len(names) < 2:
            raise BillError(f"{file}:1", "should name the columns, separated by commas")
        for row in rows:
            if not any(value.strip() for value in row):
                continue
            if len(row) < len(names):
                raise BillError(f"{file}:{rows.line_num}", f"has {len(row)} values for {len(names)} columns")
            fields = Fields(f"{file}:{rows.line_num}", dict(zip(names, row, strict=False)))
            yield fields, fields
    except csv.Error as error:
        raise BillError(f"{file}:{rows.line_num}", f"is no CSV: {error}") from None


def _json(text: str, file: Path) -> Iterator[tuple[Fields, Fields]]:
    decoder = json.JSONDecoder(parse_float=Decimal)
    at = 0
    while rest := text[at:].lstrip():
        start = len(text) - len(rest)
        where = f"{file}:{text.count(chr(10), 0, start) + 1}"
        try:
            found, length = decoder.raw_decode(rest)
        except json.JSONDecodeError as error:
            line = text.count("\n", 0, start + error.pos) + 1
            raise BillError(f"{file}:{line}", f"is no JSON: {error.msg}") from None
        at = start + length
        yield from _pages(found, where)


def _pages(found: Any, where: str) -> Iterator[tuple[Fields, Fields]]:
    for page in found if isinstance(found, list) else [found]:
        data = page.get("data") if isinstance(page, dict) else None
        if not isinstance(data, list):
            raise BillError(where, "should be what the provider's API answers: an object with a list `data`")
        for number, bucket in enumerate(data, 1):
            yield from _bucket(bucket, f"{where}: data[{number}]")


def _bucket(bucket: Any, where: str) -> Iterator[tuple[Fields, Fields]]:
    results = bucket.get("results", [bucket]) if isinstance(bucket, dict) else None
    if not isinstance(results, list) or not all(isinstance(each, dict) for each in results):
        raise BillError(where, "should be an object with a list `results`")
    for number, result in enumerate(results, 1):
        flat = dict(result)
        for name in _NESTED:
            if isinstance(inner := flat.get(name), dict):
                del flat[name]
                flat.update(inner)
        yield Fields(where, bucket), Fields(f"{where}.results[{number}]", flat)
