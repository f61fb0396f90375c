"""The stream's events: what Lua appends in the call that changes the counters, and the drain writes to the journal.

An entry's id is `<epoch>-<number in the epoch>`: without gaps, and never going back. Its fields, of which Lua copies
`b` as the gateway sent it:

    k   kind, below
    i   the reservation's id; the run's, the adjustment's entry id
    o   owner: the gateway that holds the reservation; empty for a run's carve, which no gateway's death ends
    n   integers, separated by spaces, below; times are microseconds since 1970, of the store's clock
    b   body, below: JSON, but for an admission's, which is msgpack, because Lua reads its first element (the claims)
    m   money, tokens and requests that it posted, for seeding (the drain skips it)

    k        n                                                         b
    admit    at_us strict.money strict.tokens cal.money cal.tokens     body_of(...)
             and, where it is its carve's, window_at_us
    extend   strict.money strict.tokens cal.money cal.tokens (sums)    -
    settle   window_at_us reserved_nano_usd [own_us]                   charge_body(charge)
    release  window_at_us reserved_nano_usd [own_us]                   charge_body(charge), or empty
    orphan   window_at_us money tokens now_us [own_us]                 the admission's
    correct  window_at_us reserved_nano_usd money tokens [own_us]      charge_body(charge)
             (money and tokens as orphaned)
    void     as the orphan's: released late, without a charge          the admission's
    run      at_us                                                     the run, as JSON
    adjust   amount at_us                                              the counter's key
    epoch    epoch                                                     -

`own_us` is when it was reserved itself, where that is not window_at_us: it spends a carve.

Pure: bytes in, values out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import msgspec

from gateway.ledger.operations import Amounts, Claim, Origin, Run
from gateway.store.orphans import orphan_charge
from gateway.telemetry.events import Adjusted as Entry
from gateway.telemetry.events import ChargePosted, OrphanReturned, RunChanged
from routing.money import NanoUsd, Usage

MICROS = 1_000_000


class Body(NamedTuple):
    """What the store keeps with a reservation, as the gateway sent it."""

    claims: tuple[Claim, ...]
    origin: Origin | None
    """None for a gateway's allowance, and for a carve that is never charged by itself."""
    via: str | None
    runs: tuple[str, ...]


class Admitted(NamedTuple):
    """A reservation is pending: enough to put it back into an empty store, or to charge it."""

    id: str
    owner: str
    """The gateway that holds it; empty for a run's carve, which no gateway's death ends."""
    at_s: float
    """When it was made: what the buckets of rolling windows go by."""
    window_at_s: float
    """Whose windows its charge counts in: its own time, or its carve's."""
    strict: Amounts
    calibrated: Amounts
    """With all extensions."""
    body: Body

    @property
    def held(self) -> Amounts:
        """What orphaning posts."""
        return self.calibrated if any(claim.calibrated for claim in self.body.claims) else self.strict


class Extended(NamedTuple):
    """A pending reservation has these amounts now."""

    id: str
    strict: Amounts
    calibrated: Amounts


class Resolved(NamedTuple):
    """A reservation is pending no more: settled, released, orphaned, or, orphaned before, corrected."""

    id: str
    charge: ChargePosted | None
    """Complete; None when there is nothing to tell (a lost admission given back)."""
    orphaned: bool = False
    """A late settlement may still correct it."""
    returned: OrphanReturned | None = None
    """Its orphan, which was charged in full, counts no more."""
    entry: Entry | None = None
    """What takes the charge's place for a gateway's allowance, which is nobody's attempt."""


class Adjusted(NamedTuple):
    """An operator's entry was posted to a counter."""

    entry: str
    key: str
    amount: int
    at_s: float


class EpochBegan(NamedTuple):
    """Counters before this entry are gone; what follows counts in the epoch's."""

    epoch: int


StoreEvent = Admitted | Extended | Resolved | RunChanged | Adjusted | EpochBegan

_pack = msgspec.msgpack.encode
_encode = msgspec.json.encode
_body = msgspec.msgpack.Decoder(Body)
_charge = msgspec.json.Decoder(ChargePosted)
_run = msgspec.json.Decoder(Run)


def body_of(body: Body) -> bytes:
    """What goes with an admission. Lua finds the claims at offset 1: the body is an array of fewer than 16 elements."""
    return _pack(body)


def charge_body(charge: ChargePosted) -> bytes:
    """What goes with a settlement or a release."""
    return _encode(charge)


def charge_of_body(data: bytes) -> ChargePosted:
    """The charge that `charge_body` was made from. Raises ValueError."""
    return _charge.decode(data)


class _Entry(NamedTuple):
    id: str
    owner: str
    numbers: Sequence[int]
    body: bytes


def decode(fields: Mapping[bytes, bytes]) -> StoreEvent:
    """The event of a stream's entry. Raises ValueError for an entry that no version of ours wrote."""
    make = _MAKE.get(fields.get(b"k", b""))
    if make is None:
        raise ValueError(f"an unknown kind of event: {fields!r}")
    numbers = [int(number) for number in fields.get(b"n", b"").split()]
    name, owner = fields.get(b"i", b"").decode(), fields.get(b"o", b"").decode()
    try:
        return make(_Entry(name, owner, numbers, fields.get(b"b", b"")))
    except IndexError as error:
        raise ValueError(f"an event without its numbers: {fields!r}") from error


