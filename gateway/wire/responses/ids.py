"""Ids that are ours: of responses that were translated, and of their items. All tell that they are.

A provider of the Responses API refuses thoughts that it did not think itself: those with such an id are not sent to it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

_OURS: Final = "fbx"
_INDEX_DIGITS: Final = 3
REASONING: Final = f"rs_{_OURS}"
"""How the ids of our reasoning items begin."""


def _base(request_id: str) -> str:
    return _OURS + "".join(char for char in request_id.removeprefix("req_") if char.isascii() and char.isalnum())


def response_id(request_id: str) -> str:
    """The id of the response to a request of ours: unique, as the request's own is."""
    return f"resp_{_base(request_id)}"


def response_ids_of(item_ids: Iterable[str]) -> tuple[str, ...]:
    """The ids of the responses that items with these ids came with, as far as the ids are ours; each once."""
    found: dict[str, None] = {}
    for each in item_ids:
        _, _, base = each.partition("_")
        if base.startswith(_OURS) and len(base) > len(_OURS) + _INDEX_DIGITS:
            found[f"resp_{base[:-_INDEX_DIGITS]}"] = None
    return tuple(found)


def item_id(prefix: str, request_id: str, index: int) -> str:
    """The id of an item; `prefix` tells its type: `msg`, `fc`, `rs`."""
    return f"{prefix}_{_base(request_id)}{index:0{_INDEX_DIGITS}x}"
