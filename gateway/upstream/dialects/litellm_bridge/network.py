"""The HTTP that the LiteLLM SDK does for a call, watched from below every client that it makes.

Above this the SDK hides what matters for money: whether a request was sent at all, what status the provider answered
with, whether the answer broke. It also repeats requests whose connection broke; nothing is sent twice here.

Imports httpx: only the SDK's thread imports this module.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextvars import ContextVar

import httpx

from gateway.config.snapshot import Endpoint
from gateway.upstream.transport import ConnectionBroken, ResponseTooLarge, TimedOut, TransportError, Unreachable

current: ContextVar[Watch | None] = ContextVar("watch", default=None)
"""The call that is being made. The SDK carries it along into its own threads."""

_MAX_ERROR_BYTES = 65_536
_HEADERS_SENT = "send_request_headers.started"
_ERROR_STATUS = 400


class Watch:
    """What the network has seen of one call. Written in the SDK's thread, read in the gateway's."""

    def __init__(self, endpoint: Endpoint, connect_s: float, changed: Callable[[], None]) -> None:
        self.endpoint = endpoint
        self.sent_s: float | None = None
        """When the first byte was handed to the operating system, in monotonic seconds; None before."""
        self.reused = True
        self.status: int | None = None
        self.headers: list[tuple[bytes, bytes]] = []
        self.error_body = b""
        self.last_byte_s: float | None = None
        self.received = 0
        self.max_bytes: int | None = None
        """More is too large; None where nobody collects it."""
        self.failure: TransportError | None = None
        self.given_up = False
        """Nobody waits for it any more: what was not sent never is."""
        self.streams: list[WatchedStream] = []
        self._connect_s = connect_s
        self._changed = changed

    def prepare(self, request: httpx.Request) -> None:
        """Have the request tell us its course; our own time-outs rule, and only connecting is the network's to time."""
        if self.failure is not None or self.given_up:
            raise httpx.RequestError("what broke or was given up is not sent again", request=request)
        times = {"connect": self._connect_s, "pool": self._connect_s, "read": None, "write": None}
        request.extensions = {**request.extensions, "timeout": times}
        request.headers["accept-encoding"] = "identity"  # an error's words are read as they come

    def on_event(self, name: str) -> None:
        """What httpcore tells of its steps."""
        if name == "connection.connect_tcp.started":
            self.reused = False
        elif name.endswith(_HEADERS_SENT):
            if self.given_up:
                raise httpx.RequestError("it was given up")
            self.mark_sent()

    def mark_sent(self) -> None:
        """From here on the provider may have seen it."""
        if self.sent_s is None:
            self.sent_s = time.monotonic()
            self._changed()

    def answered(self, response: httpx.Response) -> None:
        """The head of an answer is there."""
        self.mark_sent()
        self.status = response.status_code
        self.headers = [(name.lower(), value) for name, value in response.headers.raw]
        self.error_body = b""
        self.arrived(b"")
        self._changed()

    def arrived(self, data: bytes) -> None:
        """Bytes of it. Raises httpx.ReadError when they are too many."""
        self.last_byte_s = time.monotonic()
        self.received += len(data)
        if self.status is not None and self.status >= _ERROR_STATUS and len(self.error_body) < _MAX_ERROR_BYTES:
            self.error_body += data[:_MAX_ERROR_BYTES]
        if self.max_bytes is not None and self.received > self.max_bytes:
            self.failure = ResponseTooLarge(f"the answer is larger than {self.max_bytes} bytes", sent=True)
            raise httpx.ReadError(str(self.failure))

    def broken(self, error: Exception) -> None:
        """The request, or its answer, broke."""
        if self.failure is None:
            self.failure = self._failure(error)

    def _failure(self, error: Exception) -> TransportError:
        endpoint = self.endpoint
        if self.sent_s is not None:
            return ConnectionBroken(f"provider {endpoint.provider}: {type(error).__name__}", sent=True)
        if isinstance(error, httpx.ConnectTimeout):
            return TimedOut("connect", self._connect_s, sent=False)
        if isinstance(error, httpx.PoolTimeout):
            message = f"provider {endpoint.provider}: all {endpoint.max_connections} connections stayed busy"
            return Unreachable(f"{message} for {self._connect_s:g} s", sent=False)
        return Unreachable(f"provider {endpoint.provider}: cannot connect: {type(error).__name__}", sent=False)


