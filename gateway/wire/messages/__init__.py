"""Anthropic's Messages API, for its clients: what they send, and what they are answered.

Each name is imported when it is first asked for: a gateway whose clients all speak chat needs none.

`read` gives the chat request that a request means, and the request as it came. `AnswerTranslator` says a chat answer as
a message, and `error_body` an error. `WIRE` is for answers that are messages already, from deployments that speak the
API themselves: those are watched, and never changed.

The provider's side of the same API, for clients that speak chat, is `gateway.upstream.dialects.anthropic`. What neither
wire has a word for the two hand each other in the same fields: `thinking_blocks`, `content_blocks`, `cache_control`.
For every other dialect `plain` takes them out of the chat request: OpenAI refuses what it does not know.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.wire.lazily import names_of

if TYPE_CHECKING:
    from gateway.wire.messages.errors import error_body
    from gateway.wire.messages.request import read
    from gateway.wire.messages.translator import AnswerTranslator
    from gateway.wire.messages.wire import WIRE

_FILES = {
    "AnswerTranslator": "translator",
    "WIRE": "wire",
    "error_body": "errors",
    "read": "request",
}

__getattr__ = names_of(__name__, _FILES)

__all__ = [
    "WIRE",
    "AnswerTranslator",
    "error_body",
    "read",
]
