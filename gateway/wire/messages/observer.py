"""A stream of Anthropic's own events, watched as it passes.

Nothing is put together and nothing changed: an event of text costs a look at its first bytes and one partial decoding.
"""

from __future__ import annotations

from typing import Final

import msgspec

from gateway.wire.answers import NO_SERVICES
from gateway.wire.messages.reasons import FINISH_REASONS
from gateway.wire.messages.usage import AnthropicUsage, money_usage, service_tier_of, services_of
from gateway.wire.sse import event_data
from routing.money import NanoUsd, Usage

_MALFORMED: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_ABSENT: Final = msgspec.Raw(b"")
_DELTA: Final = b"event: content_block_delta\ndata: {"
_DATA: Final = len(b"event: content_block_delta\ndata: ")
_CALLS: Final = ("tool_use", "server_tool_use", "mcp_tool_use")
_LENGTH: Final = "length"


class _Delta(msgspec.Struct, gc=False):
    """What a delta adds to a block, whichever kind it is of; and why a message stopped."""

    text: msgspec.Raw = _ABSENT
    partial_json: msgspec.Raw = _ABSENT
    thinking: msgspec.Raw = _ABSENT
    stop_reason: str | None = None


class _Said(msgspec.Struct):
    """An event of the most frequent kind."""

    delta: _Delta


class _Block(msgspec.Struct):
    type: str = ""
    name: str = ""
    text: msgspec.Raw = _ABSENT
    thinking: msgspec.Raw = _ABSENT
    data: msgspec.Raw = _ABSENT


class _Message(msgspec.Struct):
    usage: AnthropicUsage | None = None


class _Event(msgspec.Struct):
    type: str
    index: int = 0
    delta: _Delta | None = None
    content_block: msgspec.Raw = _ABSENT
    message: _Message | None = None
    usage: AnthropicUsage | None = None


_said_decoder = msgspec.json.Decoder(_Said)
_event_decoder = msgspec.json.Decoder(_Event)
_block_decoder = msgspec.json.Decoder(_Block)


class MessagesObserver:
    """Watches the events of one stream. Its attributes are those of `gateway.wire.answers.StreamObserver`."""

    __slots__ = (
        "_events_reported",
        "_opening_bytes",
        "_opening_reported",
        "_reported",
        "called_tools",
        "content_events",
        "cut",
        "done",
        "failed",
        "open_blocks",
        "outdated",
        "reported",
        "service_tier",
        "services",
        "started",
        "stopped",
        "text_bytes",
        "usage",
    )

    def __init__(self) -> None:
        self._reported: AnthropicUsage | None = None
        """What the events have said of the usage, together."""
        self._events_reported = 0
        self._opening_bytes = 0
        """Of events that open a call: its name comes in one piece, of several tokens."""
        self._opening_reported = 0
        self.started = False
        """`message_start` was seen."""
        self.open_blocks: list[int] = []
        """Indices of the blocks that have begun and not ended."""
        self.stopped = False
        """It was told why the message stopped: nothing comes after that."""
        self.usage: Usage | None = None
        """As reported so far. The beginning tells the input, the end the output."""
        self.reported: NanoUsd | None = None
        """Never told here."""
        self.services: dict[str, int] = NO_SERVICES
        self.outdated = False
        self.service_tier: str | None = None
        self.content_events = 0
        self.text_bytes = 0
        self.called_tools = False
        self.cut = False
        self.done = False
        """`message_stop` was seen."""
        self.failed = False

    @property
    def begun(self) -> bool:
        """Whether there is something to show: content, or an end without any."""
        return self.content_events > 0 or self.stopped or self.done or self.failed

    @property
    def complete(self) -> bool:
        """Whether the provider ended the stream as it should."""
        return self.done and not self.failed

    def counted_tokens(self, tokens_per_event: int) -> int:
        """Output tokens seen so far, at most: those that the provider has reported already, and what came since."""
        unreported = (self.content_events - self._events_reported) * tokens_per_event
        unreported += self._opening_bytes - self._opening_reported
        return unreported if self.usage is None else self.usage.output_tokens + unreported

    def observe(self, event: bytes) -> None:
        """Take note of an event. Gives None always: the client gets every event as it came."""
        if event.startswith(_DELTA) and event.endswith(b"}\n\n"):  # the usual event
            try:
                self._delta(_said_decoder.decode(memoryview(event)[_DATA:-2]).delta)
            except _MALFORMED:
                pass  # of several lines, maybe
            else:
                return
        data = event_data(event)
        if not data:
            return
        try:
            self._take(_event_decoder.decode(data))
        except _MALFORMED:
            self.content_events += 1  # not ours to judge; it is counted as content, so that it is never free
            self.text_bytes += len(data)

    def _delta(self, delta: _Delta) -> None:
        size = len(memoryview(delta.text)) or len(memoryview(delta.partial_json)) or len(memoryview(delta.thinking))
        if size > 2:
            self.content_events += 1
            self.text_bytes += size - 2
            self.outdated = True

    def _take(self, event: _Event) -> None:
        kind = event.type
        if kind == "content_block_delta":
            if event.delta is not None:
                self._delta(event.delta)
        elif kind == "content_block_start":
            self.open_blocks.append(event.index)
            self._opened(event.content_block)
        elif kind == "content_block_stop":
            if event.index in self.open_blocks:
                self.open_blocks.remove(event.index)
        elif kind == "message_start":
            self.started = True
            if event.message is not None:
                self._take_usage(event.message.usage)
        elif kind == "message_delta":
            if event.delta is not None and event.delta.stop_reason is not None:
                self.stopped = True
                self.cut = FINISH_REASONS.get(event.delta.stop_reason) == _LENGTH
            self._take_usage(event.usage)
        elif kind == "message_stop":
            self.done = True
        elif kind == "error":
            self.failed = True

    def _opened(self, raw: msgspec.Raw) -> None:
        """A block has begun. What was generated of it comes later, but for a call's name and hidden thoughts."""
        block = _block_decoder.decode(raw)
        if block.type in _CALLS:
            size = len(memoryview(raw))
            self._opening_bytes += size
            self.called_tools = self.called_tools or block.type == "tool_use"
            if block.type == "server_tool_use":  # until the usage tells
                self.services = {**self.services, block.name: self.services.get(block.name, 0) + 1}
        else:
            size = sum(max(0, len(memoryview(text)) - 2) for text in (block.text, block.thinking, block.data))
        if size:
            self.content_events += 1
            self.text_bytes += size
            self.outdated = True

    def _take_usage(self, said: AnthropicUsage | None) -> None:
        if said is None:
            return
        known = self._reported = said if self._reported is None else self._reported.updated(said)
        usage = money_usage(known)
        if usage is None:
            return
        self.usage = usage
        if bytes(known.server_tool_use) != b"null" and (self.stopped or not self.services):
            self.services = services_of(known)
        if known.service_tier is not None:
            self.service_tier = service_tier_of(known)
        self._events_reported = self.content_events
        self._opening_reported = self._opening_bytes
        self.outdated = False
