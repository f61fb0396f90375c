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
COUNT: Final = "count_tokens"
"""How many tokens a message would have. Said in Anthropic's tongue."""
TONGUES: Final = (MESSAGES, RESPONSES)

_BOUNDS: Final = {MESSAGES: "max_tokens", RESPONSES: "max_output_tokens"}
"""The field that bounds the answer, where its client names none."""
MIN_THINKING_TOKENS: Final = 1_024
"""The least budget that Anthropic takes, which has to stay below the bound on the answer."""
_encode = msgspec.json.encode


def _thinking_within(raw: msgspec.Raw, max_tokens: int) -> dict[str, msgspec.Raw]:
    """Anthropic's `thinking` where a lowered bound leaves no room for its budget; nothing where it does."""
    try:
        thinking = msgspec.json.decode(raw, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):  # its shape is for the provider to judge
        return {}
    budget = thinking.get("budget_tokens")
    if not isinstance(budget, int) or budget < max_tokens:
        return {}
    room = max_tokens > MIN_THINKING_TOKENS
    fitting = {**thinking, "budget_tokens": max_tokens - 1} if room else {"type": "disabled"}
    return {"thinking": msgspec.Raw(_encode(fitting))}


class Service(NamedTuple):
    """Something that the provider runs for the request, and bills beside its tokens: a search, an interpreter."""

    name: str
    """As tariffs name it: `web_search`."""
    field: str
    """Where the request asks for it: `tools[0]`."""
    most: int | None
    """The most calls that the request allows; None when it sets no bound."""


class Gist(NamedTuple):
    """What was read of a request."""

    model: str
    stream: bool = False
    bound_fields: Mapping[str, int] = {}
    """The fields that bound the answer, as its client wrote them."""
    refused: InvalidField | None = None
    """The first thing in it that the chat wire cannot say: no deployment is asked that speaks nothing else."""
    unknown: str | None = None
    """A field that brings in input of unknown size: a file's id, a link, a document."""
    services: tuple[Service, ...] = ()
    """What the provider runs for it."""


class Native:
    """A request as it came."""

    __slots__ = (
        "api",
        "before",
        "body",
        "bound_fields",
        "counts",
        "elsewhere",
        "fields",
        "held_at",
        "held_tokens",
        "model",
        "query",
        "refused",
        "services",
        "stream",
        "unknown",
    )

    def __init__(self, api: str, body: bytes, fields: dict[str, msgspec.Raw], gist: Gist) -> None:
        self.api = api
        """One of `TONGUES`."""
        self.body = body
        self.fields = fields
        """Its top level, in order."""
        self.model = gist.model
        self.stream = gist.stream
        self.bound_fields = dict(gist.bound_fields)
        self.refused = gist.refused
        self.unknown = gist.unknown
        self.services = gist.services
        self.counts = False
        """Whether it only asks how many tokens it has, which nobody bills."""
        self.before: object = None
        """What the memory knows of what it goes on from; its own affair."""
        self.held_at: str | None = None
        """The provider that remembers what the request goes on from."""
        self.held_tokens = 0
        """What that counted there, its input and its answer: more than is in what is told of it elsewhere."""
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
            if changed and "thinking" in self.fields:
                changed.update(_thinking_within(self.fields["thinking"], max_tokens))
        return with_fields(self.body, self.fields, changed)
