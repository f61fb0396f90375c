"""Recorded requests as facts."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from routing.money import NanoUsd, Usage
from routing.recorded import Running, facts_of
from tests.routing.recordings import recorded


@given(st.integers(0, 4_000_000_000))
def test_the_hour_and_the_weekday_are_those_of_utc(at_s: int) -> None:
    facts, moment = facts_of(recorded(at_s=float(at_s))), datetime.fromtimestamp(at_s, UTC)
    assert (facts.hour, facts.weekday) == (moment.hour, moment.isoweekday())


def test_facts() -> None:
    row = recorded(tags={"a": "b"}, tools=2, json_schema=True, max_output_tokens=7, messages=5, priority="high")
    facts = facts_of(row, Running(NanoUsd(2_500_000_000), 3, 0.25, 2.0), 1.5)
    assert (facts.tags, facts.tools, facts.json_schema, facts.max_output_tokens) == ({"a": "b"}, 2, True, 7)
    assert (facts.session_turns, facts.priority, facts.value_usd) == (5, "high", 1.5)
    assert (facts.run_cost_usd, facts.run_steps) == (2.5, 3)
    assert (facts.budget_remaining_ratio, facts.budget_burn_ratio) == (0.25, 2.0)
    assert facts_of(row._replace(value_usd=0.0), default_value_usd=1.5).value_usd == 0


def test_what_counts_as_answered() -> None:
    assert recorded().answered
    assert recorded(cost=NanoUsd(0)).answered  # a free model
    assert recorded(outcome="cut").answered  # and paid for
    assert not recorded(outcome="upstream_error", cost=NanoUsd(0)).answered
    assert not recorded(model="", usage=Usage(), outcome="ok").answered
