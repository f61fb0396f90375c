"""Events as Hypothesis makes them: every field anything that the path may put into it."""

from __future__ import annotations

from hypothesis import strategies as st

from gateway.ledger.budgets import RunLimits
from gateway.ledger.operations import Run
from gateway.telemetry.events import Adjusted, ChargePosted, Choice, RequestFinished, RunChanged
from routing.decision import Considered, Shadow
from routing.money import Usage
from routing.profile import RequestProfile

counts = st.integers(0, 2**40)
money = st.integers(0, 2**50)
text = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=12)
maybe_text = st.none() | text
milliseconds = st.floats(0, 1e7)
times = st.integers(0, 4_000_000_000_000_000).map(lambda microseconds: microseconds / 1e6)
statuses = st.integers(100, 599)

run_ids = st.text("abc-/.", min_size=1, max_size=8)
tags = st.dictionaries(text, text, max_size=3).map(lambda found: tuple(found.items()))

usages = st.builds(Usage, *[counts] * len(Usage._fields))
profiles = st.builds(
    RequestProfile,
    api=text,
    model=text,
    input_bytes=counts,
    input_tokens=counts,
    max_output_tokens=st.none() | counts,
    answers=counts,
    messages=counts,
    tools=counts,
    images=counts,
    stream=st.booleans(),
    json_schema=st.booleans(),
    service_tier=text,
)
charges = st.builds(
    ChargePosted,
    charge_id=text,
    request_id=text,
    attempt=st.integers(1, 99),
    at_s=times,
    org=text,
    team=text,
    agent=text,
    model=text,
    deployment=text,
    provider=text,
    upstream_model=text,
    usage=usages,
    price_point=text,
    service_tier=text,
    cost_nano_usd=money,
    estimated=st.booleans(),
    unpriced=st.booleans(),
    outcome=text,
    purpose=text,
    upstream_status=st.none() | statuses,
    latency_ms=milliseconds,
    first_token_ms=st.none() | milliseconds,
    run_path=st.lists(run_ids, max_size=3, unique=True).map(">".join),
    user=maybe_text,
    tags=tags,
    window_at_s=st.integers(1, 4_000_000_000_000_000).map(lambda microseconds: microseconds / 1e6),
    resolution=st.sampled_from(("settled", "released", "orphaned", "correction")),
    reserved_nano_usd=money,
    listed_nano_usd=st.none() | money,
    fee_nano_usd=money,
    units=text,
    reserved_at_s=st.just(0.0) | st.integers(1, 4_000_000_000_000_000).map(lambda microseconds: microseconds / 1e6),
).map(lambda charge: charge._replace(reserved_at_s=0.0) if charge.reserved_at_s == charge.window_at_s else charge)
shares = st.floats(0, 1)
considered = st.builds(
    Considered,
    model=text,
    tier=text,
    excluded=text,
    expected_cost=st.none() | money,
    p_correct=st.none() | shares,
    score=st.none() | st.floats(-1e9, 1e9),
)
choices = st.builds(
    Choice,
    policy=text,
    rule=text,
    reason=text,
    model=text,
    tier=text,
    arm=text,
    probability=shares,
    value_usd=st.floats(0, 1e9),
    money_price=st.floats(1, 1e6),
    run_cost_usd=st.floats(0, 1e9),
    budget_remaining_ratio=shares,
    budget_burn_ratio=st.floats(0, 1e6),
    complexity=st.none() | shares,
    p_correct=st.none() | shares,
    expected_cost_nano_usd=money,
    strongest=text,
    strongest_paid_nano_usd=st.none() | money,
    asked_paid_nano_usd=st.none() | money,
    run_steps=counts,
    in_tool_loop=st.booleans(),
    considered=st.lists(considered, max_size=3).map(tuple),
    shadows=st.lists(st.builds(Shadow, rule=text, model=text, expected_cost=money), max_size=3).map(tuple),
    failed=st.lists(text, max_size=3).map(tuple),
)
requests = st.builds(
    RequestFinished,
    request_id=text,
    at_s=times,
    org=text,
    team=text,
    agent=text,
    key_id=text,
    run=maybe_text,
    parent_run=maybe_text,
    session=maybe_text,
    user=maybe_text,
    tags=tags,
    value_nano_usd=st.none() | money,
    sdk=maybe_text,
    endpoint=text,
    model=text,
    profile=st.none() | profiles,
    deployment=text,
    provider=text,
    rule=text,
    outcome=text,
    status=statuses,
    error_code=text,
    latency_ms=milliseconds,
    first_token_ms=st.none() | milliseconds,
    overhead_ms=milliseconds,
    streamed=st.booleans(),
    cost_nano_usd=money,
    choice=st.none() | choices,
    content=st.none(),
    **{name: st.just("") for name in ("trace_id", "traceparent") if name in RequestFinished._fields},
)
limits = st.builds(
    RunLimits,
    cost=st.none() | money,
    requests=st.none() | counts,
    tokens=st.none() | counts,
    wall_s=st.none() | st.floats(0, 1e9),
    depth=st.none() | counts,
    children=st.none() | counts,
)
runs = st.builds(
    RunChanged,
    run=st.lists(run_ids, min_size=1, max_size=4, unique=True).flatmap(
        lambda path: st.builds(
            Run,
            id=st.just(path[0]),
            path=st.just(tuple(path)),
            org=text,
            agent=text,
            limits=limits,
            opened_at_s=times,
            closes_at_s=times,
            carve=money,
            state=st.sampled_from(("open", "paused", "closed")),
            reason=text,
        )
    ),
    at_s=times,
)
adjustments = st.builds(
    Adjusted,
    entry_id=text,
    at_s=times,
    budget=text,
    value=text,
    window_at_s=times,
    amount_nano_usd=st.integers(-(2**50), 2**50),
    reason=text,
    actor=text,
)
