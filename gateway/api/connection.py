"""The server's side of a client connection: uvicorn's protocol, with limits, and with a word when the client leaves."""

from __future__ import annotations

import asyncio
import math
import re
import time
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

from gateway.api.errors import error_body
from gateway.config.snapshot import ServerSettings
from gateway.context import new_request_id
from gateway.errors import BadRequest, FareboxError, ServiceUnavailable
from gateway.lean.uvicorn import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from gateway.reply import Headers

_H2C = re.compile(rb"(\r\n)upgrade(:[ \t]*h2c)", re.IGNORECASE)
SCOPE_KEY = "farebox.connection"
"""Where an ASGI scope carries its `Connection`."""
CYCLE_KEY = "farebox.cycle"
"""Where it carries uvicorn's side of the request: a connection has several when its client does not wait."""


class HeadTooLarge(BadRequest):
    """The request line and headers exceed `server.max_header_bytes`."""

    status = 431
    code = "request_header_fields_too_large"


class RequestTooSlow(BadRequest):
    """The request was not whole within `server.header_timeout_s`."""

    status = 408
    code = "request_timeout"


class Corked:
    """A transport whose writes can be held back and sent as one: head and body of an answer in one system call.

    uvicorn writes them apart, and uvloop sends what it is given first at once: a second packet and some 8 µs an answer.
    """

    __slots__ = ("__weakref__", "_held", "_transport")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._held: list[bytes] | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def cork(self) -> None:
        """Hold writes back from now on."""
        self._held = []

    def uncork(self) -> None:
        """Send what was held back, and hold back no more."""
        held, self._held = self._held, None
        if held:
            self._transport.write(b"".join(held))

    def write(self, data: bytes) -> None:
        """Write now, or with the rest."""
        if self._held is None:
            self._transport.write(data)
        else:
            self._held.append(data)

    def is_closing(self) -> bool:
        """As the transport's."""
        return self._transport.is_closing()

    def close(self) -> None:
        """Send what was held back and close."""
        self.uncork()
        self._transport.close()


