"""One connection to an upstream: writes requests, parses answers, watches its time-outs.

Phases of a request, each with its deadline, none beyond the call's total:

    sending     the request does not fit the socket's buffer; ends after `idle_s` without progress
    uploading   the rest of its body is still with the client, whose pace is the client's affair
    first_byte  from the request's last byte to the answer's head
    idle        between two reads of the body; stands still while reading is paused for a slow reader
    keepalive   between requests; running out closes the connection

A connection is used again only when the answer was whole, the server agrees, nothing came after it and nothing of the
request is still unsent. Whatever arrives on an idle connection condemns it: the next answer could be somebody else's.
"""

from __future__ import annotations

import array
import asyncio
import fcntl
import select
import termios
from typing import TYPE_CHECKING, cast

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from gateway.config.snapshot import Timeouts
from gateway.upstream.deadline import NEVER, Deadline
from gateway.upstream.feeding import Feeder
from gateway.upstream.framing import ends_with_connection, keepalive_hint_s
from gateway.upstream.response import LOW_WATER_BYTES, HttpResponse
from gateway.upstream.transport import ConnectionBroken, TimedOut, TransportError

if TYPE_CHECKING:
    from gateway.upstream.call import HttpCall
    from gateway.upstream.host import HostPool

MAX_HEAD_BYTES = 65_536
MAX_HEADERS = 200
_JOIN_BYTES = 65_536
"""Bodies up to this size are copied behind their head, for one write; larger ones are not copied."""
_GRACE_S = 0.05
"""To read what came while the process was stopped, past the time-out."""
_TRUSTED_IDLE_S = 0.05
"""A connection idle for longer is checked for a hang-up that the loop has not seen yet."""


class _Unconnected(asyncio.Transport):
    """Before there is a transport, and after: nothing to abort, nothing to use."""

    def is_closing(self) -> bool:
        return True

    def abort(self) -> None:
        pass


_UNCONNECTED = _Unconnected()


