"""Which attempt of a request is to be admitted, and where it may go."""

from __future__ import annotations

from typing import NamedTuple

from routing.catalog import Deployment


class Turn(NamedTuple):
    """One attempt that wants to begin."""

    number: int
    """1 for the request's first; no two turns of a request have the same."""
    candidates: tuple[Deployment, ...]
    """In order of preference; the first that fits is reserved for."""
    patient: bool = True
    """Whether it may wait for money that others have reserved. One that only replaces or doubles another does not."""
