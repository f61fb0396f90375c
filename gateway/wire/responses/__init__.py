"""OpenAI's Responses API: its requests said in chat, chat's answers said as responses, and its own answers read.

Each name is imported when it is first asked for: a gateway whose clients all speak chat needs none.

`read` and `chat_body` say a request in chat; `AnswerTranslator` says chat's answer as a response, for deployments that
speak nothing else. `WIRE` reads the answers of those that speak the Responses API themselves. `rebuilt`, `resolved`,
`input_items`, `output_items`, `pending` and `Final` are what a store of responses needs.

What chat has no words for: see `request` for fields, `items` for the conversation, `translator` for answers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.wire.lazily import names_of

if TYPE_CHECKING:
    from gateway.wire.responses.ending import failed
    from gateway.wire.responses.final import Final, final_of
    from gateway.wire.responses.history import ids_of, input_items, output_items, rebuilt, resolved
    from gateway.wire.responses.ids import response_id, response_ids_of
    from gateway.wire.responses.request import ResponsesNative, chat_body, read
    from gateway.wire.responses.settings import pending
    from gateway.wire.responses.translator import AnswerTranslator
    from gateway.wire.responses.wire import WIRE

_FILES = {
    "AnswerTranslator": "translator",
    "Final": "final",
    "ResponsesNative": "request",
    "WIRE": "wire",
    "chat_body": "request",
    "failed": "ending",
    "final_of": "final",
    "ids_of": "history",
    "input_items": "history",
    "output_items": "history",
    "pending": "settings",
    "read": "request",
    "rebuilt": "history",
    "resolved": "history",
    "response_id": "ids",
    "response_ids_of": "ids",
}

__getattr__ = names_of(__name__, _FILES)

__all__ = [
    "WIRE",
    "AnswerTranslator",
    "Final",
    "ResponsesNative",
    "chat_body",
    "failed",
    "final_of",
    "ids_of",
    "input_items",
    "output_items",
    "pending",
    "read",
    "rebuilt",
    "resolved",
    "response_id",
    "response_ids_of",
]
