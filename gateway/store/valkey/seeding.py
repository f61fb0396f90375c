"""What is posted in counters that Valkey does not have: asked of the journal, completed from the stream by Lua."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import msgspec

from gateway.ledger.operations import Claim
from gateway.store.valkey.encode import limits_of


class Seeds(NamedTuple):
    """What is posted, as of one moment of the journal."""

    upto: str
    """Id of the last entry of the stream that is counted in: all before it are too, none after it. `0-0`: none."""
    posted: Sequence[int | dict[int, int]]
    """For each claim: the sum; by bucket (`floor(window_at_s / bucket_s)`) for a rolling one."""
    entries: Sequence[tuple[str, ...]] = ()
    """For each claim: ids of the adjustments that are counted in and may still come to `adjust`, without spaces."""


class Seeder(Protocol):
    """Knows what is posted in a counter that Valkey does not have."""

    async def seed(self, claims: Sequence[Claim]) -> Seeds:
        """What the journal says of these counters, in one snapshot. Raises StoreUnavailable."""
        ...


def seed_args(claims: Sequence[Claim], seeds: Seeds) -> list[str | bytes]:
    """The arguments of `seed.lua`, the epoch left out."""
    args: list[str | bytes] = [seeds.upto, msgspec.msgpack.encode(claims), limits_of(claims)]
    entries = seeds.entries or [()] * len(claims)
    for posted, counted in zip(seeds.posted, entries, strict=True):
        if isinstance(posted, int):
            args.append(str(posted))
        else:
            args.append(" ".join(f"{bucket} {amount}" for bucket, amount in posted.items() if amount))
        args.append(" ".join(counted))
    return args
