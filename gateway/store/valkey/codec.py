"""The stream's events: what Lua appends in the call that changes the counters, and the drain writes to the journal.

An entry's id is `<epoch>-<number in the epoch>`: without gaps, and never going back. Every entry has `type`, `at` (the
store's time) and `id`; times are integer microseconds since 1970, money is nano-USD. `claims` is msgpack, which Lua
reads; `origin`, `charge` and `run` are JSON that Lua copies as the gateway sent it.

    type        fields
    reserve     owner, window, via, claims, origin, sm, st, cm, ct (strict and calibrated money and tokens)
    extend      money, tokens (added to the calibrated amounts)
    settle      window, reserved (nano-USD), charge
    release     window, reserved, charge (may be empty)
    orphan      owner, window, money, tokens, origin
    correction  window, money, tokens (the differences), reserved, charge; after a late release without one, origin
    run         run
    adjust      key, amount (`id` is the entry's)
    epoch       -

Pure: bytes in, values out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

import msgspec

from gateway.ledger.operations import Amounts, Claim, Origin, Run
from gateway.telemetry.events import ChargePosted
from routing.money import NanoUsd, Usage

MICROS = 1_000_000

Fields = Mapping[bytes, bytes]


class Pending(NamedTuple):
    """A reservation: enough to put it back into an empty store, or to charge it."""

    id: str
    owner: str
    """The gateway that holds it; empty for a run's carve, which no gateway's death ends."""
    at_s: float
    """When it was made: what buckets of rolling windows go by."""
    window_at_s: float
    """Whose windows its charge counts in: its own time, or its carve's."""
    strict: Amounts
    calibrated: Amounts
    """With all extensions."""
    via: str | None
    claims: tuple[Claim, ...]
    origin: Origin | None
    """None for what is never charged by itself."""

    @property
    def in_full(self) -> Amounts:
        """What orphaning posts."""
        return self.calibrated if any(claim.calibrated for claim in self.claims) else self.strict


class Extended(NamedTuple):
    """A pending reservation got so much more."""

    id: str
    more: Amounts


class Resolved(NamedTuple):
    """A reservation is pending no more: settled, released, orphaned, or, orphaned before, corrected."""

    id: str
    charge: ChargePosted | None
    """Complete; None when there is nothing to tell (a lost admission given back)."""
    orphaned: bool = False
    """A late settlement may still correct it."""


class Adjusted(NamedTuple):
    """An operator's entry was posted to a counter."""

    entry: str
    key: str
    amount: int
    at_s: float


class EpochBegan(NamedTuple):
    """The first entry of an epoch."""


StoreEvent = Pending | Extended | Resolved | Run | Adjusted | EpochBegan

_pack = msgspec.msgpack.encode
_encode = msgspec.json.encode
_claims = msgspec.msgpack.Decoder(tuple[Claim, ...])
_origin = msgspec.json.Decoder(Origin)
_charge = msgspec.json.Decoder(ChargePosted)
_run = msgspec.json.Decoder(Run)


def claims_bytes(claims: tuple[Claim, ...]) -> bytes:
    """What Lua reads with cmsgpack: an array of arrays, fields in their order."""
    return _pack(claims)


def origin_bytes(origin: Origin) -> bytes:
    """What goes with an admission, for a charge that its gateway does not live to write."""
    return _encode(origin)


def charge_bytes(charge: ChargePosted) -> bytes:
    """What goes with a settlement or a release."""
    return _encode(charge)


def run_bytes(run: Run) -> bytes:
    """What goes with a change of a run."""
    return _encode(run)


def claims_of(data: bytes) -> tuple[Claim, ...]:
    """Claims from their bytes. Raises ValueError."""
    return _claims.decode(data) if data else ()


def origin_of(data: bytes) -> Origin | None:
    """An origin from its bytes, None from none. Raises ValueError."""
    return _origin.decode(data) if data else None


def decode(fields: Fields) -> StoreEvent:
    """The event of a stream's entry. Raises ValueError for an entry that no version of ours wrote."""
    make = _MAKE.get(fields.get(b"type", b""))
    if make is None:
        raise ValueError(f"an unknown kind of event: {fields!r}")
    try:
        return make(fields)
    except KeyError as error:
        raise ValueError(f"an event without {error}: {fields!r}") from error


