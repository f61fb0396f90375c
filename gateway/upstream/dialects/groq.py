"""Groq.

- Usage of a stream also comes as `x_groq.usage` in its last chunk (groq 1.7, `XGroq`): `gateway.wire.answers` reads it.
- Messages that repeat another provider's answer are refused for fields Groq does not know: "property
  'reasoning_content' is unsupported" (github.com/karthink/gptel/issues/774, SimonSchubert/Kai/issues/265). They carry
  nothing that Groq could use, and are left out.
- 413 is a request larger than the account's tokens per minute, 498 a full flex tier (console.groq.com/docs/errors).
"""

from __future__ import annotations

from gateway.upstream.dialects.protocol import Complaint, Wish
from gateway.upstream.dialects.variant import Variant, read_messages, write_messages
from gateway.wire.requests import CHAT, COMPLETIONS, Fields, ModelRequest

_FOREIGN = ("annotations", "audio", "reasoning_content", "reasoning_details", "refusal")
"""What an assistant's message may hold elsewhere (groq 1.7, `ChatCompletionAssistantMessageParam`, has none)."""
_MARKS = tuple(f'"{name}"'.encode() for name in _FOREIGN)


class Groq(Variant):
    """OpenAI's wire, with strict messages."""

    name = "groq"
    apis = frozenset((CHAT, COMPLETIONS))

    def differs(self, request: ModelRequest, wish: Wish) -> bool:
        """Whether the body names any of the fields at all."""
        return any(mark in request.body for mark in _MARKS) and request.api == CHAT

    def revise(self, fields: Fields, request: ModelRequest) -> None:
        """Leave out what other providers wrote into the assistant's messages."""
        messages = read_messages(fields)
        for message in messages:
            if bytes(message.get("role", b"")) == b'"assistant"':
                for name in _FOREIGN:
                    message.pop(name, None)
        write_messages(fields, messages)

    def complaint(self, status: int, body: bytes) -> Complaint:
        """What an error status with this body means."""
        return "rate_limited" if status == 498 else super().complaint(status, body)


DIALECT = Groq()
