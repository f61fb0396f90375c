"""The stream's events: what Lua appends in the call that changes the counters, and the drain writes to the journal.

An entry of the stream has these fields. Lua copies `b` as the gateway sent it, and never reads it:

    k   kind, below
    i   the reservation's id; the run's, the adjustment's entry id
    o   owner: the gateway that holds the reservation; empty for a run's carve, which no gateway's death ends
    n   integers, separated by spaces, below; times are microseconds since 1970, of the store's clock
    b   body: JSON, below
    d   what it changed in `posted`, for seeding: JSON array of [key, amount, bucket or 0] (the drain skips it)

    k        n                                                         b
    admit    at_us strict.money strict.tokens cal.money cal.tokens     body_of(...)
    extend   strict.money strict.tokens cal.money cal.tokens (sums)    -
    settle   window_at_us reserved_nano_usd                            charge_body(charge)
    release  window_at_us reserved_nano_usd                            charge_body(charge), or empty
    orphan   window_at_us money tokens now_us                          the admission's
    correct  window_at_us reserved_nano_usd money tokens (as orphaned) charge_body(charge)
    void     as the orphan's: released late, without a charge          the admission's
    run      -                                                         run_body(run)
    adjust   amount                                                    the counter's key
    epoch    epoch                                                     -

Pure: bytes in, values out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import msgspec

from gateway.ledger.operations import Amounts, Claim, Origin, Run
from gateway.telemetry.events import ChargePosted
from routing.money import NanoUsd, Usage

MICROS = 1_000_000


class Body(NamedTuple):
    """What the store keeps with a reservation, as the gateway sent it."""

    claims: tuple[Claim, ...]
    origin: Origin
    via: str | None
    runs: tuple[str, ...]


class Admitted(NamedTuple):
    """A reservation is pending: enough to put it back into an empty store, or to charge it."""

    id: str
    owner: str
    at_s: float
    strict: Amounts
    calibrated: Amounts
    body: Body

    @property
    def posted_if_orphaned(self) -> Amounts:
        """What orphaning posts: all that its claims on money reserve at least."""
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
    """Complete; None when nothing was charged nor is anything to be told (a lost admission given back)."""


class Adjusted(NamedTuple):
    """An operator's entry was posted to a counter."""

    entry: str
    key: str
    amount: int


class EpochBegan(NamedTuple):
    """Counters before this entry are gone; what follows counts in the epoch's."""

    epoch: int


StoreEvent = Admitted | Extended | Resolved | Run | Adjusted | EpochBegan

_encode = msgspec.json.encode
_body = msgspec.json.Decoder(Body)
_charge = msgspec.json.Decoder(ChargePosted)
_run = msgspec.json.Decoder(Run)


def body_of(body: Body) -> bytes:
    """What goes with an admission."""
    return _encode(body)


def charge_body(charge: ChargePosted) -> bytes:
    """What goes with a settlement or a release."""
    return _encode(charge)


def run_body(run: Run) -> bytes:
    """What goes with a change of a run."""
    return _encode(run)


class _Entry(NamedTuple):
    id: str
    owner: str
    numbers: Sequence[int]
    body: bytes


def decode(fields: Mapping[bytes, bytes]) -> StoreEvent:
    """The event of a stream's entry. Raises ValueError for an entry that no version of ours wrote."""
    make = _MAKE.get(fields[b"k"])
    if make is None:
        raise ValueError(f"an unknown kind of event: {fields[b'k']!r}")
    numbers = [int(number) for number in fields.get(b"n", b"").split()]
    name, owner = fields.get(b"i", b"").decode(), fields.get(b"o", b"").decode()
    return make(_Entry(name, owner, numbers, fields.get(b"b", b"")))


def _admitted(entry: _Entry) -> Admitted:
    at_us, *amounts = entry.numbers
    strict, calibrated = Amounts(*amounts[:2]), Amounts(*amounts[2:4])
    return Admitted(entry.id, entry.owner, at_us / MICROS, strict, calibrated, _body.decode(entry.body))


def _resolution(resolution: str, entry: _Entry) -> Resolved:
    if not entry.body:
        return Resolved(entry.id, None)
    window_at_us, reserved = entry.numbers
    charge = _charge.decode(entry.body)._replace(
        window_at_s=window_at_us / MICROS, resolution=resolution, reserved_nano_usd=NanoUsd(reserved)
    )
    return Resolved(entry.id, charge)


def orphaned(name: str, origin: Origin, numbers: Sequence[int]) -> ChargePosted:
    """The charge of an attempt whose gateway was lost: all that it had reserved. `numbers` as of an `orphan` entry."""
    window_at_us, money, tokens, now_us = numbers
    return ChargePosted(
        charge_id=name,
        request_id=origin.request_id,
        attempt=origin.attempt,
        at_s=now_us / MICROS,
        org=origin.org,
        team=origin.team,
        agent=origin.agent,
        model=origin.model,
        deployment=origin.deployment,
        provider=origin.provider,
        upstream_model=origin.upstream_model,
        usage=Usage(output_tokens=tokens),
        price_point="reserved",
        service_tier="",
        cost_nano_usd=NanoUsd(money),
        estimated=True,
        unpriced=origin.unpriced,
        outcome="orphaned",
        purpose="failed",
        upstream_status=None,
        latency_ms=0.0,
        first_token_ms=None,
        run_path=origin.run_path,
        user=origin.user,
        tags=origin.tags,
        window_at_s=window_at_us / MICROS,
        resolution="orphaned",
        reserved_nano_usd=NanoUsd(money),
    )


def _correction(entry: _Entry) -> Resolved:
    """What a late settlement changes of an orphaned charge. Its tokens are output tokens, as the orphan's were."""
    window_at_us, reserved, money, tokens = entry.numbers
    charge = _charge.decode(entry.body)
    corrected = charge._replace(
        charge_id=f"{entry.id}.c",
        usage=Usage(charge.usage.input_tokens, charge.usage.output_tokens - tokens),
        cost_nano_usd=NanoUsd(charge.cost_nano_usd - money),
        window_at_s=window_at_us / MICROS,
        resolution="correction",
        reserved_nano_usd=NanoUsd(reserved),
    )
    return Resolved(entry.id, corrected)


def _voided(entry: _Entry) -> Resolved:
    """A late release: the orphaned charge is taken back whole."""
    charge = orphaned(entry.id, _body.decode(entry.body).origin, entry.numbers)
    corrected = charge._replace(
        charge_id=f"{entry.id}.c",
        usage=Usage(output_tokens=-charge.usage.output_tokens),
        cost_nano_usd=NanoUsd(-charge.cost_nano_usd),
        resolution="correction",
        outcome="unreachable",
    )
    return Resolved(entry.id, corrected)


_MAKE: dict[bytes, Callable[[_Entry], StoreEvent]] = {
    b"admit": _admitted,
    b"extend": lambda entry: Extended(entry.id, Amounts(*entry.numbers[:2]), Amounts(*entry.numbers[2:4])),
    b"settle": partial(_resolution, "settled"),
    b"release": partial(_resolution, "released"),
    b"orphan": lambda entry: Resolved(entry.id, orphaned(entry.id, _body.decode(entry.body).origin, entry.numbers)),
    b"correct": _correction,
    b"void": _voided,
    b"run": lambda entry: _run.decode(entry.body),
    b"adjust": lambda entry: Adjusted(entry.id, entry.body.decode(), entry.numbers[0]),
    b"epoch": lambda entry: EpochBegan(entry.numbers[0]),
}
