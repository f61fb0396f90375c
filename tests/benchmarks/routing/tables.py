"""Small made-up replay tables: what the benchmark reads, with a rule in it that can be learned."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.routing.replay import POOLS

SPLITS = ("train", "train", "test", "blind")


def write_tables(folder: Path, count: int = 160) -> None:
    """Write all three tables: short questions are easy for every model, long ones for the strong model only."""
    for pool in POOLS:
        chance = Random(pool.table)
        rows = []
        for number in range(count):
            hard = number % 2 == 1
            prompt = " ".join(str(chance.randint(0, 10**6)) for _ in range(20 if hard else 4))
            text = f"Question {number} of {pool.table}: {'prove that' if hard else 'add'} {prompt}"
            split = SPLITS[number // 2 % 4]
            rows.append(
                {
                    "id": f"{pool.table}/{number}",
                    "bench": "mmlu" if number // 8 % 2 else "gsm8k",
                    "prompt": text,
                    "split": split,
                    "source": "made up",
                    "license": "MIT",
                    "models": {model: outcome(model == pool.strong, hard, split) for model in pool.models},
                }
            )
        with gzip.open(folder / f"{pool.table}.jsonl.gz", "wt") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)


def outcome(strong: bool, hard: bool, split: str) -> dict[str, Any] | None:
    """What a model made of a prompt; of a blind one nobody knows."""
    if split == "blind":
        return None
    return {"q": 1 if strong or not hard else 0, "in": 20, "out": 10, "usd": 0.01 if strong else 0.001}
