"""Undoing Content-Encoding gzip and deflate piece by piece, so that a small body cannot become a large one in memory.

Farebox asks for `identity`; some upstreams compress all the same.
"""

from __future__ import annotations

import zlib

_GZIP_WINDOW = 16 + zlib.MAX_WBITS
_ENCODINGS = {b"gzip": True, b"x-gzip": True, b"deflate": False}
_MALFORMED = "the compressed body is malformed"


class MalformedBody(Exception):
    """The body is not what its Content-Encoding says, or ends too early."""


class Decoder:
    """One body. Give it what arrived with `feed`, then call `pull` until it returns nothing."""

    __slots__ = ("_gzip", "_inflater", "_pending", "_started")

    def __init__(self, *, gzip: bool) -> None:
        self._gzip = gzip
        self._inflater = zlib.decompressobj(_GZIP_WINDOW) if gzip else None
        self._pending = b""
        self._started = False

    @classmethod
    def for_encoding(cls, value: bytes) -> Decoder | None:
        """The decoder for a Content-Encoding header's value; None when it is one that we leave alone."""
        gzip = _ENCODINGS.get(value.strip().lower())
        return None if gzip is None else cls(gzip=gzip)

    def feed(self, data: bytes) -> None:
        """Add compressed bytes."""
        self._pending = self._pending + data if self._pending else data
        self._started = True

    def pull(self, limit: int) -> bytes:
        """At most `limit` decoded bytes; `b""` when more input is needed. Raises MalformedBody."""
        while self._pending:
            inflater = self._inflater or self._choose_deflate()
            if inflater is None:
                return b""
            if inflater.eof:
                inflater = self._next_member()
            try:
                out = inflater.decompress(self._pending, limit)
            except zlib.error as error:
                raise MalformedBody(_MALFORMED) from error
            self._pending = inflater.unused_data if inflater.eof else inflater.unconsumed_tail
            if out:
                return out
        # Output can remain inside zlib although all its input is taken.
        if self._inflater is None or self._inflater.eof:
            return b""
        return self._inflater.decompress(b"", limit)

    def finish(self) -> None:
        """Say that the body has ended. Raises MalformedBody when it was cut short. An empty body is fine."""
        if self._started and (self._inflater is None or not self._inflater.eof):
            raise MalformedBody("the compressed body is cut short")

    def _choose_deflate(self) -> zlib._Decompress | None:
        """`deflate` means zlib's format (RFC 9110, 8.4.1.2), yet some servers send the bare stream."""
        if len(self._pending) < 2:
            return None
        first, second = self._pending[0], self._pending[1]
        zlib_header = first & 0x0F == 8 and (first << 8 | second) % 31 == 0
        self._inflater = zlib.decompressobj(zlib.MAX_WBITS if zlib_header else -zlib.MAX_WBITS)
        return self._inflater

    def _next_member(self) -> zlib._Decompress:
        """A gzip body may be several, end to end (RFC 1952, 2.2); anything else after the end is an error."""
        if not self._gzip:
            raise MalformedBody(_MALFORMED)
        self._inflater = zlib.decompressobj(_GZIP_WINDOW)
        return self._inflater
