"""What recorded content never shows: keys, tokens and passwords, and what the operator's own patterns match."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable

from gateway.journal.rows import Row, content_row
from gateway.telemetry.events import Event, RequestFinished
from gateway.telemetry.redact import MASK, redact_long


class Masking:
    """Makes the rows of `contents`. Runs in the writer, off every request's way."""

    def __init__(self, patterns: Iterable[str]) -> None:
        self._patterns = tuple(re.compile(pattern) for pattern in patterns)
        self._prepared: dict[str, Row] = {}

    def prepare(self, events: Iterable[Event]) -> None:
        """Make the rows that are asked for next. For a thread of its own: bodies may be long."""
        recorded = [event for event in events if type(event) is RequestFinished and event.content is not None]
        self._prepared = {event.request_id: self._made(event) for event in recorded}

    def row(self, request: RequestFinished) -> Row:
        """The row of `contents` for a request that carries its bodies."""
        return self._prepared.pop(request.request_id, None) or self._made(request)

    def _made(self, request: RequestFinished) -> Row:
        request_id, asked, answered = content_row(request)
        return (request_id, self.mask(asked), self.mask(answered))

    def mask(self, body: bytes) -> bytes:
        """A body with everything masked that must not be read. What is no UTF-8 stays as it is."""
        text = redact_long(body.decode("utf-8", "surrogateescape"), lambda: time.sleep(0))  # others go on meanwhile
        for pattern in self._patterns:
            text = pattern.sub(MASK, text)
        return text.encode("utf-8", "surrogateescape")
