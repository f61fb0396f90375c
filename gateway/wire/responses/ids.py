"""Ids that are ours: of responses that were translated, and of their items. All tell that they are.

A provider of the Responses API refuses thoughts that it did not think itself: those with such an id are not sent to it.
"""

from __future__ import annotations

from typing import Final

_OURS: Final = "fbx"
REASONING: Final = f"rs_{_OURS}"
"""How the ids of our reasoning items begin."""


def _base(request_id: str) -> str:
    return _OURS + "".join(char for char in request_id.removeprefix("req_") if char.isascii() and char.isalnum())


def response_id(request_id: str) -> str:
    """The id of the response to a request of ours: unique, as the request's own is."""
    return f"resp_{_base(request_id)}"


def item_id(prefix: str, request_id: str, index: int) -> str:
    """The id of an item; `prefix` tells its type: `msg`, `fc`, `rs`."""
    return f"{prefix}_{_base(request_id)}{index:03x}"
