"""One connection to Valkey or Redis, for all calls of a process.

The commands of one tick of the loop leave in one write; replies are parsed by hiredis on the protocol itself. Scripts
are called by their digest and loaded with every connection, and again when the server has forgotten them. Nothing is
ever tried again here: what was sent may have been applied, and only the caller knows what that means.

A call that is not answered in time, or whose connection breaks, gets `StoreUnavailable` as its reply. What is answered
later is dropped. The connection is made anew in the background, later and later, with jitter.
"""

from __future__ import annotations

import asyncio
import logging
import random
import ssl
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, cast
from urllib.parse import parse_qs, unquote, urlsplit

import hiredis

from gateway.store.protocol import StoreUnavailable
from gateway.store.valkey.scripts import Script

_log = logging.getLogger("farebox.store")

Sink = Callable[[Any], None]
"""Is called with a reply; where that is late, with StoreUnavailable first."""
Part = str | bytes | int | float

FIRST_RETRY_S: Final = 0.05
LAST_RETRY_S: Final = 2.0
TICKS: Final = 4
"""How often in `timeout_s` it is looked whether calls are late."""
DEAD_AFTER: Final = 3
"""A connection on which nothing has come for so many time-outs, though calls wait, is given up."""
MAX_UNSENT_BYTES: Final = 8_388_608

_pack: Callable[[tuple[Part, ...]], bytes] = hiredis.pack_command  # type: ignore[assignment]  # its stub wants tuples of one


class Address(NamedTuple):
    """Where the server is and how to log in."""

    host: str
    port: int
    db: int
    user: str
    password: str
    tls: bool
    ca_file: str
    """The system's trust store when empty."""

    def __repr__(self) -> str:
        return f"{self.host}:{self.port}/{self.db}"


