"""What a provider's dialect is to the rest of Farebox: the OpenAI wire goes in, and the OpenAI wire comes out.

A dialect says a request in the provider's words, and gives what the provider answers back in OpenAI's: whole answers,
streams, errors. So everything behind it (usage, metering, relaying) knows one wire only. Pure: no dialect does I/O.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, Protocol

from gateway.config.snapshot import Endpoint
from gateway.wire.requests import ModelRequest
from gateway.wire.upload import Beginning

Complaint = Literal["rate_limited", "context_too_long", "content_filter", "account", "refused", "failed"]
"""Why a provider answered with an error: too many requests; an input that is too long for the model; a filter of
contents; our credentials or account; anything else that is wrong with the request; a failure of its own."""


class Wish(NamedTuple):
    """What one attempt asks for beyond, or in place of, what the client wrote."""

    upstream_model: str
    """The name that the provider knows the model by."""
    max_tokens: int | None
    """The bound to write into the request; None leaves the client's own, or none."""
    max_tokens_field: str
    """Where to write it on the OpenAI wire, when the client bounded nothing itself."""
    model_max_output_tokens: int | None
    """The longest answer of the model, for dialects that demand a bound."""
    stream: bool
    """Whether the answer is to be streamed: the client's wish, or ours."""
    request_id: str
    forwarded: list[tuple[bytes, bytes]]
    """The client's own headers that go on. Dialects of other wires pass on what means the same there, if anything."""
    running_usage: bool = False
    """Whether every event is to say the usage so far: the deployment declares that it can."""


class Outgoing(NamedTuple):
    """A request as it goes over the wire."""

    path: bytes
    """Below the provider's base URL, with its query."""
    headers: bytes
    """Complete header lines, besides those that the transport adds: Host, Content-Length, the endpoint's own."""
    body: bytes | Beginning
    """Or its beginning, where the rest is still with the client."""


class Translation(Protocol):
    """Turns one answer into OpenAI's wire, as it comes. Made anew for each attempt."""

    def whole(self, body: bytes) -> bytes:
        """An answer in one piece. Raises `gateway.wire.answers.MalformedAnswer`."""
        ...

    def chunk(self, chunk: bytes) -> bytes:
        """The next bytes of a stream, cut anywhere: what can be said by now, as OpenAI's events; may be empty.

        An error that the provider reports inside of its stream becomes an event with `error`, as OpenAI's would.
        """
        ...

    def end(self) -> bytes:
        """The stream has ended: what is still to be said. Never `[DONE]` when the provider's own end was missing."""
        ...

    def error(self, status: int, body: bytes) -> bytes:
        """The body of an error status, as OpenAI would put it."""
        ...


BILLS_AS_REPORTED = frozenset(("openrouter",))
"""Dialects of providers that bill what they say in `usage.cost`: it is charged, and what our list says kept beside."""


class Dialect(Protocol):
    """A provider's way to put things. One instance serves all requests; it has no state."""

    name: str
    """As the configuration writes it: `dialect: anthropic`."""
    apis: frozenset[str]
    """What it can say: `chat`, `completions`, `embeddings`."""
    credentials: tuple[str, str]
    """The header that carries `api_key`, and what stands before it: `("Authorization", "Bearer ")`."""

    def outgoing(self, request: ModelRequest, wish: Wish, endpoint: Endpoint) -> Outgoing:
        """The request in the provider's words. Raises a BadRequest, which names the field, for what cannot be said."""
        ...

    def translation(self, request: ModelRequest, wish: Wish) -> Translation | None:
        """What turns its answer into OpenAI's; None when the provider answers so itself, and all is passed on as is."""
        ...

    def complaint(self, status: int, body: bytes) -> Complaint:
        """What an error status (300 or more) with this body, in the provider's own words, means."""
        ...
