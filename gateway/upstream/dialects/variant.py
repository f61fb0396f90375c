"""OpenAI's wire with small differences: fields that a provider calls otherwise, or refuses."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from gateway.upstream.dialects.openai import OpenAI
from gateway.upstream.dialects.protocol import Wish
from gateway.wire.requests import Fields, ModelRequest

_decoder = msgspec.json.Decoder(Fields)
_messages_decoder = msgspec.json.Decoder(list[Fields])
_encode = msgspec.json.encode

MAX_TOKENS_ONLY: Mapping[str, str] = {"max_completion_tokens": "max_tokens"}
"""For providers that know one name for the bound only: what they don't know they may ignore, and it is money."""


class Variant(OpenAI):
    """A dialect that says only what differs."""

    renames: Mapping[str, str] = {}
    """OpenAI's names for fields, and the provider's. Of two bounds the lower counts; else the provider's own wins."""
    drops: frozenset[str] = frozenset()
    """Fields that the provider refuses, and that are mere hints."""

    def body(self, request: ModelRequest, wish: Wish) -> bytes:
        """The request's body, revised where something of it differs."""
        field = self.renames.get(wish.max_tokens_field, wish.max_tokens_field)
        body = super().body(request, wish if field == wish.max_tokens_field else wish._replace(max_tokens_field=field))
        if not self.differs(request, wish):
            return body
        fields = _decoder.decode(body)
        self.revise(fields, request)
        return _encode(fields)

    def differs(self, request: ModelRequest, wish: Wish) -> bool:
        """Whether anything has to be revised: most requests go as they are."""
        if "stream_options" in self.drops and (request.stream or wish.stream):
            return True
        fields = request.fields
        return not (self.drops.isdisjoint(fields) and self.renames.keys().isdisjoint(fields))

    def revise(self, fields: Fields, request: ModelRequest) -> None:
        """Say `fields`, the request's, as the provider does; in place."""
        for name in self.drops:
            fields.pop(name, None)
        for name, theirs in self.renames.items():
            value = fields.pop(name, None)
            if value is None or bytes(value) == b"null":
                continue
            own = fields.get(theirs)
            if own is None or bytes(own) == b"null" or (theirs == "max_tokens" and _lower(value, own)):
                fields[theirs] = value


def _lower(one: msgspec.Raw, other: msgspec.Raw) -> bool:
    """Whether the first of two bounds binds more. Below zero is no bound; what is no whole number binds nothing."""
    try:
        first, second = int(bytes(one)), int(bytes(other))
    except ValueError:
        return False
    return first >= 0 and (second < 0 or first < second)


def read_messages(fields: Fields) -> list[Fields]:
    """The messages of a chat request, each as `name -> raw value`."""
    return _messages_decoder.decode(fields["messages"])


def write_messages(fields: Fields, messages: list[Fields]) -> None:
    """Put changed messages back into the request."""
    fields["messages"] = msgspec.Raw(_encode(messages))
