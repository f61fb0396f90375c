"""What the log of reservations consists of, as bytes and back.

A segment is a file of records. A record is two bytes that mark its beginning, the length and the CRC-32 of its payload
(little-endian, four bytes each), and the payload: a msgpack array whose first element says which record it is. They are
written as plain tuples, which costs the least, and read as the structs below, whose fields stand in the same order.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, Final, NamedTuple
from zlib import crc32

import msgspec

from gateway.journal.rows import salvage
from gateway.ledger.operations import Claim, Origin, Run
from gateway.telemetry.events import ChargePosted

MARK: Final = b"\xfb\xb0"
_HEADER: Final = struct.Struct("<2sII")
MAX_PAYLOAD_BYTES: Final = 1 << 26
"""No record is longer; a length beyond it is no length."""

BEGAN, RESERVED, EXTENDED, SETTLED, RELEASED, RUN, INTENDED = range(7)


class Began(msgspec.Struct, tag=BEGAN, array_like=True):
    """The first record of a segment: what is pending follows, and nothing that was pending before it is."""

    number: int


class Reserved(msgspec.Struct, tag=RESERVED, array_like=True):
    """An attempt was admitted, or a carve made."""

    id: str
    at_s: float
    """The store's time, whose windows its charge counts in, as far as it does not spend a carve."""
    money: int
    """Nano-USD to charge if its settlement is never written."""
    tokens: int
    via: str | None
    origin: Origin


class Extended(msgspec.Struct, tag=EXTENDED, array_like=True):
    """More was reserved."""

    id: str
    money: int
    tokens: int


class Settled(msgspec.Struct, tag=SETTLED, array_like=True):
    """The attempt ended and cost this much. The charge is kept until the journal certainly has it."""

    id: str
    charge: ChargePosted


class Released(msgspec.Struct, tag=RELEASED, array_like=True):
    """Nothing can have been billed."""

    id: str
    charge: ChargePosted | None


class RunNoted(msgspec.Struct, tag=RUN, array_like=True):
    """A run was opened, paused, resumed or closed: what it is from then on."""

    run: Run
    at_s: float
    """The store's time. Of several the latest counts: a new segment repeats what was said of carved runs."""
    claims: tuple[Claim, ...] = ()
    """Where it carved its money from its parents."""
    via: str | None = None
    """The carve of its parent that it carved from."""


class Intended(msgspec.Struct, tag=INTENDED, array_like=True):
    """An attempt that nothing governs was about to be sent. It is over when the journal has its charge."""

    id: str
    at_s: float
    """When its request arrived."""
    money: int
    """Nano-USD to charge if its charge never reached the journal."""
    tokens: int
    origin: Origin


Record = Began | Reserved | Extended | Settled | Released | RunNoted | Intended

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Record).decode


def framed(record: tuple[Any, ...]) -> bytes:
    """A record's bytes. `record` is its tag and its fields.

    Text and integers that msgpack cannot hold (a client made them up) become the nearest that it can.
    """
    try:
        payload = _encode(record)
    except (OverflowError, UnicodeError):
        payload = _encode(salvage(record))
    return _HEADER.pack(MARK, len(payload), crc32(payload)) + payload


class Damage(NamedTuple):
    """A stretch of a segment that cannot be read."""

    offset: int
    end: int
    torn: bool
    """The last record, cut off by the death of its writer. Nobody was told that it was written."""


def scan(data: bytes) -> Iterator[Record | Damage]:
    """The records of a segment in order, and what lies between them that is none.

    After a damaged stretch reading goes on with the next record that is whole.
    """
    offset = 0
    while offset < len(data):
        found = _at(data, offset)
        if found is not None:
            record, offset = found
            yield record
            continue
        start = offset
        while found is None:
            offset = data.find(MARK, offset + 1)
            if offset < 0:
                yield Damage(start, len(data), _is_torn(data, start))
                return
            found = _at(data, offset)
        yield Damage(start, offset, False)


def _at(data: bytes, offset: int) -> tuple[Record, int] | None:
    """The record at `offset` and where the next one begins."""
    start = offset + _HEADER.size
    if start > len(data):
        return None
    mark, length, checksum = _HEADER.unpack_from(data, offset)
    end = start + length
    if mark != MARK or length > MAX_PAYLOAD_BYTES or end > len(data):
        return None
    payload = memoryview(data)[start:end]
    if crc32(payload) != checksum:
        return None
    try:
        return _decode(payload), end
    except msgspec.MsgspecError:
        return None


def _is_torn(data: bytes, offset: int) -> bool:
    """Whether what begins at `offset` is the beginning of a record and nothing else."""
    rest = data[offset : offset + _HEADER.size]
    if len(rest) < _HEADER.size:
        return rest[:2] == MARK[: len(rest)]
    mark, length, _ = _HEADER.unpack(rest)
    return bool(mark == MARK and length <= MAX_PAYLOAD_BYTES and offset + _HEADER.size + length > len(data))
