"""What recorded content never shows: keys, tokens and passwords, and what the operator's own patterns match."""

from __future__ import annotations

import re
from collections.abc import Iterable

from gateway.journal.rows import Row, content_row
from gateway.telemetry.events import RequestFinished
from gateway.telemetry.redact import MASK, redact


class Masking:
    """Makes the rows of `contents`. Runs in the writer, off every request's way."""

    def __init__(self, patterns: Iterable[str]) -> None:
        self._patterns = tuple(re.compile(pattern) for pattern in patterns)

    def row(self, request: RequestFinished) -> Row:
        """The row of `contents` for a request that carries its bodies."""
        request_id, asked, answered = content_row(request)
        return (request_id, self.mask(asked), self.mask(answered))

    def mask(self, body: bytes) -> bytes:
        """A body with everything masked that must not be read. What is no UTF-8 stays as it is."""
        text = redact(body.decode("utf-8", "surrogateescape"))
        for pattern in self._patterns:
            text = pattern.sub(MASK, text)
        return text.encode("utf-8", "surrogateescape")
