"""A stream's events put together to the whole answer that the provider would have given without streaming.

Used for clients that do not stream, so that their answers can be metered. What a stream says in pieces (text, the
arguments of tool calls, log probabilities) is joined; what it repeats (ids, the model, the service tier) is said once;
fields that are not known here are kept by the same rules.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from gateway.wire.requests import CHAT, COMPLETIONS, ModelRequest
from gateway.wire.sse import event_data

_OBJECTS: Final = {CHAT: "chat.completion", COMPLETIONS: "text_completion"}
_ONLY_STREAMED: Final = frozenset(("choices", "object", "obfuscation"))
"""Top-level fields of a chunk that are no part of a whole answer, or another one."""
_SAID_WHOLE: Final = frozenset(("role", "id", "type", "name", "format", "status"))
"""Strings that come in one piece, and maybe again; every other is a piece."""
_EMPTY: Final = (b"null", b'""')

_Fields = dict[str, Any]
_chunk_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])
_choices_decoder = msgspec.json.Decoder(list[dict[str, Any]] | None)
_usage_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])
_encode = msgspec.json.encode
_MALFORMED = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def assemblable(request: ModelRequest) -> bool:
    """Whether a stream of the answer would say the same: providers do not stream speech as asked, nor `best_of`."""
    return request.api in _OBJECTS and request.countable


class _Text(list[str]):
    """Pieces of a string, joined at the end: a long answer comes in many."""


class Assembler:
    """Puts one answer together."""

    def __init__(self, api: str) -> None:
        """`api` is `chat` or `completions`."""
        self._api = api
        self._fields: dict[str, msgspec.Raw] = {}
        self._choices: dict[int, _Fields] = {}
        self.malformed = False
        """An event could not be read, so that a part of the answer is missing."""

    def feed(self, event: bytes) -> None:
        """Take the stream's next event."""
        data = event_data(event)
        if not data or data == b"[DONE]":
            return
        try:
            chunk = _chunk_decoder.decode(data)
            choices = _choices_decoder.decode(chunk["choices"]) if "choices" in chunk else None
        except _MALFORMED:
            self.malformed = True
            return
        for name, raw in chunk.items():
            if name not in _ONLY_STREAMED and (name not in self._fields or bytes(raw) not in _EMPTY):
                self._fields[name] = raw
        for choice in choices or ():
            self._take(choice)

    def _take(self, choice: _Fields) -> None:
        index = choice.pop("index", 0)
        kept = self._choices.get(index) if isinstance(index, int) else None
        if kept is None:
            if not isinstance(index, int):
                self.malformed = True
                return
            kept = self._choices[index] = {"index": index}
            kept.update({"message": {"role": "assistant", "content": None}} if self._api == CHAT else {"text": _Text()})
        delta = choice.pop("delta", None)
        if isinstance(delta, dict) and "message" in kept:
            _merge(kept["message"], delta)
        logprobs = choice.pop("logprobs", None)
        _merge(kept, {"logprobs": logprobs})
        text = choice.pop("text", None)
        if isinstance(text, str) and "text" in kept:
            kept["text"].append(text)
        for name, value in choice.items():
            if value is not None or name not in kept:
                kept[name] = value

    def body(self) -> bytes:
        """The whole answer, as JSON."""
        fields: _Fields = {**self._fields, "object": _OBJECTS[self._api]}
        usage = fields.pop("usage", None)
        fields["choices"] = [_whole(self._choices[index]) for index in sorted(self._choices)]
        if usage is None and "x_groq" in fields:
            usage = _usage_of_groq(fields["x_groq"])
        if usage is not None and bytes(usage) != b"null":
            fields["usage"] = usage
        return _encode(fields)


def _merge(kept: _Fields, delta: _Fields) -> None:
    for name, value in delta.items():
        old = kept.get(name)
        if value is None:
            kept.setdefault(name, None)
        elif isinstance(value, str):
            if name in _SAID_WHOLE:
                kept[name] = value or old
            elif isinstance(old, _Text):
                old.append(value)
            else:
                kept[name] = _Text((value,))
        elif isinstance(value, dict):
            if not isinstance(old, dict):
                old = kept[name] = {}
            _merge(old, value)
        elif isinstance(value, list):
            if not isinstance(old, list):
                old = kept[name] = []
            for item in value:
                _add(old, item, calls=name == "tool_calls")
        else:
            kept[name] = value


def _add(items: list[Any], item: Any, *, calls: bool) -> None:
    """Add an item of a list, or a further piece of one that is there: of the same index."""
    if not isinstance(item, dict) or not (calls or isinstance(item.get("index"), int)):
        items.append(item)
        return
    old = _piece_of(items, item, calls=calls)
    if old is None:
        old = {}
        items.append(old)
    _merge(old, item)


def _piece_of(items: list[Any], item: _Fields, *, calls: bool) -> _Fields | None:
    index, call_id = item.get("index"), item.get("id")
    if isinstance(index, int):
        found = next((each for each in reversed(items) if isinstance(each, dict) and each.get("index") == index), None)
    else:
        found = items[-1] if items and isinstance(items[-1], dict) else None
    if calls and found is not None and call_id and found.get("id") not in (None, "", call_id):
        return None  # another call under the same index, or without any, as Gemini's endpoint sends them
    return found


def _whole(choice: _Fields) -> _Fields:
    choice = _joined(choice)
    message = choice.get("message")
    if isinstance(message, dict):
        calls = message.get("tool_calls")
        for call in calls if isinstance(calls, list) else ():
            if isinstance(call, dict):
                call.pop("index", None)
        if message["content"] == "" and any(message.get(name) for name in ("tool_calls", "function_call", "refusal")):
            message["content"] = None  # a stream opens with an empty text before it calls a tool
        if message.get("refusal") == "":
            message["refusal"] = None
    return choice


def _joined(value: Any) -> Any:
    if isinstance(value, _Text):
        return "".join(value)
    if isinstance(value, dict):
        return {name: _joined(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_joined(each) for each in value]
    return value


def _usage_of_groq(raw: msgspec.Raw) -> msgspec.Raw | None:
    try:
        return _usage_decoder.decode(raw).get("usage")
    except _MALFORMED:
        return None
