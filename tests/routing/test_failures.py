from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

from routing.attempts import AttemptRules
from routing.failures import MEANINGS, FailureKind, Fallback

PAGE = Path(__file__).parents[2] / "docs" / "resilience.md"


def test_every_kind_has_a_meaning() -> None:
    assert tuple(MEANINGS) == get_args(FailureKind)
    assert {each.fallback for each in MEANINGS.values()} == {*get_args(Fallback), None}


def test_what_another_candidate_cannot_mend_does_not_count_against_this_one() -> None:
    for meaning in MEANINGS.values():
        assert (meaning.outcome == "failure") == (meaning.fallback == "outage")


def test_the_documentation_has_the_table() -> None:
    row = re.compile(r"^\| `(\w+)`[^|]*\| ([^|]+) \| (?:`(\w+)`|-) \| ([^|]+) \|$", re.MULTILINE)
    rows = row.findall(PAGE.read_text("utf-8"))
    documented = {kind: (breaker, fallback or None, again) for kind, breaker, fallback, again in rows}
    assert list(documented) == list(MEANINGS)
    rules = AttemptRules()
    for kind, meaning in MEANINGS.items():
        breaker, fallback, again = documented[kind]
        assert (breaker == "counts") == (meaning.outcome == "failure")
        assert (breaker == "parks") == (kind == "rate_limited")
        assert fallback == meaning.fallback
        assert (again != "no") == (kind in rules.retry_on)
