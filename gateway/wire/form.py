"""Whether a whole answer has the form that its request asked for: JSON, or calls of its tools. Pure.

It says nothing of whether the answer is right. Streams are not looked at: nobody holds them back to be read whole.
"""

from __future__ import annotations

from typing import Final

from gateway.wire.requests import ModelRequest
from gateway.wire.verify import unmet
from routing.rules import Verify

MAX_BYTES: Final = 262_144
"""Longer answers are not looked at."""
_FORM: Final = Verify(("schema", "tool_calls"))


def has_form(request: ModelRequest, body: bytes) -> bool | None:
    """Whether an answer has the form that was asked for; None where none was, or nobody can tell.

    What is asked for: JSON, where `response_format` says so; arguments that fit, where the answer calls tools. An
    answer that was cut at its bound is not judged.
    """
    asked = _wants_json(request) or (request.profile.tools and b'"tool_calls"' in body)
    if not asked or len(body) > MAX_BYTES or b'"length"' in body:
        return None
    return not unmet(_FORM, request, body, 0)


def _wants_json(request: ModelRequest) -> bool:
    """Whether it asks for JSON, of whichever schema or of none."""
    return b'"json_' in bytes(request.fields.get("response_format", b""))
