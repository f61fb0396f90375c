"""Answers of the OpenAI wire: whole ones, and streams observed event by event.

Answers are relayed as they came. What is read of them: usage, service tier, how much text there was (for estimates
when a provider sends no usage), and how a stream ended.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

import msgspec

from gateway.wire.sse import event_data, with_data
from gateway.wire.usage import WireUsage, normalise, reported_cost
from routing.money import NanoUsd, Usage, format_usd

Fields = dict[str, msgspec.Raw]

_encode = msgspec.json.encode
_fields_decoder = msgspec.json.Decoder(Fields)
_NO_ERROR = (b"", b"null")
NO_SERVICES: Final[dict[str, int]] = {}
"""Of a provider that runs nothing but the model. Nobody writes to it."""
_LENGTH = b'"length"'


def _is_empty(raw: msgspec.Raw) -> bool:
    return len(memoryview(raw)) <= 4 and bytes(raw) in (b"", b"null", b'""', b"[]")


class _Answer(msgspec.Struct):
    usage: WireUsage | None = None
    service_tier: str | None = None
    choices: msgspec.Raw = msgspec.Raw(b"")
    data: msgspec.Raw = msgspec.Raw(b"")
    error: msgspec.Raw = msgspec.Raw(b"")

    @property
    def failed(self) -> bool:
        return bytes(self.error) not in _NO_ERROR and _is_empty(self.choices) and _is_empty(self.data)


class WholeAnswer(NamedTuple):
    """What was read of an answer that came in one piece."""

    usage: Usage | None
    service_tier: str | None
    text_bytes: int
    """Size of the generated part, for an estimate."""
    failed: bool = False
    """True for an error in the guise of an answer (status 200, `error` and nothing generated), as OpenRouter sends."""
    choices: msgspec.Raw = msgspec.Raw(b"")
    reported: NanoUsd | None = None
    """What the provider says that it costs."""
    services: Mapping[str, int] | None = None
    """Calls of what the provider ran beside generating, by name: `web_search`."""

    @property
    def cut(self) -> bool:
        """Whether an answer reached its bound on tokens: it would have become longer."""
        return _LENGTH in bytes(self.choices)  # inside of texts the quotes are escaped


class MalformedAnswer(ValueError):
    """A 2xx answer that is no JSON object, or one that has nothing of an answer."""


_answer_decoder = msgspec.json.Decoder(_Answer)


def read_answer(body: bytes) -> WholeAnswer:
    """Read a whole answer. Raises MalformedAnswer when it is none."""
    try:
        answer = _answer_decoder.decode(body)
    except msgspec.ValidationError:
        return _read_odd_answer(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedAnswer(str(error)) from None
    choices, usage = answer.choices, normalise(answer.usage)
    text_bytes = len(memoryview(choices))
    if not text_bytes and usage is None and not (bytes(answer.data) or bytes(answer.error)):
        raise MalformedAnswer("it has neither choices nor data")
    return WholeAnswer(usage, answer.service_tier, text_bytes, answer.failed, choices, reported_cost(answer.usage))


_FILTERED = re.compile(rb'"finish_reason"\s*:\s*"content_filter"')  # quotes inside of texts are escaped
_CONTENT = re.compile(rb'"content"\s*:\s*"[^"]')


def is_filtered(choices: msgspec.Raw) -> bool:
    """Whether a whole answer was taken away by the provider's filter: nothing of it is left."""
    written = bytes(choices)
    return _FILTERED.search(written) is not None and _CONTENT.search(written) is None


def _read_odd_answer(body: bytes) -> WholeAnswer:
    """An object whose usage does not look as it should: still the provider's answer, without usage."""
    try:
        fields = _fields_decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedAnswer(str(error)) from None
    return WholeAnswer(None, None, len(memoryview(fields.get("choices", msgspec.Raw(b"")))))


class _Delta(msgspec.Struct):
    content: msgspec.Raw = msgspec.Raw(b"")
    reasoning_content: msgspec.Raw = msgspec.Raw(b"")
    reasoning: msgspec.Raw = msgspec.Raw(b"")
    reasoning_details: msgspec.Raw = msgspec.Raw(b"")
    refusal: msgspec.Raw = msgspec.Raw(b"")
    audio: msgspec.Raw = msgspec.Raw(b"")
    function_call: msgspec.Raw = msgspec.Raw(b"")
    tool_calls: msgspec.Raw = msgspec.Raw(b"")


class _Choice(msgspec.Struct):
    delta: _Delta | None = None
    text: msgspec.Raw = msgspec.Raw(b"")
    finish_reason: str | None = None


class _GroqExtra(msgspec.Struct):
    usage: WireUsage | None = None


class _Chunk(msgspec.Struct):
    choices: list[_Choice] | None = None
    usage: WireUsage | None = None
    service_tier: str | None = None
    error: msgspec.Raw = msgspec.Raw(b"")
    x_groq: _GroqExtra | None = None


_chunk_decoder = msgspec.json.Decoder(_Chunk)


