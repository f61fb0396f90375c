"""Requests of other tongues than OpenAI's, read: what they mean in chat, and beside it as they came.

A tongue is a package of its name beside this file, loaded when it is first spoken.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Final

import msgspec

from gateway.wire.native import COUNT, MESSAGES, TONGUES, Native
from gateway.wire.requests import CHAT, ModelRequest, read_request

_ASKS_USAGE: Final = b'"include_usage":true'


def read_any(api: str, body: bytes) -> ModelRequest:
    """Read the body of a request to any API that asks a model. Raises BadRequest errors that name the field."""
    if api == COUNT:
        return read_count(body)
    return read_tongue(api, body) if api in TONGUES else read_request(api, body)


def read_tongue(api: str, body: bytes) -> ModelRequest:
    """Read the body of a request to `api`, one of `gateway.wire.native.TONGUES`.

    Raises BadRequest errors that name the field as its client wrote it.
    """
    read: Callable[[bytes], tuple[bytes, Native]] = import_module(f"gateway.wire.{api}").read
    return meaning(*read(body))


def read_count(body: bytes) -> ModelRequest:
    """Read a request that asks how many tokens a message would have. Raises BadRequest errors that name the field."""
    chat, native = import_module(f"gateway.wire.{MESSAGES}").read(body, bounded=False)
    native.counts = True
    return meaning(chat, native)


def meaning(chat: bytes, native: Native) -> ModelRequest:
    """The request that `chat` says, with `native` beside it.

    Usage is asked for in every stream: the tongues say it in theirs, whether their clients ask or not.
    """
    if native.stream and _ASKS_USAGE not in chat:
        chat = b'{"stream_options":{"include_usage":true},' + chat[1:]
    request = read_request(CHAT, chat)
    request.native = native
    return request


def with_history(native: Native, told: Native, history: Sequence[msgspec.Raw], provider: str | None) -> ModelRequest:
    """The request after `history`: the items of what it goes on from, oldest first.

    `provider` is the one that remembers them itself, if any does: it is asked as the client asked. All others are told:
    `told` is the request with the items that it only refers to.
    """
    tongue = import_module(f"gateway.wire.{native.api}")
    elsewhere = native.elsewhere = tongue.rebuilt(told, history)
    native.held_at, native.refused = provider, elsewhere.refused  # chat may have no words for the history either
    return meaning(tongue.chat_body(told, history), native)
