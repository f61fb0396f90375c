"""What is written is what Prometheus' own parsers read, in both formats."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from gateway.telemetry.exposition import OPENMETRICS, TEXT, Rows, render
from gateway.telemetry.names import FAMILIES, PREFIX
from gateway.telemetry.series import DURATION_MS, Histogram, TracedHistogram

ASKS = "application/openmetrics-text;version=1.0.0,text/plain;q=0.5"
words = st.text(max_size=12)
Found = dict[tuple[str, frozenset[tuple[str, str]]], float]


def read(state: dict[str, Rows], accept: str) -> Found:
    body, content_type = render(state, accept)
    assert content_type == (OPENMETRICS if accept else TEXT)
    parse = parse_openmetrics if accept else parse_text
    families = list(parse(body.decode()))  # type: ignore[no-untyped-call]
    return {
        (sample.name.removeprefix(PREFIX), frozenset(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
        if sample.name.startswith(PREFIX)
    }


@pytest.mark.parametrize("accept", ["", ASKS])
@given(rows=st.dictionaries(st.tuples(words, words, words), st.integers(0, 2**53), max_size=8))
def test_numbers_and_labels_come_back(accept: str, rows: dict[tuple[str, ...], int]) -> None:
    found = read({"in_flight_requests": list(rows.items()), "overrun_usd_total": list(rows.items())}, accept)
    for key, value in rows.items():
        labels = frozenset(zip(("org", "team", "agent"), key, strict=True))
        assert found["in_flight_requests", labels] == value
        assert found["overrun_usd_total", labels] == value / 1e9
    assert len(found) == 2 * len(rows)


@pytest.mark.parametrize("accept", ["", ASKS])
@given(values=st.lists(st.floats(0, 1e6), min_size=1, max_size=30))
def test_histograms_are_cumulated(accept: str, values: list[float]) -> None:
    plain, traced = Histogram(DURATION_MS), TracedHistogram(DURATION_MS)
    for value in values:
        plain.observe(value)
        traced.observe(value, "req_1", "ab" * 16, 1.5)
    who = ("acme", "search", "researcher")
    state: dict[str, Rows] = {
        "overhead_seconds": [(who, plain.freeze())],
        "request_duration_seconds": [(who, traced.freeze())],
    }
    found = read(state, accept)
    labels = frozenset(zip(("org", "team", "agent"), who, strict=True))
    for name in ("overhead_seconds", "request_duration_seconds"):
        for bound_ms in (*DURATION_MS, math.inf):
            le = "+Inf" if bound_ms == math.inf else repr(bound_ms / 1000)
            counted = found[f"{name}_bucket", labels | {("le", le)}]
            assert counted == sum(value <= bound_ms for value in values)
        assert found[f"{name}_count", labels] == len(values)
        assert found[f"{name}_sum", labels] == pytest.approx(sum(values) / 1000)


def test_an_exemplar_lies_in_its_bucket_and_only_openmetrics_has_it() -> None:
    histogram = TracedHistogram(DURATION_MS)
    histogram.observe(80.0, "req_old", "", 1.0)
    histogram.observe(90.0, "req_new", "ab" * 16, 2.0)
    histogram.observe(700_000.0, "req_51", "", 3.0)
    state: dict[str, Rows] = {"request_duration_seconds": [(("a", "b", "c"), histogram.freeze())]}
    text, _ = render(state, "")
    assert b"req_" not in text
    families = parse_openmetrics(render(state, ASKS)[0].decode())  # type: ignore[no-untyped-call]
    (family,) = [family for family in families if family.name == "farebox_request_duration_seconds"]
    found = {sample.labels["le"]: sample.exemplar for sample in family.samples if sample.exemplar}
    assert {le: (each.labels, each.value, float(each.timestamp)) for le, each in found.items()} == {
        "0.1": ({"trace_id": "ab" * 16, "request_id": "req_new"}, 0.09, 2.0),
        "+Inf": ({"trace_id": "51".zfill(32), "request_id": "req_51"}, 700.0, 3.0),
    }


def test_every_family_is_well_formed_in_both_formats() -> None:
    state: dict[str, Rows] = {}
    for family in FAMILIES:
        value = Histogram((1.0, 2.0)).freeze() if family.kind == "histogram" else 1
        state[family.name] = [(tuple("x" * len(family.labels)), value)]  # type: ignore[list-item]
    kinds = {family.full_name.removesuffix("_total"): family.kind for family in FAMILIES}
    for accept in ("", ASKS):
        parse = parse_openmetrics if accept else parse_text
        families = list(parse(render(state, accept)[0].decode()))  # type: ignore[no-untyped-call]
        own = {each.name: each.type for each in families if each.name.startswith(PREFIX)}
        assert own == kinds
        assert all(each.documentation for each in families)


@pytest.mark.parametrize(
    "accept",
    [
        "application/openmetrics-text",
        "application/openmetrics-text; version=1.0.0; charset=utf-8",
        "application/vnd.google.protobuf;q=0.7,application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,*/*",
    ],
)
def test_openmetrics_for_those_who_take_it(accept: str) -> None:
    assert render({}, accept)[1] == OPENMETRICS


@pytest.mark.parametrize(
    "accept", ["*/*", "application/openmetrics-text;q=0", "application/openmetrics-text;version=0.0.1", "text/html"]
)
def test_text_for_all_others(accept: str) -> None:
    assert render({}, accept)[1] == TEXT