class StreamObserver:
    """Watches the events of one stream. It changes none but the usage chunk, and that only as the contract says."""

    __slots__ = (
        "_answers",
        "_events_reported",
        "_finished",
        "_opening_bytes",
        "_opening_reported",
        "_remember",
        "closings",
        "content_events",
        "cut",
        "done",
        "failed",
        "outdated",
        "reported",
        "sample",
        "service_tier",
        "services",
        "text_bytes",
        "usage",
    )

    def __init__(self, answers: int, *, remember: bool = False) -> None:
        """`answers` is how many the stream carries (`n`). `remember` what `gateway.wire.ending` needs."""
        self._answers = answers
        self._finished = 0
        self._events_reported = 0
        self._opening_bytes = 0
        """Of events that open a tool call: its name and the provider's marks come in one piece, of several tokens."""
        self._opening_reported = 0
        self._remember = remember
        self.sample = b""
        """The payload of the latest event with choices."""
        self.closings: list[bytes] = []
        """The payloads that carried finish reasons."""
        self.usage: Usage | None = None
        self.reported: NanoUsd | None = None
        """What the provider says that it costs, with the usage."""
        """As last reported."""
        self.outdated = False
        """Content came after the usage that was last reported: some providers report as they go."""
        self.service_tier: str | None = None
        self.services: dict[str, int] = NO_SERVICES
        self.content_events = 0
        """Events that carried generated text, tool calls or reasoning."""
        self.text_bytes = 0
        """Bytes of these, as JSON."""
        self.cut = False
        """An answer reached its bound on tokens: it would have become longer."""
        self.done = False
        """`[DONE]` was seen."""
        self.failed = False
        """The provider reported an error inside the stream."""

    @property
    def begun(self) -> bool:
        """Whether there is something to show: content, or an end without any."""
        return self.content_events > 0 or self._finished > 0 or self.done or self.failed

    @property
    def called_tools(self) -> bool:
        """Whether it opened a tool call."""
        return self._opening_bytes > 0

    @property
    def complete(self) -> bool:
        """Whether the provider ended the stream as it should."""
        return (self.done or self._finished >= self._answers) and not self.failed

    def counted_tokens(self, tokens_per_event: int) -> int:
        """Output tokens seen so far, at most: those that the provider has reported already, and what came since."""
        unreported = (self.content_events - self._events_reported) * tokens_per_event
        unreported += self._opening_bytes - self._opening_reported
        return unreported if self.usage is None else self.usage.output_tokens + unreported

    def observe(self, event: bytes) -> UsageChunk | None:
        """Take note of an event. Gives the usage chunk when this is the one; any other event is relayed as it is."""
        data = event_data(event)
        if not data:
            return None
        if data == b"[DONE]":
            self.done = True
            return None
        try:
            chunk = _chunk_decoder.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            self.content_events += 1  # not ours to judge; it is counted as content, so that it is never free
            self.text_bytes += len(data)
            return None
        if chunk.choices:
            finished = self._finished
            self._observe_choices(chunk.choices)
            if self._remember:
                self.sample = data
                if self._finished > finished:
                    self.closings.append(data)
        if chunk.service_tier is not None:
            self.service_tier = chunk.service_tier
        failed = bytes(chunk.error) not in _NO_ERROR
        if failed:
            self.failed = True
        if chunk.usage is None and chunk.x_groq is None:
            return None
        usage = normalise(chunk.usage) or (normalise(chunk.x_groq.usage) if chunk.x_groq else None)
        if usage is None:
            return None
        self.usage, self.reported = usage, reported_cost(chunk.usage)
        self._events_reported = self.content_events
        self._opening_reported = self._opening_bytes
        self.outdated = False
        return UsageChunk(event, data, standalone=not chunk.choices and not failed)

    def _observe_choices(self, choices: list[_Choice]) -> None:
        for choice in choices:
            if choice.finish_reason is not None:
                self._finished += 1
                if choice.finish_reason == "length":
                    self.cut = True
            delta = choice.delta
            size = _text_size(choice.text)
            if delta is not None:
                size += (
                    _text_size(delta.content)
                    + _text_size(delta.tool_calls)
                    + _text_size(delta.reasoning_content)
                    + _text_size(delta.reasoning)
                    + _text_size(delta.reasoning_details)
                    + _text_size(delta.refusal)
                    + _text_size(delta.audio)
                    + _text_size(delta.function_call)
                )
                calls = memoryview(delta.tool_calls)
                if len(calls) > 2 and b'"name"' in bytes(calls):
                    self._opening_bytes += len(calls)
            if size:
                self.content_events += 1
                self.text_bytes += size
                self.outdated = True


def _text_size(raw: msgspec.Raw) -> int:
    """Bytes of a raw JSON value that carry text: 0 for absent, null and the empty string."""
    return 0 if _is_empty(raw) else len(memoryview(raw)) - 2


class UsageChunk(NamedTuple):
    """The event in which a stream reports its usage."""

    event: bytes
    data: bytes
    """The event's payload."""
    standalone: bool
    """True when the chunk carries usage alone: it is left out when the client did not ask for usage."""

    def without_usage(self, *, null: bool) -> bytes:
        """The event as if usage had not been asked for; `null`: as if it were still to come, in the last one."""
        try:
            fields = _fields_decoder.decode(self.data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return self.event
        if null:
            fields["usage"] = msgspec.Raw(b"null")
        else:
            fields.pop("usage", None)
        return with_data(self.event, _encode(fields))

    def with_cost(self, cost: NanoUsd) -> bytes:
        """The event with `usage.cost` in USD, exact to the nano-dollar; the rest of it as it came."""
        try:
            fields = _fields_decoder.decode(self.data)
            usage = _fields_decoder.decode(fields.get("usage", b"null"))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return self.event  # no usage of its own, or names that are no UTF-8: passed on without the cost
        usage["cost"] = msgspec.Raw(format_usd(cost).encode())
        fields["usage"] = msgspec.Raw(_encode(usage))
        return with_data(self.event, _encode(fields))
