"""What is kept of the Responses API, as people write it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from gateway.config.models.base import Count, Flag, Number, Whole, Written

_YEAR_S = 31_536_000


class Responses(Written):
    """How long and how much."""

    enabled: Flag = Field(
        True,
        description="Keep responses and conversations, for `previous_response_id` and the like. `off`: such requests "
        "are refused with 404.",
    )
    ttl_s: Annotated[Number, Field(gt=0, le=10 * _YEAR_S)] = Field(
        2_592_000.0,
        description="A response is deleted so long after it, or what follows up on it, was made; a conversation so "
        "long after it was used last.",
    )
    max_bytes: Count = Field(
        1_073_741_824,
        description="What all responses and conversations together may take. Beyond that those go first whose time "
        "ends first.",
    )
    max_response_bytes: Count = Field(
        8_388_608, description="A response that is larger, its own input counted, is not kept."
    )
    max_chain: Annotated[Whole, Field(ge=1, le=10_000)] = Field(
        500,
        description="Responses that may follow one another by `previous_response_id`; the next is refused with 400.",
    )
    max_background: Annotated[Whole, Field(ge=0)] = Field(
        100, description="Responses with `background: true` that this gateway runs at a time; another is refused (429)."
    )
