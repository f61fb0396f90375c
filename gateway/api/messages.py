"""POST /v1/messages: Anthropic's API, for its SDKs and Claude Code."""

from __future__ import annotations

from gateway.api.tongue import TongueReply, Translator
from gateway.wire import messages
from gateway.wire.requests import ModelRequest


class MessagesReply(TongueReply):
    """The client's side of one message."""

    __slots__ = ()

    def _translator_of(self, request: ModelRequest, request_id: str) -> Translator:
        return messages.AnswerTranslator(model=request.model, request_id=request_id)

    def _error_body(self, status: int, body: bytes, request_id: str) -> bytes:
        return messages.error_body(status, body, request_id)


REPLY = MessagesReply
