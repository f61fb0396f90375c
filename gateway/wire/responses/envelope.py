"""What other providers want back with the next request, in the one field that clients give back as it was.

A model of another provider signs its thoughts, and wants them back with their signatures (Anthropic's
`thinking_blocks`), or whole answers in their order (`content_blocks`). The Responses API has `encrypted_content` for
that: a text which its clients keep and do not read. Ours says what is in it, and no provider's looks like it.
"""

from __future__ import annotations

import base64
import binascii
from typing import Final

import msgspec

from gateway.wire.responses.raw import MALFORMED, Fields, encode, read_fields, read_string

_PREFIX: Final = "farebox.1."
_WRITTEN: Final = b'"' + _PREFIX.encode()
FIELDS: Final = ("thinking_blocks", "content_blocks")
"""Fields of a chat message that travel so."""


def sealed(fields: dict[str, list[msgspec.Raw]]) -> str:
    """Fields of a chat message as an `encrypted_content`."""
    return _PREFIX + base64.b64encode(encode(fields)).decode()


def opened_raw(encrypted_content: msgspec.Raw | None) -> Fields:
    """As `opened`, of the JSON string; it is read only when it is one of ours."""
    if encrypted_content is None or bytes(memoryview(encrypted_content)[: len(_WRITTEN)]) != _WRITTEN:
        return {}
    return opened(read_string(encrypted_content))


def opened(encrypted_content: str) -> Fields:
    """What `sealed` was given, of `FIELDS`; nothing for any other provider's content, which is not ours to read."""
    if not encrypted_content.startswith(_PREFIX):
        return {}
    try:
        found = read_fields(base64.b64decode(encrypted_content[len(_PREFIX) :], validate=True))
    except (*MALFORMED, binascii.Error, ValueError):
        return {}
    return {name: raw for name, raw in found.items() if name in FIELDS}
