"""Logging to standard error: one line of JSON per record, or one for people on a terminal. Secrets are masked.

`FAREBOX_LOG_LEVEL` sets the level. Ids and numbers travel as fields: `log.info("…", extra={"request_id": …})`.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Sequence
from typing import Any, TextIO

from gateway.telemetry.events import Event, KeyRefused, RequestFinished
from gateway.telemetry.redact import redact
from gateway.telemetry.spans import ids_of
from routing.money import format_usd

LEVEL_VARIABLE = "FAREBOX_LOG_LEVEL"
_LEVELS = ("debug", "info", "warning", "error")
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}


def configure_logging(level: str | None = None, stream: TextIO | None = None) -> None:
    """Send all logging of the process through our formatter, in place of what handled it before.

    `level` is by default what FAREBOX_LOG_LEVEL says, else `info`; `stream` is standard error. Raises ValueError for an
    unknown level. Uvicorn must be started with `log_config=None` to log here too.
    """
    name = (level or os.environ.get(LEVEL_VARIABLE) or "info").strip().lower()
    if name not in _LEVELS:
        raise ValueError(f"{LEVEL_VARIABLE} is {name!r}; it can be {', '.join(_LEVELS)}")
    stream = stream or sys.stderr
    handler = logging.StreamHandler(stream)
    handler.setFormatter(HumanFormatter() if stream.isatty() else JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(name.upper())
    if root.level >= logging.INFO:
        logging.getLogger("uvicorn").setLevel(logging.WARNING)  # its starts and stops: the gateway tells of its own


class JsonFormatter(logging.Formatter):
    """A record as one line of JSON: time (UTC), level, logger, message, its fields, and the exception, if any."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        line: dict[str, Any] = {
            "time": _utc(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        for name, value in _fields(record):
            line.setdefault(name, value)
        if trace := _trace(self, record):
            line["exception"] = trace
        return redact(json.dumps(line, ensure_ascii=False, default=str))


class HumanFormatter(logging.Formatter):
    """A record for a terminal: local time, level, message, `name=value` fields; a traceback below."""

    def format(self, record: logging.LogRecord) -> str:
        """The line or lines, without their end."""
        clock = time.strftime("%H:%M:%S", time.localtime(record.created))
        fields = "".join(f"  {name}={value}" for name, value in _fields(record) if value is not None)
        trace = _trace(self, record)
        text = f"{clock} {record.levelname:<7} {record.getMessage()}{fields}"
        return redact(f"{text}\n{trace}" if trace else text)


class AccessLog:
    """A `Sink` that logs a line for each request, those without a valid key too. Off unless asked for."""

    def __init__(self) -> None:
        self._log = logging.getLogger("farebox.access")

    def receive(self, events: Sequence[Event]) -> None:
        """Log the finished and the unidentified requests among `events`."""
        if not self._log.isEnabledFor(logging.INFO):
            return
        for event in events:
            if type(event) is RequestFinished:
                self._log.info("request", extra=_access_fields(event))
            elif type(event) is KeyRefused:
                self._log.info("key refused", extra={"client": event.client, "error_code": event.code})


def _access_fields(event: RequestFinished) -> dict[str, Any]:
    trace_id, span_id = ids_of(event)
    return {
        "request_id": event.request_id,
        "org": event.org,
        "team": event.team,
        "agent": event.agent,
        "key_id": event.key_id,
        "run": event.run,
        "trace_id": trace_id,
        "span_id": span_id,
        "endpoint": event.endpoint,
        "model": event.model,
        "deployment": event.deployment,
        "outcome": event.outcome,
        "status": event.status,
        "error_code": event.error_code or None,
        "latency_ms": round(event.latency_ms, 3),
        "first_token_ms": None if event.first_token_ms is None else round(event.first_token_ms, 3),
        "overhead_ms": round(event.overhead_ms, 3),
        "streamed": event.streamed,
        "cost_usd": format_usd(event.cost_nano_usd),
    }


def _fields(record: logging.LogRecord) -> list[tuple[str, Any]]:
    """What the caller gave as `extra`."""
    return [(name, value) for name, value in vars(record).items() if name not in _STANDARD]


def _trace(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    parts = []
    if record.exc_info:
        parts.append(formatter.formatException(record.exc_info))
    if record.stack_info:
        parts.append(formatter.formatStack(record.stack_info))
    return "\n".join(parts)


def _utc(at_s: float) -> str:
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at_s))
    return f"{whole}.{int(at_s % 1 * 1000):03d}Z"
