"""Answers of the APIs beside chat: what they say of their bill. Pure.

Each says it in words of its own: `usage` with tokens (images, transcriptions, speech events, rerankers), with seconds
(`{"type": "duration"}`) or not at all (`duration` of a verbose transcription), `meta.billed_units` (Cohere).
"""

from __future__ import annotations

import math
from typing import Any, Final

import msgspec

from gateway.wire.answers import MalformedAnswer, StreamObserver, WholeAnswer
from gateway.wire.assemble import Assembler
from gateway.wire.ending import Stream
from gateway.wire.sse import event_data
from gateway.wire.usage import MAX_COUNT
from routing.money import NanoUsd, Usage

_Count = int | float | None


class _Details(msgspec.Struct):
    text_tokens: _Count = None
    image_tokens: _Count = None
    audio_tokens: _Count = None
    cached_tokens: _Count = None


class _Used(msgspec.Struct):
    """`usage`, in whichever words; `billed_units` too."""

    input_tokens: _Count = None
    output_tokens: _Count = None
    prompt_tokens: _Count = None
    completion_tokens: _Count = None
    total_tokens: _Count = None
    seconds: _Count = None
    search_units: _Count = None
    input_tokens_details: _Details | None = None
    input_token_details: _Details | None = None
    output_tokens_details: _Details | None = None


class _Meta(msgspec.Struct):
    billed_units: _Used | None = None
    tokens: _Used | None = None


class _Answer(msgspec.Struct):
    type: str | None = None
    usage: _Used | None = None
    meta: _Meta | None = None
    duration: _Count = None
    data: list[msgspec.Raw] | None = None
    error: msgspec.Raw = msgspec.Raw(b"")
    object: str | None = None


_decoder = msgspec.json.Decoder(_Answer)
_NO_DETAILS: Final = _Details()
_NO_ERROR: Final = (b"", b"null")
_DONE: Final = (".completed", ".done")
_IMAGES_MADE: Final = ("image_generation.completed", "image_edit.completed")


class OtherWire:
    """How the APIs beside chat answer. One instance serves all; it has no state."""

    __slots__ = ("name",)

    def __init__(self, api: str) -> None:
        self.name = api

    def observer(self, answers: int, *, remember: bool) -> OtherObserver:
        """For one answer that comes in pieces."""
        return OtherObserver(self.name)

    def read_answer(self, body: bytes) -> WholeAnswer:
        """Read a whole answer in JSON. Raises MalformedAnswer."""
        answer = _read(body)
        failed = bytes(answer.error) not in _NO_ERROR and answer.data is None and answer.usage is None
        usage, services = _told(answer, self.name)
        if services is None and answer.data is not None and usage is None:
            services = {"image": len(answer.data)} if self.name.startswith("image") else None
        return WholeAnswer(usage, None, len(body), failed, services=services)

    def ending(self, stream: Stream, observer: Any, usage: Usage, cost: NanoUsd) -> list[bytes]:
        """Nothing of theirs is metered."""
        return []

    def assembler(self) -> Assembler:
        """Nothing of theirs is put together."""
        return Assembler(self.name)

    def as_chat(self, body: bytes) -> bytes:
        """It is no chat."""
        return body


def _read(body: bytes) -> _Answer:
    try:
        return _decoder.decode(body)
    except msgspec.ValidationError:
        try:
            found = msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:  # pragma: no cover -- it was read
            raise MalformedAnswer(str(error)) from None
        if not isinstance(found, dict):
            raise MalformedAnswer("it is no object") from None
        return _Answer()  # an answer all the same, of which nothing is known
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedAnswer(str(error)) from None


def _told(answer: _Answer, api: str) -> tuple[Usage | None, dict[str, int] | None]:
    """Tokens and units that an answer says it is billed for."""
    used, meta = answer.usage, answer.meta
    billed = used if meta is None else meta.billed_units
    services: dict[str, int] | None = None
    for name, counted in (
        ("second", used.seconds if used is not None else None),
        ("search_unit", billed.search_units if billed is not None else None),
    ):
        count = _count(counted)
        if count:
            services = {name: count}
    if services is None and used is None and (seconds := _count(answer.duration)):
        services = {"second": seconds}
    usage = None if used is None else _tokens(used, api)
    if usage is None and meta is not None:
        parts = (meta.billed_units, meta.tokens)
        usage = next((found for part in parts if part is not None and (found := _tokens(part, api))), None)
    return usage, services


def _tokens(used: _Used, api: str) -> Usage | None:
    """Token counts; None where none are told, or impossible ones. What is not told apart is what the API is about."""
    given = _count(used.input_tokens) or _count(used.prompt_tokens)
    made = _count(used.output_tokens) or _count(used.completion_tokens)
    total = _count(used.total_tokens)
    if total > given + made:
        given = total - made
    inputs = used.input_tokens_details or used.input_token_details or _NO_DETAILS
    outputs = used.output_tokens_details or _NO_DETAILS
    if not given and not made:
        return None
    if used.output_tokens_details is None and api.startswith("image"):
        outputs = _Details(image_tokens=made)
    if inputs is _NO_DETAILS and api.startswith("trans"):
        inputs = _Details(audio_tokens=given)
    return Usage(
        given,
        made,
        cache_read_tokens=_count(inputs.cached_tokens),
        input_audio_tokens=_count(inputs.audio_tokens),
        input_image_tokens=_count(inputs.image_tokens),
        output_image_tokens=_count(outputs.image_tokens),
        output_audio_tokens=_count(outputs.audio_tokens),
    )


def _count(value: _Count) -> int:
    """A count, begun ones in full; nothing for what cannot be one."""
    if value is None or not 0 < value <= MAX_COUNT:
        return 0
    return math.ceil(value)


class OtherObserver(StreamObserver):
    """Watches an answer that comes in pieces: events, or bytes that say nothing of themselves."""

    __slots__ = ("_api", "ended", "images")

    def __init__(self, api: str) -> None:
        super().__init__(1)
        self._api = api
        self.ended = False
        """It came to its proper end."""
        self.images = 0

    @property
    def complete(self) -> bool:
        """Whether the provider ended it as it should."""
        return self.ended and not self.failed

    def observe(self, event: bytes) -> None:
        """Take note of an event. It is passed on as it is."""
        data = event_data(event)
        if not data or data == b"[DONE]":
            return
        self.content_events += 1
        try:
            answer = _read(data)
        except MalformedAnswer:
            return
        if bytes(answer.error) not in _NO_ERROR or answer.type == "error":
            self.failed = True
        usage, services = _told(answer, self._api)
        if usage is not None:
            self.usage = usage if self.usage is None else _both(self.usage, usage)
        if services is not None:
            self.services = services
        if answer.type in _IMAGES_MADE:
            self.images += 1
        if answer.type is not None and answer.type.endswith(_DONE):
            self.done = True

    def counted(self) -> dict[str, int] | None:
        """Units that it told of, or that were seen in it."""
        if self.services:
            return self.services
        return {"image": self.images} if self.images else None


def _both(first: Usage, second: Usage) -> Usage:
    """Several images of a stream each tell their own usage."""
    return Usage(*(one + other for one, other in zip(first, second, strict=True)))
