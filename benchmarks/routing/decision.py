"""What a score costs on the request path: CPU time of reading the messages' ends and scoring them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from random import Random
from typing import Any, Final

import msgspec
import numpy as np

from gateway.wire.complexity_input import Message, complexity_input, read_messages
from routing.complexity import Scorer

_ROUNDS: Final = 2_000
_WARM: Final = 200
_WORDS: Final = 2_000
_SIZES: Final = {"4kb": 4_000, "400kb": 400_000}
_SHAPES: Final = ("one_message", "many_messages")


def decision_figures(scorer: Scorer) -> dict[str, Any]:
    """p50 and p99 in µs of CPU, for 4 kB and 400 kB, as one message and as a conversation; on top the worst of them.

    Not in it: `walk_p50_us`, one pass of msgspec over the messages, which the request's reader makes for every request.
    """
    shapes: dict[str, Any] = {}
    for size_name, size in _SIZES.items():
        for shape in _SHAPES:
            raw = _messages(size, shape)
            walked = read_messages(raw)
            p50_us, p99_us = _timed(partial(_score, scorer, walked))
            walk_p50_us, _ = _timed(partial(read_messages, raw))
            shapes[f"{size_name}_{shape}"] = {"p50_us": p50_us, "p99_us": p99_us, "walk_p50_us": walk_p50_us}
    return {
        "complexity_p50_us": max(each["p50_us"] for each in shapes.values()),
        "complexity_p99_us": max(each["p99_us"] for each in shapes.values()),
        "complexity": shapes,
    }


def _score(scorer: Scorer, walked: Sequence[Message]) -> object:
    return scorer.score(complexity_input(walked))


def _timed(work: Callable[[], object]) -> tuple[float, float]:
    """p50 and p99, in µs of the thread's CPU time."""
    taken_us = []
    for _ in range(_ROUNDS + _WARM):
        started_ns = time.thread_time_ns()
        work()
        taken_us.append((time.thread_time_ns() - started_ns) / 1_000)
    p50_us, p99_us = np.percentile(taken_us[_WARM:], (50, 99)).round(1).tolist()
    return p50_us, p99_us


def _messages(size: int, shape: str) -> msgspec.Raw:
    """Seeded prose with numbers and punctuation."""
    chance = Random(size)
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ["".join(chance.choices(letters, k=chance.randint(2, 9))) for _ in range(_WORDS)]
    signs = ("", "", "", ",", ".", "?\n", " 12", " = (x_1)")
    text = " ".join(chance.choice(words) + chance.choice(signs) for _ in range(size // 5))[:size]
    part = size if shape == "one_message" else 1_000
    contents = [text[start : start + part] for start in range(0, size, part)]
    roles = ("user", "assistant")
    turns = [{"role": roles[(len(contents) - 1 - place) % 2], "content": each} for place, each in enumerate(contents)]
    return msgspec.Raw(msgspec.json.encode(turns))