class Connection(HttpToolsProtocol):
    """One client connection. `settings` is set on a subclass made by `connection_class`."""

    settings: ClassVar[ServerSettings]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.on_lost: Callable[[], None] | None = None
        """Called once when the connection is lost while an answer is owed."""
        self.lost = False
        self.waiting_since_s: float | None = self.loop.time()
        """Since when a request is owed by the client: None while it has sent one whole."""
        self.idle_since_s: float | None = None
        """Since when nothing is owed by anybody."""
        self.unread_since_s: float | None = None
        """Since when the client has read nothing of what waits for it."""
        self.corked: Corked
        self._head_bytes = 0
        self._refusal: FareboxError | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.transport = self.corked = Corked(transport)  # type: ignore[assignment]  # what uvicorn uses of it is there
        if len(self.connections) > self.settings.max_connections:
            self._refuse(ServiceUnavailable("The gateway serves as many connections as it may; try again."))

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        super().connection_lost(exc)
        callback, self.on_lost = self.on_lost, None
        if callback is not None:
            callback()

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        self.idle_since_s = None
        self._head_bytes += len(data)
        if self.waiting_since_s is None or self.scope is None or not self.headers_done:
            data = _without_h2c(data)
        super().data_received(data)
        if (
            self._head_bytes > self.settings.max_header_bytes
            and self.waiting_since_s is not None
            and not self.headers_done
        ):
            self._refuse(self._head_too_large())

    @property
    def headers_done(self) -> bool:
        """Whether the head of the present request is complete."""
        return self.scope is None or "method" in self.scope

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.waiting_since_s = self.loop.time()
        self.scope[SCOPE_KEY] = self  # type: ignore[literal-required]  # a key of our own

    def on_headers_complete(self) -> None:
        if self._head_bytes > self.settings.max_header_bytes:
            size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
            if size > self.settings.max_header_bytes:
                self._refusal = self._head_too_large()
                raise ValueError("head too large")  # httptools hands it to send_400_response
        super().on_headers_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        cycle.scope[CYCLE_KEY] = cycle  # type: ignore[literal-required]  # as above
        super()._start_asgi_task(cycle, app)

    def answer(self, cycle: RequestResponseCycle, status: int, headers: Headers, body: bytes) -> bool:
        """Send a whole answer, whose length `headers` say, in one write. False: it has to go the usual way.

        What uvicorn's own `send` does in two calls, a dozen searches for what we never write, and 8 µs more.
        """
        if cycle.disconnected or cycle.response_started or self.flow.write_paused or cycle.scope["method"] == "HEAD":
            return False
        lines = [b": ".join(header) for header in (*cycle.default_headers, *headers)]
        if not cycle.keep_alive:
            lines.append(b"connection: close")
        text = b"".join(lines)
        if text.find(b"\n") >= 0 or text.find(b"\r") >= 0:
            return False  # a header with a line break in it, which is refused there
        self.transport.write(b"".join((STATUS_LINE[status], b"\r\n".join(lines), b"\r\n\r\n", body)))
        cycle.response_started = cycle.response_complete = True
        cycle.message_event.set()
        if not cycle.keep_alive:
            self.transport.close()
        cycle.on_response()
        return True

    def expects(self) -> None:
        """More of a body that is passed on as it comes is asked for: its client has a header's time for each piece."""
        if self.waiting_since_s is not None:
            self.waiting_since_s = self.loop.time()

    def rests(self) -> None:
        """Nothing more of it is asked for now: the upstream is slower than its client."""
        if self.waiting_since_s is not None:
            self.waiting_since_s = math.inf

    def on_message_complete(self) -> None:
        self.waiting_since_s = None
        self._head_bytes = 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """As uvicorn's, but without a timer to end the connection while it is idle: the sweep does."""
        self.server_state.total_requests += 1
        if self.waiting_since_s is not None:  # answered before its request was whole: the rest has its time, no more
            self.waiting_since_s = self.loop.time()
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        else:
            self.idle_since_s = self.loop.time()

    def send_400_response(self, msg: str) -> None:
        """Refuse bytes that are no HTTP request, in the shape of every other error."""
        self._refuse(self._refusal or BadRequest(f"{msg} It must be HTTP/1.1."))

    def _head_too_large(self) -> FareboxError:
        return HeadTooLarge(f"The request's headers are larger than {self.settings.max_header_bytes} bytes.")

    def _refuse(self, error: FareboxError) -> None:
        if self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete:
            self.transport.close()  # an answer is under way: ours would end up inside it
            return
        request_id = new_request_id(time.time())
        body = error_body(error, request_id)
        retry = b"retry-after: %d\r\n" % error.retry_after_s if error.retry_after_s is not None else b""
        self.transport.write(
            b"HTTP/1.1 %d \r\ncontent-type: application/json\r\ncontent-length: %d\r\nx-request-id: %s\r\n%s"
            b"connection: close\r\n\r\n%s" % (error.status, len(body), request_id.encode(), retry, body)
        )
        self.transport.close()

    def pause_writing(self) -> None:
        super().pause_writing()
        self.unread_since_s = self.loop.time()

    def resume_writing(self) -> None:
        super().resume_writing()
        self.unread_since_s = None

    def close_if_slow(self, now_s: float) -> None:
        """End a connection that is idle, or whose client takes too long to send its request or to read its answer.

        `now_s` is the loop's time.
        """
        if self.unread_since_s is not None and now_s - self.unread_since_s >= self.settings.write_timeout_s:
            self.transport.abort()  # the exchange hears of it as of any client that leaves
            return
        if self.idle_since_s is not None and now_s - self.idle_since_s >= self.settings.keepalive_s:
            self.transport.close()
            return
        since_s = self.waiting_since_s
        if since_s is None or now_s - since_s < self.settings.header_timeout_s or self.transport is None:
            return
        answered = self.headers_done and self.cycle is not None and self.cycle.response_complete
        if self.scope is None or answered:  # never sent a byte, or is told already
            self.transport.close()
        else:
            self._refuse(RequestTooSlow(f"The request was not whole within {self.settings.header_timeout_s:g} s."))


def _without_h2c(data: bytes) -> bytes:
    """A head without its offer of HTTP/2, which a server may ignore (RFC 9110, 7.8), but httptools then drops the body.

    Java's HttpClient makes that offer first of all. The name put in its place is as long, and goes no further.
    """
    end = data.find(b"\r\n\r\n")  # a body is long, and is not searched
    if data.find(b"h2c", 0, end if end >= 0 else len(data)) < 0:
        return data
    head, blank_line, rest = data.partition(b"\r\n\r\n")
    return _H2C.sub(rb"\1trailer\2", head) + blank_line + rest


def connection_class(server: ServerSettings) -> type[Connection]:
    """A `Connection` with these limits, for uvicorn's `http` setting."""
    return type("LimitedConnection", (Connection,), {"settings": server})


def close_slow(connections: Iterable[Any], now_s: float) -> None:
    """Sweep all connections of a server once; call it every second."""
    for connection in list(connections):
        if isinstance(connection, Connection):
            connection.close_if_slow(now_s)
