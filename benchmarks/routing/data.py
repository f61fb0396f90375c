"""The replay tables: recorded answers of several models to the same prompts, read from files outside the repository.

One JSON object a line, gzip: `id, bench, prompt, [tools, n_tools], split, source, license,
models{name: {q, in, out, usd}}`; a blind row's models have no `q`. docs/complexity.md names where the tables come from.
"""

from __future__ import annotations

import gzip
import hashlib
import re
from collections.abc import Iterable, Sequence
from functools import cache
from math import nan
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from gateway.wire.complexity_input import complexity_input, read_messages
from routing.complexity import ComplexityInput

TABLES: Final = ("pool7", "llmrouter9", "routellm2")
_SHIPPABLE: Final = frozenset(("Apache-2.0", "MIT"))
_WORD = re.compile(r"[a-z0-9]+")
_SHORT_CHARS = 60


class Outcome(msgspec.Struct, frozen=True):
    """What one model made of a prompt."""

    q: float = nan
    """Quality, 0..1; not a number where it is kept back."""
    usd: float = nan
    out: float = nan
    input: float = msgspec.field(name="in", default=nan)


class Row(msgspec.Struct):
    """A prompt, and what each model made of it."""

    id: str
    bench: str
    prompt: str
    split: str
    license: str
    models: dict[str, Outcome | None] = {}
    tools: msgspec.Raw = msgspec.Raw(b"")
    n_tools: int = 0
    sub: str = ""
    table: str = ""
    outcomes: dict[str, Outcome] = {}
    """What is known of `models`: nothing of a blind row."""

    @property
    def agent(self) -> str:
        """What a gateway would know as the agent: the table's task, and of MMLU the subject."""
        return f"{self.table}/{self.sub or self.bench}"

    @property
    def input_bytes(self) -> int:
        """Size of the prompt and the tools."""
        return len(self.prompt.encode()) + memoryview(self.tools).nbytes

    @property
    def shippable(self) -> bool:
        """Whether weights that are shipped may be learned from it."""
        return self.license in _SHIPPABLE


class Tables(NamedTuple):
    """All rows, table by table."""

    rows: list[Row]

    def of(self, table: str, split: str = "") -> list[Row]:
        """Rows of a table, and of one split of it."""
        return [row for row in self.rows if row.table == table and split in ("", row.split)]


def read_tables(folder: Path) -> Tables:
    """Read all tables of `folder`. Raises OSError, and msgspec.DecodeError for a line that is no row."""
    decoder = msgspec.json.Decoder(Row)
    rows = []
    for table in TABLES:
        with gzip.open(folder / f"{table}.jsonl.gz") as lines:
            for line in lines:
                row = decoder.decode(line)
                row.table = table
                row.outcomes = {name: each for name, each in row.models.items() if each and each.q == each.q}
                rows.append(row)
    return Tables(rows)


def request_of(row: Row) -> ComplexityInput:
    """What the gateway would read of the row, sent as a chat request."""
    messages = msgspec.json.encode([{"role": "user", "content": row.prompt}])
    return complexity_input(read_messages(msgspec.Raw(messages)), row.n_tools, memoryview(row.tools).nbytes)


def question(prompt: str) -> str:
    """A prompt without its frame and its choices: the same question in two tables has the same one."""
    text = prompt.split("## Instruction", maxsplit=1)[0].replace("## Question:", "").lower()
    stem = text.split("\na. ")[0].replace("after careful thought", "")
    words = " ".join(_WORD.findall(stem))
    return words if len(words) > _SHORT_CHARS else " ".join(_WORD.findall(text))


def training_rows(rows: Iterable[Row]) -> list[Row]:
    """Rows of `train` that shipped weights may be learned from, none whose question any table holds back.

    The tables share questions (GSM8K is in three of them), and each is split by the hash of its own ids: without this
    the weights would have read the answers to some of the questions that they are tested by.
    """
    rows = list(rows)
    held = {question(row.prompt) for row in rows if row.split != "train"}
    return [row for row in rows if row.split == "train" and row.shippable and question(row.prompt) not in held]


def folds(rows: Sequence[Row], count: int, seed: int = 0) -> list[int]:
    """A fold for each row, by the hash of its question: the same question never stands on both sides."""
    return [_fold(question(row.prompt), count, seed) for row in rows]


@cache
def _fold(text: str, count: int, seed: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}/{text}".encode()).digest()[:8]) % count


def digest(rows: Iterable[Row]) -> str:
    """SHA-256 of what the weights are learned from: ids, prompts and qualities."""
    total = hashlib.sha256()
    for row in rows:
        qualities = {name: outcome.q for name, outcome in sorted(row.outcomes.items())}
        total.update(msgspec.json.encode((row.id, row.prompt, qualities)))
    return total.hexdigest()
