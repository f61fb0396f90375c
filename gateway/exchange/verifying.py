"""Answers that a policy's rule wants checked before the client sees them."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from gateway.context import RequestContext
from gateway.wire.assemble import Assembler
from gateway.wire.requests import EMBEDDINGS, ModelRequest
from gateway.wire.sse import EventSplitter
from gateway.wire.verify import unmet
from routing.rules import Verify

HELD_MAX_BYTES: Final = 8_388_608
"""A stream that is longer is passed on unverified."""
_CALLS = re.compile(rb'"tool_calls"\s*:\s*\[\s*\{')
"""In the choices of an answer: inside of texts the quotes are escaped."""


def verify_of(context: RequestContext, request: ModelRequest) -> Verify | None:
    """What the answer to a request has to pass, if anything."""
    decided = context.decided
    if decided is None or request.api == EMBEDDINGS:
        return None
    verify = decided.decision.verify
    return verify if verify is None or verify.buffer_streams or not request.stream else None


def failed_check(verify: Verify, request: ModelRequest, body: bytes, output_tokens: int) -> str:
    """The check that a whole answer fails; empty when it will do."""
    return unmet(verify, request, body, output_tokens)


def assembled(api: str, stream: bytes) -> bytes:
    """The whole answer that a stream, as its client would have it, amounts to."""
    splitter, assembler = EventSplitter(), Assembler(api)
    for event in (*splitter.feed(stream), splitter.rest):
        assembler.feed(event)
    return assembler.body()


def calls_tools(choices: msgspec.Raw) -> bool:
    """Whether a whole answer's choices call tools."""
    return _CALLS.search(bytes(choices)) is not None
