"""POST /v1/completions, the legacy endpoint: its fields and its wire."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.simulator.answer import Choice
from gateway.simulator.chat import FINGERPRINT
from gateway.simulator.errors import invalid, missing, wrong_type
from gateway.simulator.fields import Body
from gateway.simulator.generation import Generation

_encode = msgspec.json.encode
DEFAULT_LIMIT = 16
"""Output tokens when the request does not say, as OpenAI has it."""


def token_inputs(body: Body, name: str) -> list[str | list[int]]:
    """A field that is a text, texts, token ids or lists of token ids. Raises SimError (400)."""
    value = body.get(name)
    if value is None:
        raise missing(name)
    if isinstance(value, str):
        return [value]
    if not isinstance(value, list):
        raise wrong_type(name, "a string or an array", value)
    if not value:
        raise invalid(f"Invalid '{name}': empty array. Expected at least 1 item.", name, "empty_array")
    if _is_ids(value):
        return [value]
    if not all(isinstance(item, str) or (isinstance(item, list) and item and _is_ids(item)) for item in value):
        raise wrong_type(name, "a string, an array of strings or arrays of token ids", value)
    return value


def _is_ids(value: list[Any]) -> bool:
    return all(isinstance(item, int) and not isinstance(item, bool) and 0 <= item < 2**31 for item in value)


class CompletionWire:
    """Writes one legacy completion."""

    def __init__(self, generation: Generation) -> None:
        self._base: dict[str, Any] = {
            "id": generation.response_id,
            "object": "text_completion",
            "created": generation.created_s,
            "model": generation.model.id,
            "system_fingerprint": FINGERPRINT,
        }
        self._null: Body = {"usage": None} if generation.options.include_usage else {}

    def opening(self, index: int) -> None:
        """No event: there is no role to name."""

    def piece(self, index: int, delta: Body, usage: Body | None = None) -> bytes:
        """An event with some text."""
        says = self._null if usage is None else {"usage": usage}
        return _encode({**self._base, "choices": [_choice(index, delta["content"], None)], **says})

    def closing(self, index: int, finish_reason: str, usage: Body | None) -> bytes:
        """The event with the finish reason."""
        choice = _choice(index, "", finish_reason)
        return _encode({**self._base, "choices": [choice], **({"usage": usage} if usage else self._null)})

    def usage(self, usage: Body) -> bytes:
        """The event with no choices."""
        return _encode({**self._base, "choices": [], "usage": usage})

    def body(self, choices: list[Choice], usage: Body | None) -> bytes:
        """A plain answer."""
        rendered = [_choice(index, choice.text or "", choice.finish_reason) for index, choice in enumerate(choices)]
        answer = {**self._base, "choices": rendered}
        return _encode({**answer, "usage": usage} if usage else answer)


def _choice(index: int, text: str, finish_reason: str | None) -> Body:
    return {"index": index, "text": text, "logprobs": None, "finish_reason": finish_reason}