def parse_url(url: str) -> Address:
    """Read `valkey://[user:password@]host[:port][/db]`; `valkeys` or `rediss` for TLS, `?ca_file=` for a private CA.

    Raises ValueError, which does not quote the URL: it may hold a password.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("valkey", "valkeys", "redis", "rediss"):
        raise ValueError("the store's URL must begin with valkey://, valkeys://, redis:// or rediss://")
    db = parts.path.strip("/") or "0"
    if not db.isdecimal():
        raise ValueError("the path of the store's URL must be the number of a database")
    return Address(
        parts.hostname or "127.0.0.1",
        parts.port or 6379,
        int(db),
        unquote(parts.username or ""),
        unquote(parts.password or ""),
        parts.scheme in ("valkeys", "rediss"),
        parse_qs(parts.query).get("ca_file", [""])[0],
    )


class Greeting(NamedTuple):
    """What a server says of itself when a connection is made."""

    run_id: str
    """Changes whenever the server starts."""
    role: str
    """`master`, or `slave`, which cannot be written to."""


class Client:
    """Keeps a connection. Make it in the loop that it is used in, then `start` it."""

    def __init__(self, url: str, timeout_s: float, scripts: Sequence[Script]) -> None:
        self.address = parse_url(url)
        self.timeout_s = timeout_s
        self.greeting: Greeting | None = None
        self.last_error = "not connected yet"
        self.on_connected: Callable[[Greeting], None] = lambda greeting: None
        """Called when a connection is ready, before any call can use it."""
        self.on_lost: Callable[[], None] = lambda: None
        """Called when a connection was lost, after its calls have failed."""
        self.on_reply: Callable[[list[Any]], None] = lambda reply: None
        """Called with the last reply of each read, when it is an array, before the callers get that read's replies."""
        self._scripts = scripts
        self._loop = asyncio.get_running_loop()
        self._connection: _Connection | None = None
        self._ready: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._tls = _tls_context(self.address) if self.address.tls else None

    @property
    def connected(self) -> bool:
        """Whether calls can be sent."""
        return self._connection is not None

    def start(self) -> None:
        """Begin to connect. Returns at once."""
        if self._task is None:
            self._task = self._loop.create_task(self._keep_connected(), name="valkey")

    async def ready(self) -> None:
        """Return when there is a connection. Raises StoreUnavailable when there is none within the time-out."""
        self.start()
        if self._connection is not None:
            return
        if self._ready is None:
            self._ready = self._loop.create_future()
        try:
            async with asyncio.timeout(self.timeout_s):
                await asyncio.shield(self._ready)
        except TimeoutError:
            raise StoreUnavailable(f"{self.address!r}: {self.last_error}") from None

    def call(self, script: Script, key: str, args: Sequence[Part]) -> asyncio.Future[Any]:
        """Call a script. The future's result is the reply; an exception as its result is an error reply, or a
        StoreUnavailable when the connection broke or no answer came in time. Cancelling it calls nothing off.

        Raises StoreUnavailable when it cannot be sent: then it certainly was not applied.
        """
        connection = self._connection
        if connection is None or connection.congested:
            raise StoreUnavailable(f"{self.address!r}: {self.last_error}")
        future: asyncio.Future[Any] = self._loop.create_future()
        connection.send(_pack((b"EVALSHA", script.sha, 1, key, *args)), future.set_result)
        return future

    def post(self, script: Script, key: str, args: Sequence[Part], sink: Sink) -> bool:
        """Call a script without waiting; False, and nothing sent, without a connection."""
        connection = self._connection
        if connection is None:
            return False
        connection.send(_pack((b"EVALSHA", script.sha, 1, key, *args)), sink)
        return True

    async def command(self, *parts: Part) -> Any:
        """Send any command. Raises StoreUnavailable, or hiredis.ReplyError."""
        connection = self._connection
        if connection is None:
            raise StoreUnavailable(f"{self.address!r}: {self.last_error}")
        future: asyncio.Future[Any] = self._loop.create_future()
        connection.send(_pack(parts), future.set_result)
        reply = await future
        if isinstance(reply, Exception):
            raise reply
        return reply

    async def close(self) -> None:
        """Close the connection; waiting calls fail. Idempotent."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None

    async def _keep_connected(self) -> None:
        retry_s = FIRST_RETRY_S
        while True:
            connection: _Connection | None = None
            try:
                connection = await self._connect()
                retry_s = FIRST_RETRY_S
                await connection.lost
            except (OSError, StoreUnavailable, hiredis.HiredisError) as error:
                self.last_error = _why(error)
            finally:
                self._forget(connection)
            await asyncio.sleep(retry_s * random.uniform(0.5, 1.0))  # noqa: S311 -- jitter, no secret
            retry_s = min(2 * retry_s, LAST_RETRY_S)

    async def _connect(self) -> _Connection:
        """A connection that is logged in and knows our scripts."""
        connection = _Connection(self)
        address = self.address
        try:
            async with asyncio.timeout(max(self.timeout_s, 1.0)):
                await self._loop.create_connection(
                    lambda: connection,
                    address.host,
                    address.port,
                    ssl=self._tls,
                    server_hostname=address.host if self._tls else None,
                )
                self.greeting = greeting = await self._greet(connection)
        except BaseException:
            connection.abort("the connection could not be set up")
            raise
        self.on_connected(greeting)
        self._connection = connection
        if self._ready is not None:
            self._ready.set_result(None)
            self._ready = None
        return connection

    async def _greet(self, connection: _Connection) -> Greeting:
        address = self.address
        commands: list[tuple[Part, ...]] = []
        if address.password:
            commands.append(("AUTH", *((address.user,) if address.user else ()), address.password))
        if address.db:
            commands.append(("SELECT", address.db))
        commands += [("SCRIPT", "LOAD", script.text) for script in self._scripts]
        commands += [("INFO", "server"), ("INFO", "replication")]
        futures = [connection.ask(_pack(command)) for command in commands]
        replies = await asyncio.gather(*futures)
        for reply in replies:
            if isinstance(reply, Exception):
                raise reply
        info = dict(line.split(":", 1) for line in (replies[-2] + replies[-1]).decode().splitlines() if ":" in line)
        return Greeting(info.get("run_id", ""), info.get("role", ""))

    def _forget(self, connection: _Connection | None) -> None:
        was = self._connection
        self._connection = None
        if connection is not None:
            connection.abort("closed")
        if was is not None:
            self.on_lost()

    def load_scripts(self, connection: _Connection) -> None:
        """Give the scripts to a server that has forgotten them."""
        for script in self._scripts:
            connection.send(_pack(("SCRIPT", "LOAD", script.text)), _ignore)


class _Connection(asyncio.Protocol):
    """One TCP connection: commands out, replies in, in the same order."""

    def __init__(self, client: Client) -> None:
        self.lost: asyncio.Future[None] = client._loop.create_future()
        self.congested = False
        self._client = client
        self._loop = client._loop
        self._transport: asyncio.Transport | None = None
        self._reader = hiredis.Reader()
        self._out: list[bytes] = []
        self._waiting: deque[tuple[Sink, bytes | None]] = deque()
        self._sent = 0
        self._received = 0
        self._warned = 0
        """So many calls, of all that were sent, have been answered or told that they are late."""
        self._marks: deque[int] = deque(maxlen=TICKS)
        """`_sent` at the latest ticks."""
        self._silent_ticks = 0
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start to look for late calls; nobody does once it was given up before it was made."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one without saying so
        if self.lost.done():
            self._transport.abort()
            return
        self._transport.set_write_buffer_limits(high=MAX_UNSENT_BYTES)
        self._tick()

    def send(self, command: bytes, sink: Sink) -> None:
        """Send with everything else of this tick; `sink` gets the reply."""
        out = self._out
        if not out:
            self._loop.call_soon(self._flush)
        out.append(command)
        self._waiting.append((sink, command))
        self._sent += 1

    def ask(self, command: bytes) -> asyncio.Future[Any]:
        """Send a command of the connection's own."""
        future: asyncio.Future[Any] = self._loop.create_future()
        self.send(command, future.set_result)
        return future

    def data_received(self, data: bytes) -> None:
        """Hand each reply to whoever waits for it."""
        self._silent_ticks = 0
        reader = self._reader
        reader.feed(data)
        replies: list[Any] = []
        try:
            while (reply := reader.gets()) is not False:
                replies.append(reply)
        except hiredis.ProtocolError as error:
            self.abort(f"what came is no answer of a Valkey: {error}")
            return
        if len(replies) > len(self._waiting):
            self.abort("more answers than questions came")
            return
        if replies and type(replies[-1]) is list:
            self._client.on_reply(replies[-1])
        self._received += len(replies)
        for reply in replies:
            sink, command = self._waiting.popleft()
            if command is not None and type(reply) is hiredis.ReplyError and str(reply).startswith("NOSCRIPT"):
                self._again(sink, command)
            else:
                _deliver(sink, reply)

    def pause_writing(self) -> None:
        """The server does not read."""
        self.congested = True
        self._client.last_error = "the server does not read what it is sent"

    def resume_writing(self) -> None:
        """The server reads again."""
        self.congested = False

    def connection_lost(self, error: Exception | None) -> None:
        """Fail all that waits."""
        self.abort(_why(error) if error is not None else "the server closed the connection")

    def abort(self, reason: str) -> None:
        """Close at once and fail all that waits. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
        if self._transport is not None:
            self._transport.abort()
        if self.lost.done():
            return
        self.lost.set_result(None)
        client = self._client
        client.last_error = reason
        if client._connection is self:
            client._connection = None
            client.on_lost()
        waiting, self._waiting = self._waiting, deque()
        for sink, _ in waiting:
            _deliver(sink, StoreUnavailable(f"{client.address!r}: {reason}"))

    def _flush(self) -> None:
        out, self._out = self._out, []
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(b"".join(out) if len(out) > 1 else out[0])

    def _again(self, sink: Sink, command: bytes) -> None:
        """The server has forgotten our scripts (SCRIPT FLUSH): nothing was done, so the call is sent again, once."""
        self._client.load_scripts(self)
        self._out.append(command)
        self._waiting.append((sink, None))
        self._sent += 1

    def _tick(self) -> None:
        """Tell calls that have waited for `timeout_s` that they are late: one timer for all."""
        marks = self._marks
        if len(marks) == TICKS and (late := marks[0] - max(self._received, self._warned)) > 0:
            first = self._warned - self._received if self._warned > self._received else 0
            error = StoreUnavailable(f"{self._client.address!r}: no answer within {self._client.timeout_s:g} s")
            for sink, _ in [self._waiting[index] for index in range(first, first + late)]:
                _deliver(sink, error)
            self._warned = marks[0]
        marks.append(self._sent)
        self._silent_ticks = self._silent_ticks + 1 if self._waiting else 0
        if self._silent_ticks > DEAD_AFTER * TICKS:
            self.abort(f"no answer within {DEAD_AFTER * self._client.timeout_s:g} s")
            return
        self._timer = self._loop.call_later(self._client.timeout_s / TICKS, self._tick)


def _deliver(sink: Sink, reply: Any) -> None:
    try:
        sink(reply)
    except asyncio.InvalidStateError:
        pass  # the caller was cancelled, or was told before that it is late


def _ignore(reply: Any) -> None:
    pass


def _why(error: BaseException) -> str:
    return str(error) or type(error).__name__


def _tls_context(address: Address) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=address.ca_file or None)
