"""What a deployment of the chat wire answers, for a client of the Messages API."""

from __future__ import annotations

from typing import Any

from gateway.wire.messages.answer import message_of
from gateway.wire.messages.stream import MessageStream
from routing.money import NanoUsd


class AnswerTranslator:
    """Translates one answer."""

    __slots__ = ("_model", "_request_id", "_stream")

    def __init__(self, *, model: str, request_id: str) -> None:
        """`model` is the name for an answer that names none; the message's id is made of `request_id`."""
        self._model = model
        self._request_id = request_id
        self._stream = MessageStream(model, request_id)

    def whole(self, body: bytes, cost: NanoUsd | None = None) -> bytes:
        """The message that a chat completion is. Raises `gateway.wire.answers.MalformedAnswer`.

        `cost` is told in its usage, in USD; None leaves what the provider says there.
        """
        return message_of(body, model=self._model, request_id=self._request_id, cost=cost)

    def events(self, events: list[bytes]) -> bytes:
        """What the next whole events of the chat stream say, `[DONE]` among them; empty when nothing can be said yet.

        An event with an error becomes an error event, and nothing is said after it.
        """
        take = self._stream.take
        return take(events[0]) if len(events) == 1 else b"".join([take(event) for event in events])

    def end(self) -> bytes:
        """The stream has ended properly: what is still to be said."""
        return self._stream.end()

    def failure(self, error_object: dict[str, Any]) -> bytes:
        """The error event for a stream that was cut. `error_object` is OpenAI's `error`: message, type, code."""
        return self._stream.fail(error_object)
