"""The section `tracing`."""

from __future__ import annotations

import pytest

from gateway.config.snapshot import TracingSettings
from tests.gateway.config.conftest import Load, Problems


def test_without_a_collector_there_are_no_traces(load_text: Load) -> None:
    assert load_text("tracing: {service_name: other}").tracing is None


@pytest.mark.parametrize(
    "endpoint", ["http://127.0.0.1:4318", "http://127.0.0.1:4318/", "http://127.0.0.1:4318/v1/traces"]
)
def test_the_path_is_added_where_it_is_not_there(load_text: Load, endpoint: str) -> None:
    snapshot = load_text(
        f"tracing: {{endpoint: '{endpoint}', headers: {{authorization: '${{KEY}}'}}}}", {"KEY": "Basic c2VjcmV0"}
    )
    assert snapshot.tracing == TracingSettings(
        "http://127.0.0.1:4318/v1/traces", headers=(("authorization", "Basic c2VjcmV0"),)
    )
    assert "c2VjcmV0" not in repr(snapshot.tracing)


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("{endpoint: 'collector:4318'}", "should begin with http:// or https://"),
        ("{endpoint: 'http://user:word@collector'}", "credentials do not belong into a URL: use `headers`"),
        ("{endpoint: 'http://collector', sample_ratio: 1.5}", "less than or equal to 1"),
        ("{endpoint: 'http://collector', content: true}", "`storage.record_content` is off"),
        ("{endpoint: 'http://collector', sample: 1}", "sample"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(problems: Problems, written: str, message: str) -> None:
    (problem,) = problems(f"tracing: {written}")
    assert problem.startswith("config.yaml:1")
    assert message in problem
    assert "word" not in problem


def test_content_needs_that_it_is_recorded(load_text: Load) -> None:
    snapshot = load_text("storage: {record_content: true}\ntracing: {endpoint: 'http://collector', content: true}")
    assert snapshot.tracing is not None
    assert snapshot.tracing.content
