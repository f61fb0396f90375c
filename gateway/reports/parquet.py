"""Reports as Parquet, by pyarrow: an extra that nobody else needs. Money is decimal, with nine places."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

Kind = str
"""`text`, `count`, `ratio`, `money` (nine decimals), `exact` (as many as FOCUS needs) or `flag`."""
MONEY_DIGITS: Final = (38, 9)
EXACT_DIGITS: Final = (38, 15)
_BATCH_ROWS: Final = 50_000


class NoParquet(Exception):
    """pyarrow is not installed."""

    def __init__(self) -> None:
        super().__init__("Parquet needs pyarrow, which is not installed: pip install 'farebox[parquet]'")


def write(path: Path, kinds: Mapping[str, Kind], rows: Iterable[Sequence[Any]]) -> int:
    """Write rows, whose values stand in the order of `kinds`, as they come. How many there were.

    Money comes as decimal text or Decimal. Raises NoParquet, OSError.
    """
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError:
        raise NoParquet from None
    types = {
        "text": pa.string(),
        "count": pa.int64(),
        "ratio": pa.float64(),
        "money": pa.decimal128(*MONEY_DIGITS),
        "exact": pa.decimal128(*EXACT_DIGITS),
        "flag": pa.bool_(),
    }
    schema = pa.schema([(name, types[kind]) for name, kind in kinds.items()])
    decimal = [place for place, kind in enumerate(kinds.values()) if kind in {"money", "exact"}]
    written = 0
    with parquet.ParquetWriter(path, schema) as writer:
        for batch in _batches(rows):
            found = [list(column) for column in zip(*batch, strict=True)]
            for place in decimal:
                found[place] = [None if value is None else Decimal(value) for value in found[place]]
            arrays = [pa.array(column, field.type) for column, field in zip(found, schema, strict=True)]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
            written += len(batch)
    return written


def _batches(rows: Iterable[Sequence[Any]]) -> Iterable[list[Sequence[Any]]]:
    batch: list[Sequence[Any]] = []
    for row in rows:
        batch.append(row)
        if len(batch) == _BATCH_ROWS:
            yield batch
            batch = []
    if batch:
        yield batch