def correction(charge: ChargePosted, orphaned: Amounts) -> ChargePosted:
    """The one entry that makes an orphan's charge right. Its tokens stand in the output, as the orphan's did.

    What the orphan was counted under, it is taken from: else waste and estimates would stay as large as the orphan.
    """
    usage, listed = charge.usage, charge.listed_nano_usd
    return charge._replace(
        charge_id=f"{charge.charge_id}.c",
        usage=Usage(output_tokens=usage.input_tokens + usage.output_tokens - orphaned.tokens),
        cost_nano_usd=NanoUsd(charge.cost_nano_usd - orphaned.money),
        listed_nano_usd=None if listed is None else NanoUsd(listed - orphaned.money),
        purpose="failed",
        estimated=True,
        resolution="correction",
    )


def _admitted(entry: _Entry) -> Admitted:
    at_us, sm, st, cm, ct, *window_us = entry.numbers
    return Admitted(
        entry.id,
        entry.owner,
        at_us / MICROS,
        (window_us[0] if window_us else at_us) / MICROS,
        Amounts(sm, st),
        Amounts(cm, ct),
        _body.decode(entry.body),
    )


def _extended(entry: _Entry) -> Extended:
    sm, st, cm, ct = entry.numbers
    return Extended(entry.id, Amounts(sm, st), Amounts(cm, ct))


def _ended(resolution: str, entry: _Entry) -> Resolved:
    if not entry.body:
        return Resolved(entry.id, None)
    window_at_us, reserved, *own_us = entry.numbers
    charge = _charge.decode(entry.body)
    if charge.resolution == "orphaned":  # by its own gateway, which was killed while the store was away
        resolution = "orphaned"
    charge = charge._replace(
        window_at_s=window_at_us / MICROS,
        resolution=resolution,
        reserved_nano_usd=NanoUsd(reserved),
        reserved_at_s=_own_s(own_us),
    )
    return Resolved(entry.id, charge)


def _own_s(own_us: Sequence[int]) -> float:
    return own_us[0] / MICROS if own_us else 0.0


def allowance_entry(name: str, claim: Claim, amount: int, at_s: float, window_at_s: float) -> Entry:
    """What a lost gateway may have spent of its allowance, as an entry of the one budget that it belongs to."""
    budget, _, rest = claim.key.removeprefix("b|").partition("|")
    value = rest.rpartition("|")[0]
    return Entry(name, at_s, budget, value, window_at_s, amount, "the allowance of a gateway that was lost", "farebox")


def _orphan(entry: _Entry) -> Resolved:
    body = _body.decode(entry.body)
    if body.origin is not None:
        return Resolved(entry.id, _orphan_of(entry), orphaned=True)
    return Resolved(entry.id, None, orphaned=True, entry=_allowance(entry.id, entry, body, 1))


def _allowance(name: str, entry: _Entry, body: Body, sign: int) -> Entry:
    window_at_us, money, _, now_us = entry.numbers[:4]
    return allowance_entry(name, body.claims[0], sign * money, now_us / MICROS, window_at_us / MICROS)


def _orphan_of(entry: _Entry) -> ChargePosted:
    window_at_us, money, tokens, now_us, *own_us = entry.numbers
    origin = _body.decode(entry.body).origin
    if origin is None:
        raise ValueError(f"{entry.id} is nobody's")
    amounts = Amounts(money, tokens)
    return orphan_charge(entry.id, origin, now_us / MICROS, window_at_us / MICROS, amounts, own_s=_own_s(own_us))


def _corrected(entry: _Entry) -> Resolved:
    window_at_us, reserved, money, tokens, *own_us = entry.numbers
    charge = _charge.decode(entry.body)._replace(
        window_at_s=window_at_us / MICROS, reserved_nano_usd=NanoUsd(reserved), reserved_at_s=_own_s(own_us)
    )
    # Its own gateway's second life found it unsettled: nobody has counted it.
    uncounted = charge.cost_nano_usd if charge.resolution == "orphaned" else 0
    return Resolved(entry.id, correction(charge, Amounts(money, tokens)), returned=_returned(charge, money - uncounted))


def _returned(charge: ChargePosted, nano_usd: int) -> OrphanReturned:
    whose = (charge.org, charge.team, charge.agent, charge.model, charge.provider)
    return OrphanReturned(*whose, NanoUsd(max(0, nano_usd)))


def _voided(entry: _Entry) -> Resolved:
    """Released late: the orphan's charge is taken back whole."""
    body = _body.decode(entry.body)
    if body.origin is None:
        return Resolved(entry.id, None, entry=_allowance(f"{entry.id}.c", entry, body, -1))
    charge = _orphan_of(entry)
    nothing = charge._replace(usage=Usage(), cost_nano_usd=NanoUsd(0), outcome="unreachable")
    orphaned = Amounts(charge.cost_nano_usd, charge.usage.output_tokens)
    return Resolved(entry.id, correction(nothing, orphaned), returned=_returned(charge, orphaned.money))


def _adjusted(entry: _Entry) -> Adjusted:
    amount, at_us = entry.numbers
    return Adjusted(entry.id, entry.body.decode(), amount, at_us / MICROS)


_MAKE: dict[bytes, Callable[[_Entry], StoreEvent]] = {
    b"admit": _admitted,
    b"extend": _extended,
    b"settle": partial(_ended, "settled"),
    b"release": partial(_ended, "released"),
    b"orphan": _orphan,
    b"correct": _corrected,
    b"void": _voided,
    b"run": lambda entry: RunChanged(_run.decode(entry.body), entry.numbers[0] / MICROS),
    b"adjust": _adjusted,
    b"epoch": lambda entry: EpochBegan(entry.numbers[0]),
}
