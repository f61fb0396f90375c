"""Writes a request's body again with some top-level fields changed, and everything else as its client wrote it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

_SPACES: Final = b" \t\r\n"
_encode = msgspec.json.encode


def with_fields(body: bytes, fields: Mapping[str, msgspec.Raw], changed: Mapping[str, msgspec.Raw]) -> bytes:
    """`body`, whose top level `fields` are, with `changed` fields in their place.

    When nothing has to change the client's bytes are sent as they are, unless they repeat a top-level field: a provider
    might then read another model than the one that was governed.
    """
    if changed:
        return _encode({**fields, **changed})
    written = _encode(fields)
    return body if _same_but_for_spaces(body, written) else written


def _same_but_for_spaces(body: bytes, written: bytes) -> bool:
    """Whether the body says the same as it does written again, and so repeats no field.

    Writing it again drops spaces between fields and all but the last of a repeated field. With every space of both
    taken out, inside strings too, a repeated field still makes the body the longer one.
    """
    return len(body) == len(written) or body.translate(None, _SPACES) == written.translate(None, _SPACES)