class PromptResponse(httpx.Response):
    """Gives bytes as they arrive, though the SDK asks for pieces of one size: it would wait until those are full."""

    async def aiter_bytes(self, chunk_size: int | None = None) -> AsyncIterator[bytes]:
        """All bytes, whatever the pieces."""
        async for piece in super().aiter_bytes():
            yield piece


class WatchedStream(httpx.AsyncByteStream):
    """An answer's body."""

    def __init__(self, stream: httpx.AsyncByteStream, watch: Watch) -> None:
        self._stream = stream
        self._watch = watch
        watch.streams.append(self)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """The bytes as they arrive."""
        try:
            async for data in self._stream:
                self._watch.arrived(data)
                yield data
        except httpx.TransportError as error:
            self._watch.broken(error)
            raise

    async def aclose(self) -> None:
        """Close it: the provider sees us leave if it had not ended. Idempotent."""
        await self._stream.aclose()


class WatchedTransport(httpx.AsyncBaseTransport):
    """Stands below every asynchronous client. Connections are kept per provider, as its endpoint says."""

    def __init__(self) -> None:
        self._pools: dict[tuple[object, ...], httpx.AsyncHTTPTransport] = {}
        self._unwatched: httpx.AsyncHTTPTransport | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request."""
        watch = current.get()
        if watch is None:
            self._unwatched = self._unwatched or httpx.AsyncHTTPTransport()
            return await self._unwatched.handle_async_request(request)
        watch.prepare(request)

        async def trace(name: str, _info: object) -> None:
            watch.on_event(name)

        request.extensions["trace"] = trace
        try:
            pool = self._pool(watch.endpoint, request.url.scheme)
            response = await pool.handle_async_request(request)
        except httpx.TransportError as error:
            watch.broken(error)
            raise
        watch.answered(response)
        assert isinstance(response.stream, httpx.AsyncByteStream)  # noqa: S101 -- an asynchronous transport's is
        stream = WatchedStream(response.stream, watch)
        return PromptResponse(
            response.status_code, headers=response.headers, stream=stream, extensions=response.extensions
        )

    async def aclose(self) -> None:
        """The clients come and go; the connections stay. See `close`."""

    async def close(self) -> None:
        """Close all connections."""
        pools = [*self._pools.values(), *([] if self._unwatched is None else [self._unwatched])]
        self._pools.clear()
        self._unwatched = None
        for pool in pools:
            await pool.aclose()

    def _pool(self, endpoint: Endpoint, scheme: str) -> httpx.AsyncHTTPTransport:
        most, tls = endpoint.max_connections, (scheme, endpoint.verify_tls, endpoint.ca_file)
        key = (endpoint.provider, endpoint.proxy, most, *tls)
        pool = self._pools.get(key)
        if pool is None:
            limits = httpx.Limits(
                max_connections=most, max_keepalive_connections=most, keepalive_expiry=endpoint.keepalive_s
            )
            verify = scheme == "https" and _tls(endpoint)
            pool = httpx.AsyncHTTPTransport(verify=verify, trust_env=False, limits=limits, proxy=endpoint.proxy)
            self._pools[key] = pool
        return pool


class WatchedSyncTransport(httpx.HTTPTransport):
    """Stands below the synchronous clients, which the SDK still has for a few providers: those cannot be cut short."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request."""
        watch = current.get()
        if watch is None:
            return super().handle_request(request)
        watch.prepare(request)
        request.extensions["trace"] = lambda name, _info: watch.on_event(name)
        try:
            response = super().handle_request(request)
            watch.answered(response)
        except httpx.TransportError as error:
            watch.broken(error)
            raise
        if response.is_error:
            assert isinstance(response.stream, httpx.SyncByteStream)  # noqa: S101 -- a synchronous transport's is
            response.stream = _SyncStream(response.stream, watch)
        return response


class _SyncStream(httpx.SyncByteStream):
    def __init__(self, stream: httpx.SyncByteStream, watch: Watch) -> None:
        self._stream = stream
        self._watch = watch

    def __iter__(self) -> Iterator[bytes]:
        for data in self._stream:
            self._watch.arrived(data)
            yield data

    def close(self) -> None:
        self._stream.close()


def _tls(endpoint: Endpoint) -> ssl.SSLContext | bool:
    if not endpoint.verify_tls:
        return False
    if endpoint.ca_file is not None:
        return ssl.create_default_context(cafile=str(endpoint.ca_file))
    return ssl.create_default_context()
