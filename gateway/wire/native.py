"""A request in a tongue: a client API that is not OpenAI's chat, as its client said it.

What is decided of it is decided on its chat form (`gateway.wire.tongues`). A deployment that speaks the tongue itself
gets these bytes, with the model's name in its place and the answer bounded.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import msgspec

from gateway.errors import InvalidField
from gateway.wire.writing import with_fields

MESSAGES: Final = "messages"
RESPONSES: Final = "responses"
TONGUES: Final = (MESSAGES, RESPONSES)

_BOUNDS: Final = {MESSAGES: "max_tokens", RESPONSES: "max_output_tokens"}
"""The field that bounds the answer, where its client names none."""
_encode = msgspec.json.encode


class Service(NamedTuple):
    """Something that the provider runs for the request, and bills beside its tokens: a search, an interpreter."""

    name: str
    """As tariffs name it: `web_search`."""
    field: str
    """Where the request asks for it: `tools[0]`."""
    most: int | None
    """The most calls that the request allows; None when it sets no bound."""


class Native:
    """A request as it came."""

    __slots__ = (
        "api",
        "before",
        "body",
        "bound_fields",
        "elsewhere",
        "fields",
        "held_at",
        "model",
        "query",
        "refused",
        "services",
        "stream",
        "unknown",
    )

    def __init__(
        self,
        api: str,
        body: bytes,
        fields: dict[str, msgspec.Raw],
        model: str,
        *,
        stream: bool = False,
        bound_fields: Mapping[str, int] | None = None,
        refused: InvalidField | None = None,
        unknown: str | None = None,
        services: tuple[Service, ...] = (),
    ) -> None:
        self.api = api
        """One of `TONGUES`."""
        self.body = body
        self.fields = fields
        """Its top level, in order."""
        self.model = model
        self.stream = stream
        self.bound_fields = dict(bound_fields or {})
        """The fields that bound the answer, as its client wrote them."""
        self.refused = refused
        """The first thing in it that the chat wire cannot say: no deployment is asked that speaks nothing else."""
        self.unknown = unknown
        """A field that brings in input of unknown size: a file's id, a link, a document."""
        self.services = services
        self.before: object = None
        """What the memory knows of what it goes on from; its own affair."""
        self.held_at: str | None = None
        """The provider that remembers what the request goes on from."""
        self.elsewhere: Native | None = None
        """The request for any other provider: with all that it goes on from written into it."""
        self.query = b""
        """The query of its URL, which goes on: `beta=true`."""

    def upstream_body(self, upstream_model: str, *, max_tokens: int | None = None, stream: bool = False) -> bytes:
        """The body for a provider that speaks the tongue: `model` replaced, all else as the client wrote it.

        `max_tokens` lowers the bound on the answer; `stream` asks for a stream though the client did not.
        """
        changed: dict[str, Any] = {}
        if upstream_model != self.model:
            changed["model"] = msgspec.Raw(_encode(upstream_model))
        if stream and not self.stream:
            changed["stream"] = msgspec.Raw(b"true")
        if max_tokens is not None:
            bounds = self.bound_fields or {_BOUNDS[self.api]: max_tokens}
            for name, theirs in bounds.items():
                if name not in self.fields or max_tokens < theirs:
                    changed[name] = msgspec.Raw(b"%d" % min(max_tokens, theirs))
        return with_fields(self.body, self.fields, changed)
