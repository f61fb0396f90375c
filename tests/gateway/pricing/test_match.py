from __future__ import annotations

import pytest

from gateway.pricing.match import dashed_dates, matches


@pytest.mark.parametrize(
    ("clause", "fitting", "other"),
    [
        (["=", "gpt-4o"], "gpt-4o", "gpt-4o-mini"),
        (["^", "gpt-4o"], "gpt-4o-mini", "x-gpt-4o"),
        (["$", "-mini"], "gpt-4o-mini", "gpt-4o-mini-2"),
        (["*", "4o"], "gpt-4o-mini", "gpt-4"),
        (["~", r"^gpt-\d$"], "gpt-4", "gpt-40"),
        (["|", [["=", "a"], ["=", "b"]]], "b", "c"),
        (["&", [["^", "a"], ["$", "b"]]], "a-b", "a-c"),
        (["|", [["=", "x"], ["&", [["*", "a"], ["*", "b"]]]]], "ba", "bb"),
    ],
)
def test_operators(clause: list[object], fitting: str, other: str) -> None:
    assert matches(clause, fitting)
    assert not matches(clause, other)


@pytest.mark.parametrize(
    ("name", "dashed"),
    [
        ("gpt-5.2-20251211", "gpt-5.2-2025-12-11"),
        ("m-20240229:free", "m-2024-02-29:free"),
        ("m-20240229-x-20250101", "m-2024-02-29-x-2025-01-01"),
        ("m-20230229", "m-20230229"),  # no leap year
        ("m-20251311", "m-20251311"),
        ("m-202512110", "m-202512110"),
        ("20251211", "20251211"),
        ("", ""),
    ],
)
def test_compact_dates(name: str, dashed: str) -> None:
    assert dashed_dates(name) == dashed
