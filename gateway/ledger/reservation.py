"""The life of a reservation, as one table. Pure.

    pending --settle--> settled        the usual end: the charge is posted, the rest given back
    pending --release-> released       nothing can have been billed
    pending --orphan--> orphaned       its gateway is gone: charged in full, marked
    orphaned -settle--> corrected      the gateway came back: one correction makes it right

Everything else changes nothing: operations are told by their reservation's id, so that one that was sent twice, or
whose reply was lost, can be sent again.
"""

from __future__ import annotations

from typing import Final, Literal

State = Literal["pending", "settled", "released", "orphaned", "corrected"]
Step = Literal["extend", "settle", "release", "orphan"]

TRANSITIONS: Final[dict[tuple[State, Step], State]] = {
    ("pending", "extend"): "pending",
    ("pending", "settle"): "settled",
    ("pending", "release"): "released",
    ("pending", "orphan"): "orphaned",
    ("orphaned", "settle"): "corrected",
    ("orphaned", "release"): "corrected",
}


def after(state: State, step: Step) -> State | None:
    """The state that `step` leads to; None when it changes nothing and must be ignored."""
    return TRANSITIONS.get((state, step))
