"""Events as Hypothesis makes them: every field anything that the path may put into it."""

from __future__ import annotations

from hypothesis import strategies as st

from gateway.telemetry.events import ChargePosted, RequestFinished
from routing.money import Usage
from routing.profile import RequestProfile

counts = st.integers(0, 2**40)
money = st.integers(0, 2**50)
text = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=12)
maybe_text = st.none() | text
milliseconds = st.floats(0, 1e7)
times = st.integers(0, 4_000_000_000_000_000).map(lambda microseconds: microseconds / 1e6)
statuses = st.integers(100, 599)

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
    tags=st.dictionaries(text, text, max_size=3).map(lambda tags: tuple(tags.items())),
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
    content=st.none(),
)
