"""Starts one upstream call in its provider's dialect. What comes back is OpenAI's wire, whatever was spoken."""

from __future__ import annotations

from typing import NamedTuple

from gateway.config.snapshot import Endpoint, Timeouts
from gateway.upstream.dialects import registry
from gateway.upstream.dialects.protocol import Dialect, Wish
from gateway.upstream.dialects.translated import TranslatedCall
from gateway.upstream.transport import Call, Transport
from gateway.wire.requests import ModelRequest


class Target(NamedTuple):
    """Where a call goes, what is spoken there, and how long it may take."""

    endpoint: Endpoint
    dialect: Dialect
    timeouts: Timeouts
    """As configured for the deployment."""


def launch(transport: Transport, target: Target, request: ModelRequest, wish: Wish, timeouts: Timeouts) -> Call:
    """Begin a call; returns at once. `timeouts` are the target's, or shorter.

    Raises BadRequest, with nothing sent, for what the dialect cannot say.
    """
    endpoint, dialect, _ = target
    path, headers, body = dialect.outgoing(request, wish, endpoint)
    call = transport.start(endpoint, b"POST", path, headers, body, timeouts=timeouts)
    translation = dialect.translation(request, wish)
    return call if translation is None else TranslatedCall(call, translation)


def target_of(endpoint: Endpoint, timeouts: Timeouts | None) -> Target:
    """The target of a deployment at `endpoint`, with `timeouts` of its own if it has any."""
    return Target(endpoint, registry.find(endpoint.dialect), timeouts or endpoint.timeouts)
