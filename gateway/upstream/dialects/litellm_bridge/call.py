"""One call of the SDK on its way, as the gateway sees it: waiting, timed, answered, or given up."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from gateway.config.snapshot import Endpoint, Timeouts
from gateway.upstream.awaited import AwaitedCall
from gateway.upstream.dialects.litellm_bridge.failures import Headers
from gateway.upstream.dialects.litellm_bridge.line import Line
from gateway.upstream.dialects.litellm_bridge.response import BridgeResponse
from gateway.upstream.transport import Aborted, TimedOut, TransportError

if TYPE_CHECKING:
    from gateway.upstream.dialects.litellm_bridge.network import Watch

_now_s = time.monotonic
"""Both sides of a call read it, in their threads."""


class BridgeCall(AwaitedCall[BridgeResponse]):
    """Implements `gateway.upstream.transport.Call`, and is its line's listener. `response` has one caller at a time."""

    __slots__ = (
        "_begun_s",
        "_fed_s",
        "_on_end",
        "_started_s",
        "_stop",
        "_timer",
        "_watch",
        "endpoint",
        "finished",
        "line",
        "timeouts",
        "unread",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        endpoint: Endpoint,
        timeouts: Timeouts,
        on_end: Callable[[BridgeCall], None],
    ) -> None:
        """`on_end` is told when nothing more can happen to it."""
        super().__init__(loop)
        self.endpoint = endpoint
        self.timeouts = timeouts
        self.finished = False
        """Nothing more can happen to it: answered in full, failed or aborted."""
        self.unread = 0
        self.line = Line(loop, self)
        self._begun_s: float | None = None
        """When the SDK's thread took it; None while the SDK is being loaded."""
        self._fed_s = 0.0
        self._on_end = on_end
        self._started_s = _now_s()
        self._stop: Callable[[], None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._watch: Watch | None = None
        self._arm()

    # --- for the exchange ---

    @property
    def sent(self) -> bool:
        """Whether the provider may have seen it."""
        return self._response is not None or (self._watch is not None and self._watch.sent_s is not None)

    @property
    def connection_reused(self) -> bool:
        """Whether it went over a connection that was open already."""
        return self._watch is not None and self._watch.sent_s is not None and self._watch.reused

    def arrived(self) -> int:
        """Bytes of the answer that nobody has looked at."""
        return 0 if self._response is None else self._response.buffered

    def abort(self) -> None:
        """Give up: the SDK's connection is closed at once. One that finished stays as it is."""
        if not self.finished:
            self.unread = self.arrived()
            self.failed(Aborted("the call was given up", sent=self.sent))

    # --- the bridge's side ---

    def begun(self, watch: Watch, stop: Callable[[], None]) -> None:
        """The SDK's thread has it; `stop` ends it there."""
        self._begun_s = _now_s()
        self._watch = watch
        self._stop = stop
        self._arm()

    # --- the line's side ---

    def moved(self) -> None:
        """Sent, or answered: another time-out rules."""
        if not self.finished:
            self._arm()

    def answered(self, status: int, headers: Headers) -> None:
        """The answer's head is there."""
        if not self.finished:
            self._response = BridgeResponse(self._loop, self.line, status, headers)
            self._fed_s = _now_s()
            self._arm()
            self._wake()

    def fed(self, data: bytes) -> None:
        """Bytes of the answer."""
        if not self.finished and self._response is not None:
            self._fed_s = _now_s()
            self._response.feed(data)

    def ended(self) -> None:
        """The answer is whole."""
        if not self.finished and self._response is not None:
            self._response.finish()
            self._finish()

    def failed(self, error: TransportError) -> None:
        """It ends without an answer, or with a broken one."""
        if self.finished:
            return
        self._failure = error
        if self._response is not None:
            self._response.fail(error, at_once=isinstance(error, Aborted))
        self._finish()
        self._wake()

    def _finish(self) -> None:
        self.finished = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._stop is not None and self._failure is not None:
            self._stop()
        self._on_end(self)

    # --- time-outs ---

    def _arm(self) -> None:
        """Look again when the time-out that rules now may have run out."""
        if self._timer is not None:
            self._timer.cancel()
        at_s, _ = self._due()
        self._timer = self._loop.call_later(max(0.0, at_s - _now_s()), self._check)

    def _check(self) -> None:
        self._timer = None
        at_s, expired = self._due()
        if _now_s() >= at_s:
            self.failed(expired)
        else:
            self._arm()

    def _due(self) -> tuple[float, TimedOut]:
        """When the next time-out runs out as things stand, in monotonic seconds, and which."""
        phase, base_s, after_s = self._phase()
        total_s = self._started_s + self.timeouts.total_s
        if total_s <= base_s + after_s:
            return total_s, TimedOut("total", self.timeouts.total_s, sent=self.sent)
        return base_s + after_s, TimedOut(phase, after_s, sent=self.sent)

    def _phase(self) -> tuple[str, float, float]:
        """The phase that it is in, since when, and how long that may last."""
        timeouts, watch = self.timeouts, self._watch
        if self._begun_s is None or watch is None:
            return "connect", self._started_s, timeouts.connect_s
        if watch.last_byte_s is None and self._response is None:
            return "first_byte", watch.sent_s or self._begun_s, timeouts.first_byte_s
        if self.line.paused:  # the reader is slow, not the provider
            return "idle", _now_s(), timeouts.idle_s
        return "idle", max(watch.last_byte_s or 0.0, self._fed_s, self.line.resumed_s), timeouts.idle_s
