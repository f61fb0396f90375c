"""The events that end a stream properly when its money has run out: as if its answer had reached a bound on tokens."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import msgspec

from gateway.wire.answers import StreamObserver
from gateway.wire.requests import CHAT
from gateway.wire.sse import data_event
from routing.money import NanoUsd, Usage, format_usd

DONE: Final = b"data: [DONE]\n\n"
LENGTH: Final = "length"
"""The finish reason of an answer that was cut at its bound."""

_REPEATED: Final = ("id", "object", "created", "model", "system_fingerprint", "service_tier")
"""Fields that every chunk of a stream says alike."""
_OBJECTS: Final = {CHAT: "chat.completion.chunk"}
_encode = msgspec.json.encode


class Stream(NamedTuple):
    """The stream to end."""

    api: str
    answers: int
    include_usage: bool
    """Whether the client asked for usage."""
    request_id: str
    model: str
    created_s: int
    """These three stand in where nothing of the provider's was seen."""


class _Choice(msgspec.Struct):
    index: int = 0
    finish_reason: str | None = None


class _Chunk(msgspec.Struct):
    choices: list[_Choice] = msgspec.field(default_factory=list)


_chunk_decoder = msgspec.json.Decoder(_Chunk)
_fields_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])


def length_ending(stream: Stream, observer: StreamObserver, usage: Usage, cost: NanoUsd) -> list[bytes]:
    """The last events: `finish_reason: "length"` for each unfinished answer, usage with its cost if asked for, [DONE].

    The observer must have been told to `remember`. Nothing after [DONE] was seen.
    """
    if observer.done:
        return []
    base = _base(stream, observer.sample)
    null: dict[str, Any] = {"usage": None} if stream.include_usage else {}
    finished = _finished(observer.closings)
    events = [
        data_event(_encode({**base, "choices": [_closing(stream, index, observer)], **null}))
        for index in range(stream.answers)
        if index not in finished
    ]
    if stream.include_usage:
        events.append(data_event(_encode({**base, "choices": [], "usage": _usage(usage, cost)})))
    return [*events, DONE]


def _base(stream: Stream, sample: bytes) -> dict[str, Any]:
    prefix = "chatcmpl" if stream.api == CHAT else "cmpl"
    base: dict[str, Any] = {
        "id": f"{prefix}-{stream.request_id}",
        "object": _OBJECTS.get(stream.api, "text_completion"),
        "created": stream.created_s,
        "model": stream.model,
    }
    if sample:
        fields = _fields_decoder.decode(sample)  # the observer has read it as JSON
        base.update({name: fields[name] for name in _REPEATED if name in fields})
    return base


def _closing(stream: Stream, index: int, observer: StreamObserver) -> dict[str, Any]:
    says: dict[str, Any] = {"text": ""}
    if stream.api == CHAT:
        says = {"delta": {} if observer.sample else {"role": "assistant", "content": ""}}
    return {"index": index, **says, "logprobs": None, "finish_reason": LENGTH}


def _finished(closings: list[bytes]) -> set[int]:
    finished: set[int] = set()
    for data in closings:
        try:
            choices = _chunk_decoder.decode(data).choices
        except msgspec.DecodeError:  # an index that is no number: the first answer, as everywhere
            choices = [_Choice(0, LENGTH)]
        finished.update(choice.index for choice in choices if choice.finish_reason is not None)
    return finished


def _usage(usage: Usage, cost: NanoUsd) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cache_read_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "cost": msgspec.Raw(format_usd(cost).encode()),
    }
