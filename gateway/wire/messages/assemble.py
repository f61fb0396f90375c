"""A stream's events put together to the whole message that the provider would have given without streaming."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from gateway.wire.sse import event_data

_encode = msgspec.json.encode
_MALFORMED: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_PIECES: Final = {
    "text_delta": "text",
    "thinking_delta": "thinking",
    "input_json_delta": "partial_json",
    "compaction_delta": "content",
}
_PARTIAL: Final = "partial_json"

_Json = dict[str, Any]
_event_decoder = msgspec.json.Decoder(_Json)


class _GrowingBlock:
    """A block: how it began, and what came since."""

    __slots__ = ("fields", "pieces")

    def __init__(self, fields: _Json) -> None:
        self.fields = fields
        self.pieces: dict[str, list[str]] = {}

    def take(self, delta: _Json) -> None:
        """Add a delta; of an unknown kind its fields, as they are."""
        kind = delta.get("type")
        name = _PIECES.get(kind) if isinstance(kind, str) else None
        if name is not None and isinstance(delta.get(name), str):
            self.pieces.setdefault(name, []).append(delta[name])
        elif kind == "citations_delta":
            citations = self.fields.get("citations")
            self.fields["citations"] = [*(citations if isinstance(citations, list) else ()), delta.get("citation")]
        else:
            self.fields.update({key: value for key, value in delta.items() if key != "type"})

    def whole(self) -> _Json:
        """The block. A call that was cut in the middle of its arguments has none."""
        out = dict(self.fields)
        for name, pieces in self.pieces.items():
            text = "".join(pieces)
            if name != _PARTIAL:
                before = out.get(name)
                out[name] = before + text if isinstance(before, str) else text
            elif text:
                out["input"] = _object(text)
        return out


class MessageAssembler:
    """Puts one message together."""

    def __init__(self) -> None:
        self._message: _Json = {}
        self._blocks: dict[int, _GrowingBlock] = {}
        self.malformed = False
        """An event could not be read, so that a part of the answer is missing."""

    def feed(self, event: bytes) -> None:
        """Take the stream's next event."""
        data = event_data(event)
        if not data:
            return
        try:
            self._take(_event_decoder.decode(data))
        except (*_MALFORMED, AttributeError, KeyError, TypeError, ValueError):  # of another shape than it should be
            self.malformed = True

    def _take(self, event: _Json) -> None:
        kind = event["type"]
        if kind == "message_start":
            self._message = event["message"] | {}
        elif kind == "content_block_start":
            self._blocks[event["index"]] = _GrowingBlock(dict(event["content_block"]))
        elif kind == "content_block_delta":
            self._blocks[event["index"]].take(event["delta"])
        elif kind == "message_delta":
            usage = {name: value for name, value in (event.get("usage") or {}).items() if value is not None}
            self._message["usage"] = {**(self._message.get("usage") or {}), **usage}
            self._message |= event["delta"]
            self._message |= {name: event[name] for name in event if name not in ("type", "delta", "usage")}

    def body(self) -> bytes:
        """The whole message, as JSON."""
        content = [self._blocks[index].whole() for index in sorted(self._blocks)]
        return _encode({**self._message, "content": content})


def _object(text: str) -> _Json:
    try:
        return msgspec.json.decode(text, type=_Json)
    except _MALFORMED:
        return {}
