"""How an alert is written: as JSON of our own, as a message of Slack's, as a line of the log. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from gateway.alerting.alert import Alert
from gateway.telemetry.redact import redact

SOURCE: Final = "farebox"
VERSION: Final = "1"
"""Of the JSON object; fields may be added to it."""
_COLOURS: Final = {"critical": "danger", "warning": "warning", "info": "good"}
_SLACK_ESCAPES: Final = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
_LINK_ESCAPES: Final = str.maketrans({"<": "%3C", ">": "%3E", "|": "%7C"})


def webhook_body(alert: Alert) -> bytes:
    """A JSON object; docs/how-to/alerts.md lists its fields. What an alert does not have is null."""
    found: dict[str, Any] = {
        "source": SOURCE,
        "version": VERSION,
        "key": alert.key,
        "kind": alert.kind,
        "status": alert.status,
        "severity": alert.severity,
        "title": alert.title,
        "text": alert.text,
        "at": _time(alert.at_s),
        **{name: value or None for name, value in alert.subject._asdict().items()},
        "details": dict(alert.details),
        "links": dict(alert.links),
    }
    return _encoded(found)


def slack_body(alert: Alert) -> bytes:
    """A message for an incoming webhook of Slack, as its relatives understand it, too: a text and an attachment."""
    links = " · ".join(f"<{url.translate(_LINK_ESCAPES)}|{_slack(name)}>" for name, url in alert.links)
    text = _slack(alert.text)
    named = [(name, value) for name, value in alert.subject._asdict().items() if value]
    fields = [
        {"title": _slack(name.replace("_", " ")), "value": _slack(value), "short": True}
        for name, value in (*named, *alert.details)
    ]
    attachment = {
        "color": _COLOURS[alert.severity],
        "fallback": _slack(alert.title),
        "text": f"{text}\n{links}" if links else text,
        "fields": fields,
        "footer": SOURCE,
        "ts": int(alert.at_s),
    }
    return _encoded({"text": f"*{_slack(alert.title)}*", "attachments": [attachment]})


def log_fields(alert: Alert) -> dict[str, str]:
    """The alert's fields for a line of the log."""
    named = {name: value for name, value in alert.subject._asdict().items() if value}
    return {"kind": alert.kind, "status": alert.status, "severity": alert.severity, **named, **dict(alert.details)}


def _encoded(body: dict[str, Any]) -> bytes:
    """As JSON, with what looks like a key masked: names that clients chose are among the values."""
    return redact(msgspec.json.encode(body).decode()).encode()


def _time(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _slack(text: str) -> str:
    return text.translate(_SLACK_ESCAPES)
