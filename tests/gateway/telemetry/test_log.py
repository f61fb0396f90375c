from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from gateway.telemetry.events import KeyRefused
from gateway.telemetry.log import AccessLog, configure_logging
from tests.gateway.telemetry.samples import charged, finished, started

SECRET = "sk-proj-Zk93hQm2xT7pLw4vB8nR"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _restore_root() -> Iterator[None]:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    yield
    root.handlers[:] = before
    root.setLevel(level)


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_record_is_one_line_of_json_with_its_fields() -> None:
    stream = io.StringIO()
    configure_logging("info", stream)
    logging.getLogger("gateway.app").warning("two\nlines %s", "é", extra={"request_id": "req-1", "odd": {1}})
    (line,) = lines(stream)
    assert line.pop("time").endswith("Z")
    assert line == {
        "level": "warning",
        "logger": "gateway.app",
        "message": "two\nlines é",
        "request_id": "req-1",
        "odd": "{1}",
    }


def test_exceptions_and_fields_are_redacted() -> None:
    for stream in (io.StringIO(), Terminal()):
        configure_logging("info", stream)
        log = logging.getLogger("gateway.upstream")
        try:
            int(f"Bearer {SECRET}")
        except ValueError:
            log.exception("call with %s failed", SECRET, extra={"headers": [(b"x-api-key", SECRET.encode())]})
        assert "ValueError" in stream.getvalue()
        assert SECRET[8:] not in stream.getvalue()


def test_people_get_text_on_a_terminal() -> None:
    stream = Terminal()
    configure_logging("info", stream)
    logging.getLogger("x").info("listening", extra={"port": 4000, "none": None})
    assert stream.getvalue().rstrip().endswith("INFO    listening  port=4000")


def test_the_level_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAREBOX_LOG_LEVEL", "Error")
    stream = io.StringIO()
    configure_logging(stream=stream)
    logging.getLogger("x").warning("quiet")
    logging.getLogger("x").error("loud")
    assert [line["message"] for line in lines(stream)] == ["loud"]


def test_an_unknown_level_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="'loud'; it can be debug, info, warning, error"):
        configure_logging("loud")


def test_setting_up_twice_does_not_log_twice() -> None:
    stream = io.StringIO()
    configure_logging("info", stream)
    configure_logging("info", stream)
    logging.getLogger("x").info("once")
    assert len(lines(stream)) == 1


def test_the_access_log_writes_a_line_per_finished_request() -> None:
    stream = io.StringIO()
    configure_logging("info", stream)
    AccessLog().receive([started(), charged(), finished(user="mail@example.com")])
    (line,) = lines(stream)
    assert (line["message"], line["request_id"], line["status"]) == ("request", "req_1", 200)
    assert line["trace_id"] == f"{1:032x}", "the span that a trace has of it"
    assert len(line["span_id"]) == 16
    assert (line["cost_usd"], line["error_code"]) == ("0.0000015", None)
    assert "mail@example.com" not in stream.getvalue()


def test_the_access_log_writes_who_came_without_a_key() -> None:
    stream = io.StringIO()
    configure_logging("info", stream)
    AccessLog().receive([KeyRefused(1.0, "192.0.2.7", "invalid_api_key")])
    (line,) = lines(stream)
    assert (line["message"], line["client"], line["error_code"]) == ("key refused", "192.0.2.7", "invalid_api_key")


def test_the_access_log_is_silent_above_info() -> None:
    stream = io.StringIO()
    configure_logging("warning", stream)
    AccessLog().receive([finished()])
    assert stream.getvalue() == ""
