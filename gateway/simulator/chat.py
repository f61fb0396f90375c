"""The wire of POST /v1/chat/completions."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.simulator.answer import Choice
from gateway.simulator.fields import Body
from gateway.simulator.generation import Generation

FINGERPRINT = "fp_farebox_sim"
_TAIL = b',"logprobs":null,"finish_reason":null}]'
_encode = msgspec.json.encode


class ChatWire:
    """Writes one chat generation."""

    def __init__(self, generation: Generation) -> None:
        self._base: dict[str, Any] = {
            "id": generation.response_id,
            "created": generation.created_s,
            "model": generation.model.id,
            "service_tier": generation.options.service_tier,
            "system_fingerprint": FINGERPRINT,
        }
        chunk = {"object": "chat.completion.chunk", **self._base}
        self._chunk = chunk
        # A stream that was asked for usage carries "usage": null until the end.
        self._null: Body = {"usage": None} if generation.options.include_usage else {}
        self._head = _encode(chunk)[:-1] + b',"choices":[{"index":'
        self._tail = _TAIL + (b',"usage":null}' if self._null else b"}")

    def opening(self, index: int) -> bytes:
        """The event that names the role."""
        return self.piece(index, {"role": "assistant", "content": "", "refusal": None})

    def piece(self, index: int, delta: Body, usage: Body | None = None) -> bytes:
        """An event with some content or a part of a tool call."""
        tail = self._tail if usage is None else _TAIL + b',"usage":' + _encode(usage) + b"}"
        return b"".join((self._head, b"%d" % index, b',"delta":', _encode(delta), tail))

    def closing(self, index: int, finish_reason: str, usage: Body | None) -> bytes:
        """The event with the finish reason."""
        choice = {"index": index, "delta": {}, "logprobs": None, "finish_reason": finish_reason}
        return _encode({**self._chunk, "choices": [choice], **({"usage": usage} if usage else self._null)})

    def usage(self, usage: Body) -> bytes:
        """The event with no choices."""
        return _encode({**self._chunk, "choices": [], "usage": usage})

    def body(self, choices: list[Choice], usage: Body | None) -> bytes:
        """A plain answer."""
        rendered = [
            {"index": index, "message": _message(choice), "logprobs": None, "finish_reason": choice.finish_reason}
            for index, choice in enumerate(choices)
        ]
        answer = {"object": "chat.completion", **self._base, "choices": rendered}
        return _encode({**answer, "usage": usage} if usage else answer)


def _message(choice: Choice) -> Body:
    message: Body = {"role": "assistant", "content": choice.text, "refusal": None, "annotations": []}
    if choice.tool_calls:
        message["tool_calls"] = list(choice.tool_calls)
    return message
