"""POST /v1/messages: Anthropic's API, for its SDKs and Claude Code."""

from __future__ import annotations

from typing import Final

from gateway.api.tongue import TongueReply, Translator
from gateway.context import RequestContext
from gateway.reply import Headers
from gateway.wire import messages

_REQUEST_ID: Final = b"request-id"
"""Where Anthropic's SDKs look for it. `x-request-id` says the same."""


class MessagesReply(TongueReply):
    """The client's side of one message."""

    __slots__ = ()

    def _translator_of(self, context: RequestContext) -> Translator:
        assert context.request is not None  # noqa: S101 -- guards a programming error
        return messages.AnswerTranslator(model=context.request.model, request_id=context.request_id)

    def _headers(self, headers: Headers) -> Headers:
        return [*headers, (_REQUEST_ID, self.request_id.encode())]

    def _error_body(self, status: int, body: bytes) -> bytes:
        return messages.error_body(status, body, self.request_id)
