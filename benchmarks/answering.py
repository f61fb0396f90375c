"""Reads one answer on a connection of its own. As lean as it can be, so that what is measured is not the client."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import httptools

_DONE = b"data: [DONE]\n\n"


class Answer(asyncio.Protocol):
    """One answer. `done` is resolved at its end, whatever that is; `on_bytes` hears its body's parts as they come."""

    def __init__(
        self,
        done: asyncio.Future[None],
        names: dict[bytes, str],
        kept_bytes: int = 65_536,
        on_bytes: Callable[[bytes], None] | None = None,
    ) -> None:
        """`names`: headers that are of interest, in lower case, and what they are called in `headers`."""
        self.done = done
        self.status = 0
        self.headers = dict.fromkeys(names.values(), "")
        """Empty where there was none."""
        self.body = b""
        """The last `kept_bytes` of it."""
        self.first_byte_s: float | None = None
        """Of the body; Unix time."""
        self.is_whole = False
        self._names = names
        self._kept_bytes = kept_bytes
        self._on_bytes = on_bytes
        self._parser = httptools.HttpResponseParser(self)

    @property
    def is_streamed_whole(self) -> bool:
        """Whether a stream came to its proper end."""
        return self.is_whole and self.body.endswith(_DONE)

    def end(self) -> None:
        """It is over for whoever waits for it."""
        if not self.done.done():
            self.done.set_result(None)

    # --- called by the event loop ---

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.end()

    def connection_lost(self, exc: Exception | None) -> None:
        self.end()

    # --- called by the parser ---

    def on_header(self, name: bytes, value: bytes) -> None:
        known = self._names.get(name.lower())
        if known is not None:
            self.headers[known] = value.decode()

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        if self.first_byte_s is None:
            self.first_byte_s = time.time()
        self.body = (self.body + body)[-self._kept_bytes :]
        if self._on_bytes is not None:
            self._on_bytes(body)

    def on_message_complete(self) -> None:
        self.is_whole = True
        self.end()