class Connection(asyncio.Protocol):
    """Owned by a `HostPool`; works for one `HttpCall` at a time."""

    def __init__(self, loop: asyncio.AbstractEventLoop, host: HostPool) -> None:
        self.loop = loop
        self._host = host
        self._transport: asyncio.Transport = _UNCONNECTED
        self._fileno = -1
        self._parser = HttpResponseParser(self)
        self._call: HttpCall | None = None
        self._response: HttpResponse | None = None
        self._headers: list[tuple[bytes, bytes]] = []
        self._used = False
        self._idle_since = 0.0
        self._timeouts = Timeouts()
        self._total_at = NEVER
        self._phase = "keepalive"
        self._deadline = Deadline(loop, self._expired)
        self._reading_paused = False
        self._writing_paused = False
        self._unsent = 0
        self._feeder: Feeder | None = None
        """What passes on a body that is still coming."""
        self._start_message()

    def _start_message(self) -> None:
        self._keep_alive = False
        self._until_close = False
        self._interim = False
        self._complete = False
        self._surplus = False
        self._body_came = False
        self._graced = False
        self._overhead = 0
        """Bytes of the head so far, then bytes in a row that were no body (chunk framing, trailers)."""
        self._refusal = ""

    # --- the pool's side ---

    def is_fresh(self, now: float) -> bool:
        """Whether an idle connection can still be used; when not, it is closed."""
        transport = self._transport
        if not transport.is_closing() and now < self._deadline.at:
            # One system call on a connection that has rested saves a request from a peer that hung up meanwhile.
            if now - self._idle_since < _TRUSTED_IDLE_S:
                return True
            if not _is_readable(self._fileno):
                return True
        self.close()
        return False

    @property
    def is_closing(self) -> bool:
        """Whether it is closed, or about to be."""
        return self._transport.is_closing()

    def send(self, call: HttpCall) -> None:
        """Write the request. From here on the upstream may have seen it."""
        self._call = call
        self._timeouts = timeouts = call.timeouts
        self._total_at = call.total_at
        self._headers = []
        self._start_message()
        head, body = call.head, call.body
        call.sent_on(self, reused=self._used)
        self._used = True
        if not isinstance(body, bytes):
            self._transport.write(head)
            self._enter("uploading", NEVER)
            self._feeder = Feeder(self, call, body)
            return
        if len(body) <= _JOIN_BYTES:
            self._transport.write(head + body)
        else:
            self._transport.write(head)
            self._transport.write(body)
        self._sent_all(timeouts)

    def _sent_all(self, timeouts: Timeouts) -> None:
        """The request was handed to the transport; some of it may still be there."""
        if self._writing_paused:
            self._unsent = self._transport.get_write_buffer_size()
            self._enter("sending", timeouts.idle_s)
        else:
            self._enter("first_byte", timeouts.first_byte_s)

    # --- the feeder's side ---

    def write(self, data: bytes) -> bool:
        """Send more of a body. False when the upstream has to take it first: `room` tells."""
        self._transport.write(data)
        if self._writing_paused and self._response is None:
            self._unsent = self._transport.get_write_buffer_size()
            self._enter("sending", self._timeouts.idle_s)
        return not self._writing_paused

    def fed(self) -> None:
        """The body is whole."""
        self._feeder = None
        if self._call is not None:
            self._call.sent = True
        if self._response is None:
            self._sent_all(self._timeouts)

    def _stop_feeding(self) -> None:
        feeder, self._feeder = self._feeder, None
        if feeder is not None:
            feeder.stop()

    def park(self, keepalive_s: float) -> None:
        """Become idle."""
        self._idle_since = now = self.loop.time()
        self._phase = "keepalive"
        self._deadline.set(now + keepalive_s)

    def close(self) -> None:
        """Close at once, without waiting for the peer. `connection_lost` tells the pool."""
        self._deadline.cancel()
        self._host.retire(self)
        self._transport.abort()

    # --- the reader's side ---

    def resume(self) -> None:
        """The reader has made room."""
        response = self._response
        if not self._reading_paused or response is None:
            return
        if response.collecting or response.buffered < LOW_WATER_BYTES:
            self._reading_paused = False
            self._transport.resume_reading()
            self._enter("idle", self._timeouts.idle_s)

    def fail(self, failure: TransportError) -> None:
        """Break off: the call gets `failure`, the upstream sees its client leave."""
        call = self._call
        if call is not None:
            call.unread = call.arrived()
        self._stop_feeding()
        self._call = self._response = None
        self.close()
        if call is not None:
            call.fail(failure)

    def unread(self) -> int:
        """How many bytes wait in the socket: many when we were late, by a stop of the process for example."""
        if self._fileno < 0 or self._transport.is_closing():
            return 0
        count = array.array("i", (0,))
        try:
            fcntl.ioctl(self._fileno, termios.FIONREAD, count)
        except OSError:  # no socket any more
            return 0
        return count[0]

    # --- asyncio.Protocol ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take over the transport."""
        self._transport = cast("asyncio.Transport", transport)
        # Tell when all is written: asyncio's TLS takes a high mark of 0 for "always paused".
        self._transport.set_write_buffer_limits(high=1, low=0)
        sock = transport.get_extra_info("socket")
        self._fileno = sock.fileno() if sock is not None else -1

    def pause_writing(self) -> None:
        """The socket does not take all of the request at once."""
        self._writing_paused = True

    def resume_writing(self) -> None:
        """The request's last byte went to the socket."""
        self._writing_paused = False
        if self._feeder is not None:
            if self._response is None:
                self._enter("uploading", NEVER)
            self._feeder.room()
        elif self._phase == "sending" and self._call is not None:
            self._enter("first_byte", self._timeouts.first_byte_s)

    def data_received(self, data: bytes) -> None:
        """Parse what came; deliver what it completes."""
        if self._call is None:
            self.close()
            return
        if self._response is None:
            self._overhead += len(data)
        failure = ""
        try:
            self._parser.feed_data(data)
        except HttpParserError as error:
            failure = self._refusal or f"the answer is not HTTP: {error}"
        except HttpParserUpgrade:
            failure = self._refusal or "the upstream switched protocols unasked"
        if self._complete:
            half = self._feeder is not None  # an answer before the request is whole: nobody waits for the rest of it
            self._finish(reusable=self._keep_alive and not failure and not self._surplus and not half)
        elif failure:
            self.fail(ConnectionBroken(failure, sent=True))
        elif self._response is None:
            if self._overhead > MAX_HEAD_BYTES:
                self.fail(ConnectionBroken("the answer's head is too large", sent=True))
        else:
            self._advance(self._response, len(data))

    def eof_received(self) -> None:
        """The peer will send no more: the end of a body without a length, or a cut. The transport closes itself."""
        if self._call is not None and self._response is not None and self._until_close:
            self._finish(reusable=False)
        else:
            self.fail(ConnectionBroken("the upstream closed the connection before its answer was whole", sent=True))

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        reason = f": {type(exc).__name__}" if exc is not None else ""
        self.fail(ConnectionBroken(f"the upstream broke the connection{reason}", sent=True))
        self._transport = _UNCONNECTED
        del self._parser  # it refers to us
        self._host.connection_lost(self)

    # --- the parser's callbacks ---

    def on_message_begin(self) -> None:
        """A second answer to one request is one too many."""
        if self._complete:
            self._surplus = True

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or a trailer, which nobody reads."""
        if self._response is None:
            self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """The head is whole: make the response."""
        call, headers = self._call, self._headers
        if self._complete or call is None:
            return
        parser = self._parser
        status = parser.get_status_code()
        self._check_head(status, headers)
        if status < 200:
            self._interim = True
            return
        self._keep_alive = parser.should_keep_alive()
        self._until_close = not self._keep_alive and ends_with_connection(headers)
        self._response = response = HttpResponse(self, status, headers, call.endpoint.max_response_bytes)
        if call.is_head:
            self._complete = True
            self._parser = HttpResponseParser(self)  # the old one waits for the body that HEAD does not get
        else:
            response.decode()
        call.answered(response)

    def on_body(self, data: bytes) -> None:
        """Some of the body, without its framing."""
        if self._response is not None and not self._complete:
            self._body_came = True
            self._response.feed(data)
        else:
            self._surplus = True

    def on_message_complete(self) -> None:
        """The end of an interim answer or of the real one."""
        if self._interim:
            self._interim = False
            self._headers = []
        else:
            self._complete = True

    # --- ours ---

    def _check_head(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """Refuse heads beyond the limits by an exception, which the parser turns into its own."""
        if len(headers) > MAX_HEADERS:
            self._refusal = "the answer has too many headers"
        elif self._overhead > MAX_HEAD_BYTES and sum(len(n) + len(v) + 4 for n, v in headers) > MAX_HEAD_BYTES:
            self._refusal = "the answer's head is too large"
        elif not 100 <= status <= 599:
            self._refusal = f"the answer has the unexpected status {status}"
        if self._refusal:
            raise ValueError(self._refusal)

    def _advance(self, response: HttpResponse, received: int) -> None:
        """Part of a body came."""
        if self._body_came:
            self._body_came = False
            self._overhead = 0
        else:
            self._overhead += received
            if self._overhead > MAX_HEAD_BYTES:
                self.fail(ConnectionBroken("the answer is framing without content", sent=True))
                return
        if response.buffered > response.room:
            self._pause()
        elif not self._reading_paused:
            self._enter("idle", self._timeouts.idle_s)
        response.wake()

    def _pause(self) -> None:
        if not self._reading_paused:
            self._reading_paused = True
            self._transport.pause_reading()
        self._enter("idle", NEVER)

    def _finish(self, *, reusable: bool) -> None:
        """The answer is whole: hand it over, and the connection back to the pool."""
        call, response = self._call, self._response
        if call is None or response is None:
            return
        self._stop_feeding()
        self._call = self._response = None
        call.complete()
        response.finish()
        keepalive_s = min(call.endpoint.keepalive_s, keepalive_hint_s(response.headers))
        if not reusable or self._writing_paused or keepalive_s <= 0 or self._transport.is_closing():
            self.close()
            return
        if self._host.waiting and _is_readable(self._fileno):
            # The next request would follow without the loop having had a chance to see a hang-up behind the answer.
            self.close()
            return
        if self._reading_paused:
            self._reading_paused = False
            self._transport.resume_reading()
        self._host.release(self, keepalive_s)

    def _enter(self, phase: str, after_s: float) -> None:
        """Begin a phase that may last `after_s`, or as long as the call as a whole may."""
        at = self.loop.time() + after_s
        if self._total_at < at:
            phase, at = "total", self._total_at
        self._phase = phase
        self._deadline.set(at)

    def _expired(self) -> None:
        if self._call is None:
            self.close()
            return
        timeouts = self._timeouts
        if self._phase in ("first_byte", "idle") and not self._graced and self.unread():
            self._graced = True  # it came in time, and it is we who are late
            self._deadline.set(self.loop.time() + _GRACE_S)
            return
        if self._phase == "sending":
            unsent = self._transport.get_write_buffer_size()
            if unsent < self._unsent:
                self._unsent = unsent
                self._enter("sending", timeouts.idle_s)
                return
            self._phase = "idle"
        after_s = {"first_byte": timeouts.first_byte_s, "idle": timeouts.idle_s, "total": timeouts.total_s}[self._phase]
        self.fail(TimedOut(self._phase, after_s, sent=True))


def _is_readable(fileno: int) -> bool:
    """Whether the socket has something for us: a hang-up or bytes that nobody asked for. Does not block."""
    if fileno < 0:
        return True
    poller = select.poll()
    poller.register(fileno, select.POLLIN)
    return bool(poller.poll(0))
