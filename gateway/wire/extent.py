"""How large a request to an API other than chat may come out, before its answer says so. Pure.

Images, speech, transcriptions, reranking, moderation: each is billed by tokens or by a unit of its own, as the
deployment has it. What the request says of either is here; `gateway.pricing.extents` makes money of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from routing.money import Usage

UNKNOWN: Final = -1
"""In `Extent.most`: as much as the deployment's context window, or its longest answer."""


class Images(NamedTuple):
    """The images that a request asks for."""

    number: int
    size: str
    """Empty where the request leaves it to the model."""
    quality: str
    partial: int
    """Earlier states of each, that are sent as well."""


class Extent(NamedTuple):
    """What one request may be billed for."""

    estimate: Usage
    """Tokens, rather high than low."""
    most: Usage
    """No more tokens than these; `UNKNOWN` where the request does not bound them."""
    units: Mapping[str, int]
    """What is billed by count where a tariff says so: `{"character": 120}`. Rather high than low."""
    most_units: Mapping[str, int]
    """No more than these."""
    field: str
    """The field that decides on its size."""
    exact: bool = False
    """Whether `units` are what will be billed, whatever the answer is."""
    images: Images | None = None
