"""What receivers get."""

from __future__ import annotations

import json
import logging

from gateway.alerting.alert import Subject
from gateway.alerting.forms import log_fields, slack_body, webhook_body
from gateway.telemetry.log import JsonFormatter
from tests.gateway.alerting.samples import alert

LINKS = (("run", "https://grafana.example/r?run=researcher%2Fr1"),)


def test_the_generic_object_names_everything() -> None:
    assert json.loads(webhook_body(alert(links=LINKS))) == {
        "source": "farebox",
        "version": "1",
        "key": "loop|researcher|researcher/r1|repeated_call",
        "kind": "loop",
        "status": "firing",
        "severity": "warning",
        "title": "Loop in run researcher/r1",
        "text": "It repeats itself.",
        "at": "2026-11-30T00:53:20.000Z",
        "org": "acme",
        "team": "search",
        "agent": "researcher",
        "run": "researcher/r1",
        "user": None,
        "budget": None,
        "scope": None,
        "breaker": None,
        "provider": None,
        "details": {"times": "5"},
        "links": {"run": "https://grafana.example/r?run=researcher%2Fr1"},
    }


def test_slacks_message() -> None:
    found = json.loads(slack_body(alert(severity="critical", links=LINKS)))
    (attachment,) = found["attachments"]
    assert found["text"] == "*Loop in run researcher/r1*"
    assert attachment["color"] == "danger"
    assert attachment["text"] == "It repeats itself.\n<https://grafana.example/r?run=researcher%2Fr1|run>"
    assert {field["title"]: field["value"] for field in attachment["fields"]} == {
        "org": "acme",
        "team": "search",
        "agent": "researcher",
        "run": "researcher/r1",
        "times": "5",
    }


def test_a_name_cannot_write_into_slacks_message() -> None:
    text = slack_body(alert(title="<!channel> & <http://evil|click>", subject=Subject(user="<@U1>"))).decode()
    assert "<!channel>" not in text
    assert "<http://evil" not in text
    assert "&lt;@U1&gt;" in text


def test_what_looks_like_a_key_is_masked() -> None:
    named = alert(subject=Subject(user="sk-proj-0123456789abcdef"))
    for body in (webhook_body(named), slack_body(named)):
        assert b"0123456789abcdef" not in body
        json.loads(body)


def test_the_logs_fields_hide_none_of_its_own() -> None:
    record = logging.makeLogRecord({"msg": "x", **log_fields(alert())})
    line = json.loads(JsonFormatter().format(record))
    assert (line["kind"], line["run"], line["times"]) == ("loop", "researcher/r1", "5")
