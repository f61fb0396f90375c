"""What admissions are sent as. The claims and rates of an agent are the same tuples for each of its requests, so their
bytes are kept by the tuple's identity. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from gateway.ledger.operations import Bid, Claim, Opening, Ticket, Unit

KEPT: Final = 4096
EXACT: Final = 2**53
"""Integers below this are exact in Lua."""
_ARRAY_OF_4: Final = b"\x94"
_NONE: Final = b"\xc0"
_NO_RUNS: Final = b"\x90"
_NOWHERE: Final = _NONE + _NO_RUNS

_pack = msgspec.msgpack.Encoder().encode
Part = str | bytes | int


class Encoder:
    """Turns tickets into the arguments of `admit.lua`, the epoch left out."""

    def __init__(self, owner: str) -> None:
        self._owner = owner
        self._claims: dict[int, tuple[tuple[Claim, ...], bytes, str]] = {}
        self._rates: dict[int, tuple[Any, bytes]] = {}

    def ticket(self, ticket: Ticket) -> tuple[Part, ...]:
        """Owner, id, via, runs, and ten arguments for each bid."""
        id, bids, runs, via = ticket
        if runs or via:
            packed_runs = _pack(runs)
            tail = (_NONE if via is None else _pack(via)) + packed_runs
            head: tuple[Part, ...] = (self._owner, id, via or "", packed_runs if runs else b"")
        else:
            tail, head = _NOWHERE, (self._owner, id, "", b"")
        if len(bids) == 1:
            return head + self._bid(bids[0], tail)
        return head + tuple(part for bid in bids for part in self._bid(bid, tail))

    def _bid(self, bid: Bid, tail: bytes) -> tuple[Part, ...]:
        claims, rates, strict, calibrated, least, rate_tokens, origin, _ = bid
        kept = self._claims.get(id(claims))
        if kept is None or kept[0] is not claims:
            kept = self._keep_claims(claims)
        body = b"".join((_ARRAY_OF_4, kept[1], _pack(origin), tail))
        packed_rates = b""
        if rates:
            held = self._rates.get(id(rates))
            if held is None or held[0] is not rates:
                if len(self._rates) >= KEPT:
                    self._rates.clear()
                held = self._rates[id(rates)] = (rates, _pack(rates))
            packed_rates = held[1]
        return (body, kept[2], packed_rates, *strict, *calibrated, *least, rate_tokens)

    def _keep_claims(self, claims: tuple[Claim, ...]) -> tuple[tuple[Claim, ...], bytes, str]:
        if len(self._claims) >= KEPT:
            self._claims.clear()
        kept = self._claims[id(claims)] = (claims, _pack(claims), limits_of(claims))
        return kept


def limits_of(claims: Sequence[Claim]) -> str:
    """Limits as text, where one is too large for Lua's numbers; else empty."""
    if any(not -EXACT < claim.limit < EXACT for claim in claims):
        return " ".join(str(claim.limit) for claim in claims)
    return ""


def opening_args(opening: Opening) -> tuple[Part, ...]:
    """The arguments of `open_run.lua`, the epoch left out."""
    limits = opening.limits
    parent, via = opening.parent, opening.carve_via
    origin = opening.carve_origin
    claims = opening.carve_claims
    runs = () if parent is None else (parent,)
    return (
        opening.id,
        parent or "",
        opening.org,
        opening.agent,
        msgspec.json.encode(limits),
        *("" if limit is None else limit for limit in (limits.depth, limits.children)),
        "" if limits.wall_s is None else repr(float(limits.wall_s)),
        repr(float(opening.ttl_s)),
        int(opening.carve),
        via or "",
        _pack((claims, origin, via, runs)),
        limits_of(claims),
        "0" if origin is None else "1",
        _pack(own_claims(opening)),
        "" if opening.max_open is None else opening.max_open,
    )


def own_claims(opening: Opening) -> list[Claim]:
    """The counters that begin with a run: its limits', and its carve's."""
    scope, limits = f"run:{opening.id}", opening.limits
    own = (
        (f"r|{opening.id}|cost", Unit.MONEY, limits.cost),
        (f"r|{opening.id}|requests", Unit.REQUESTS, limits.requests),
        (f"r|{opening.id}|tokens", Unit.TOKENS, limits.tokens),
        (f"k|{opening.id}", Unit.MONEY, opening.carve or None),
    )
    return [Claim(key, unit, limit, 0, scope) for key, unit, limit in own if limit is not None]