def orphan_charge(name: str, origin: Origin, at_s: float, window_at_s: float, amounts: Amounts) -> ChargePosted:
    """The charge of an attempt whose gateway was lost: all that it had reserved, its tokens as output."""
    return ChargePosted(
        charge_id=name,
        request_id=origin.request_id,
        attempt=origin.attempt,
        at_s=at_s,
        org=origin.org,
        team=origin.team,
        agent=origin.agent,
        model=origin.model,
        deployment=origin.deployment,
        provider=origin.provider,
        upstream_model=origin.upstream_model,
        usage=Usage(output_tokens=amounts.tokens),
        price_point="reserved",
        service_tier="",
        cost_nano_usd=NanoUsd(amounts.money),
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
        window_at_s=window_at_s,
        resolution="orphaned",
        reserved_nano_usd=NanoUsd(amounts.money),
    )


def correction(charge: ChargePosted, difference: Amounts) -> ChargePosted:
    """The one entry that makes an orphaned charge right. Its tokens stand in the output, as the orphan's did."""
    return charge._replace(
        charge_id=f"{charge.charge_id}.c",
        usage=Usage(output_tokens=difference.tokens),
        cost_nano_usd=NanoUsd(difference.money),
        resolution="correction",
    )


def _text(fields: Fields, name: bytes) -> str:
    return fields.get(name, b"").decode()


def _time_s(fields: Fields, name: bytes) -> float:
    return int(fields.get(name) or fields[b"at"]) / MICROS


def _pending(fields: Fields) -> Pending:
    number = {name: int(fields[name]) for name in (b"sm", b"st", b"cm", b"ct")}
    return Pending(
        _text(fields, b"id"),
        _text(fields, b"owner"),
        _time_s(fields, b"at"),
        _time_s(fields, b"window"),
        Amounts(number[b"sm"], number[b"st"]),
        Amounts(number[b"cm"], number[b"ct"]),
        _text(fields, b"via") or None,
        claims_of(fields.get(b"claims", b"")),
        origin_of(fields.get(b"origin", b"")),
    )


def _amounts(fields: Fields) -> Amounts:
    return Amounts(int(fields[b"money"]), int(fields[b"tokens"]))


def _ended(resolution: str, fields: Fields) -> Resolved:
    body = fields.get(b"charge")
    if not body:
        return Resolved(_text(fields, b"id"), None)
    charge = _charge.decode(body)._replace(
        window_at_s=_time_s(fields, b"window"),
        resolution=resolution,
        reserved_nano_usd=NanoUsd(int(fields[b"reserved"])),
    )
    return Resolved(charge.charge_id, charge)


def _orphaned(fields: Fields) -> Resolved:
    name, origin = _text(fields, b"id"), origin_of(fields[b"origin"])
    if origin is None:
        return Resolved(name, None, True)
    at_s, window_at_s = _time_s(fields, b"at"), _time_s(fields, b"window")
    return Resolved(name, orphan_charge(name, origin, at_s, window_at_s, _amounts(fields)), True)


def _corrected(fields: Fields) -> Resolved:
    name = _text(fields, b"id")
    charge = _ended("settled", fields).charge
    if charge is None:
        origin = origin_of(fields.get(b"origin", b""))
        if origin is None:
            return Resolved(name, None)
        charge = orphan_charge(
            name, origin, _time_s(fields, b"at"), _time_s(fields, b"window"), Amounts(0, 0)
        )._replace(outcome="unreachable")
    return Resolved(name, correction(charge, _amounts(fields)))


_MAKE: dict[bytes, Callable[[Fields], StoreEvent]] = {
    b"reserve": _pending,
    b"extend": lambda fields: Extended(_text(fields, b"id"), _amounts(fields)),
    b"settle": partial(_ended, "settled"),
    b"release": partial(_ended, "released"),
    b"orphan": _orphaned,
    b"correction": _corrected,
    b"run": lambda fields: _run.decode(fields[b"run"]),
    b"adjust": lambda fields: Adjusted(
        _text(fields, b"id"), _text(fields, b"key"), int(fields[b"amount"]), _time_s(fields, b"at")
    ),
    b"epoch": lambda _fields: EpochBegan(),
}
