"""POST /v1/messages: Anthropic's API, for its SDKs and Claude Code."""

from __future__ import annotations

from gateway.api.tongue import TongueReply, Translator
from gateway.context import RequestContext
from gateway.wire import messages


class MessagesReply(TongueReply):
    """The client's side of one message."""

    __slots__ = ()

    def _translator_of(self, context: RequestContext) -> Translator:
        assert context.request is not None  # noqa: S101 -- guards a programming error
        return messages.AnswerTranslator(model=context.request.model, request_id=context.request_id)

    def _error_body(self, status: int, body: bytes) -> bytes:
        return messages.error_body(status, body, self.request_id)
