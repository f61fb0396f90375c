"""Watches a response's stream as its provider sends it."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from gateway.wire.answers import NO_SERVICES
from gateway.wire.responses.answers import CUT, Services, read_body, read_item, services_of
from gateway.wire.responses.events import ERROR, LAST, Event, payload, read_event
from gateway.wire.responses.raw import MALFORMED, encode, read_fields
from gateway.wire.responses.record import Record
from gateway.wire.responses.tools import units_of
from gateway.wire.responses.usage import read_usage
from gateway.wire.sse import with_data
from routing.money import NanoUsd, Usage, format_usd

_FAILED = frozenset(("response.failed", "response.cancelled"))
_FRAMING_TOKENS = 16
"""Of an item: what a model writes around it, at most."""
_SAID_IN_DELTAS = frozenset(("message", "reasoning", "function_call", "custom_tool_call"))
_QUIET = frozenset(("reasoning", "message"))
"""Items whose beginning shows nothing yet."""


class StreamObserver:
    """Watches the events of one stream. Changes none but the last, into which the cost goes."""

    __slots__ = (
        "_begun",
        "_called_tools",
        "_services",
        "_units",
        "_whole_bytes",
        "content_events",
        "cut",
        "done",
        "failed",
        "final",
        "outdated",
        "record",
        "reported",
        "service_tier",
        "services",
        "text_bytes",
        "usage",
    )

    def __init__(self, *, remember: bool = False) -> None:
        """`remember` what `gateway.wire.responses.ending` needs."""
        self.record: Record | None = Record() if remember else None
        self.usage: Usage | None = None
        self.reported: NanoUsd | None = None
        self.service_tier: str | None = None
        self.services: dict[str, int] = NO_SERVICES
        self._services: Services | None = None
        self._units: dict[str, str] = {}
        """Of tools whose calls do not tell theirs."""
        self.content_events = 0
        self.text_bytes = 0
        self._whole_bytes = 0
        """Of what comes in one piece, of several tokens: the names of calls, and items that have no deltas."""
        self.cut = False
        self.done = False
        """The event that ends the stream was seen."""
        self.failed = False
        self.outdated = False
        self.final: bytes | None = None
        """The whole response, as the last event had it."""
        self._begun = False
        self._called_tools = False

    @property
    def begun(self) -> bool:
        """Whether there is something to show: content, a tool at work, or an end without any."""
        return self._begun or self.content_events > 0 or self.done or self.failed

    @property
    def called_tools(self) -> bool:
        """Whether it opened a call of one of the client's tools."""
        return self._called_tools

    @property
    def complete(self) -> bool:
        """Whether the provider ended the stream as it should."""
        return self.done and not self.failed

    def counted_tokens(self, tokens_per_event: int) -> int:
        """Output tokens seen so far, at most."""
        if self.usage is not None:
            return self.usage.output_tokens
        return self.content_events * tokens_per_event + self._whole_bytes

    def observe(self, event: bytes) -> UsageEvent | None:
        """Take note of an event. Gives the last one, when it tells the usage; any other is relayed as it is."""
        data = payload(event)
        if not data or data == b"[DONE]":
            return None
        try:
            said = read_event(data)
        except MALFORMED:
            self.content_events += 1  # not ours to judge; it is counted as content, so that it is never free
            self.text_bytes += len(data)
            return None
        kind = said.type
        if self.record is not None:
            self.record.take(kind, data)
        if kind.endswith(".delta"):
            size = len(memoryview(said.delta)) - 2
            if size > 0:
                self.content_events += 1
                self.text_bytes += size
                self.outdated = True
            return None
        if kind == "response.output_item.added":
            self._item_added(said)
        elif kind == "response.output_item.done":
            self._item_done(said)
        elif kind in LAST:
            return self._last(event, data, said)
        elif kind == ERROR:
            self.failed = self.done = True
        elif kind == "response.created":
            self._created(said)
        elif memoryview(said.partial_image_b64):
            self.content_events += 1
        return None

    def _created(self, said: Event) -> None:
        try:
            self._units = units_of(read_body(said.response).tools)
        except MALFORMED:
            return

    def _item_added(self, said: Event) -> None:
        try:
            item = read_item(said.item)
        except MALFORMED:
            return
        self._whole_bytes += _FRAMING_TOKENS + len(memoryview(item.name))
        self._begun = self._begun or item.type not in _QUIET
        if item.type in ("function_call", "custom_tool_call"):
            self._called_tools = True
            self.content_events += 1
            self.text_bytes += len(memoryview(item.name))

    def _item_done(self, said: Event) -> None:
        try:
            item = read_item(said.item)
        except MALFORMED:
            return
        if item.type in _SAID_IN_DELTAS:
            return
        if item.type != "image_generation_call":  # its bytes are no tokens
            size = len(memoryview(said.item))
            self.content_events += 1
            self.text_bytes += size
            self._whole_bytes += size
        if item.type.endswith("_call"):
            if self._services is None:
                self._services = Services(self._units)
            self._services.add(item, said.item)
            self.services = self._services.counts

    def _last(self, event: bytes, data: bytes, said: Event) -> UsageEvent | None:
        self.done = True
        self.failed = self.failed or said.type in _FAILED
        self.final = bytes(said.response)
        try:
            response = read_body(said.response)
        except MALFORMED:
            return None
        self.cut = response.reason == CUT
        self.service_tier = response.service_tier
        services = services_of(response)
        if services:  # what was seen on the way counts too, if the end does not tell it
            names = {**self.services, **services}
            self.services = {name: services.get(name, self.services.get(name, 0)) for name in names}
        usage, self.reported = read_usage(response.usage)
        if usage is None:
            return None
        self.usage, self.outdated = usage, False
        return UsageEvent(event, data)


class UsageEvent(NamedTuple):
    """The event that ends a stream, with its usage."""

    event: bytes
    data: bytes
    """The event's payload."""

    @property
    def standalone(self) -> bool:
        """It never carries usage alone."""
        return False

    def with_cost(self, cost: NanoUsd) -> bytes:
        """The event with `response.usage.cost` in USD, exact to the nano-dollar; the rest of it as it came."""
        try:
            fields = read_fields(self.data)
            response = read_fields(fields["response"])
            usage = read_fields(response["usage"])
        except (*MALFORMED, KeyError):  # pragma: no cover -- it was read
            return self.event
        usage["cost"] = msgspec.Raw(format_usd(cost).encode())
        response["usage"] = msgspec.Raw(encode(usage))
        fields["response"] = msgspec.Raw(encode(response))
        return with_data(self.event, encode(fields))

    def without_usage(self, *, null: bool) -> bytes:
        """The event as it came: every response tells its usage."""
        return self.event
