"""Starts one upstream call. What comes back is OpenAI's wire, whatever the provider's dialect is.

A provider that speaks its client's tongue itself is asked in that, and answers in it.
"""

from __future__ import annotations

from typing import NamedTuple

from gateway.config.snapshot import Endpoint, Timeouts
from gateway.upstream.dialects import native, registry
from gateway.upstream.dialects.plainly import in_words_of
from gateway.upstream.dialects.protocol import Dialect, Wish
from gateway.upstream.dialects.translated import TranslatedCall
from gateway.upstream.transport import Call, Transport
from gateway.wire.requests import ModelRequest
from gateway.wire.wires import Wire, wire_of


class Target(NamedTuple):
    """Where a call goes, what is spoken there, and how long it may take."""

    endpoint: Endpoint
    dialect: Dialect
    timeouts: Timeouts
    """As configured for the deployment."""
    wire: Wire
    """What its answer is said in, once it is translated."""
    native: bool
    """Whether that is the client's own tongue, which is not OpenAI's."""


def launch(transport: Transport, target: Target, request: ModelRequest, wish: Wish, timeouts: Timeouts) -> Call:
    """Begin a call; returns at once. `timeouts` are the target's, or shorter.

    Raises BadRequest, with nothing sent, for what the dialect cannot say.
    """
    endpoint, dialect = target.endpoint, target.dialect
    if target.native:
        path, headers, body = native.outgoing(request, wish, endpoint)
        return transport.start(endpoint, b"POST", path, headers, body, timeouts=timeouts)
    if request.native is not None:
        if request.native.refused is not None:
            raise request.native.refused
        request = in_words_of(dialect.name, request, wish)
    path, headers, body = dialect.outgoing(request, wish, endpoint)
    call = transport.start(endpoint, b"POST", path, headers, body, timeouts=timeouts)
    translation = dialect.translation(request, wish)
    return call if translation is None else TranslatedCall(call, translation)


def target_of(endpoint: Endpoint, timeouts: Timeouts | None, request: ModelRequest) -> Target:
    """The target of `request` at a deployment at `endpoint`, with `timeouts` of its own if it has any."""
    spoken = request.native
    native = spoken is not None and spoken.api in endpoint.natives
    wire = wire_of(spoken.api if native and spoken is not None else request.api)
    return Target(endpoint, registry.find(endpoint.dialect), timeouts or endpoint.timeouts, wire, native)
