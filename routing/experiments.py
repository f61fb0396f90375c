"""Which arm of an experiment a request belongs to: always the same for one run. Pure."""

from __future__ import annotations

from hashlib import blake2b

from routing.decision import Wanted
from routing.rules import Arm


def arm_of(experiment: str, arms: tuple[Arm, ...], wanted: Wanted) -> Arm:
    """The arm for the run; for the session, or the request, where there is no run. Each as often as its percent says.

    Experiments are independent of each other: the name goes into the hash.
    """
    whose = wanted.run or wanted.session or wanted.request_id
    digest = blake2b(f"{experiment}\0{wanted.facts.agent}\0{whose}".encode(), digest_size=8).digest()
    at = int.from_bytes(digest, "big") / 2**64 * sum(arm.percent for arm in arms)
    for arm in arms[:-1]:
        if at < arm.percent:
            return arm
        at -= arm.percent
    return arms[-1]
