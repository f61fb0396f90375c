"""What a gateway did on its own while the store was away, in a file: nothing of it is lost by kill -9.

Lines of JSON, appended one write each. A reservation is written before its attempt starts; a line that was cut off by
the death of its writer was never relied upon. Allowances are also synced to the disk: they are few.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from gateway.ledger.operations import Amounts
from gateway.store.protocol import StoreUnavailable
from gateway.store.valkey.codec import Body
from gateway.telemetry.events import ChargePosted

FILE_NAME: Final = "allowances.jsonl"
HOLD, DROP, RESERVE, END, POSTED = "hold", "drop", "reserve", "end", "posted"


class Reserved(NamedTuple):
    """An attempt that was admitted without the store."""

    id: str
    at_s: float
    held: Amounts
    """What it is charged when its end is never told."""
    body: Body
    """With all the claims that it would have had."""
    allowances: tuple[str, ...]


class Ended(NamedTuple):
    """Its charge; None: nothing was billed."""

    id: str
    charge: ChargePosted | None


@dataclass(slots=True)
class Left:
    """What the file tells of."""

    allowances: set[str] = field(default_factory=set)
    """Reservations in the store that were made for the time without it."""
    reserved: dict[str, Reserved] = field(default_factory=dict)
    """Attempts that are not posted yet."""
    ended: dict[str, ChargePosted | None] = field(default_factory=dict)


_encode = msgspec.json.encode
_reserved = msgspec.json.Decoder(tuple[str, Reserved])
_ended = msgspec.json.Decoder(tuple[str, Ended])
_named = msgspec.json.Decoder(tuple[str, str])
_kind = msgspec.json.Decoder(list[Any])


class OfflineLog:
    """The open file. Writing raises StoreUnavailable when the disk does not take it."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / FILE_NAME
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.left = _read(self._path)
        self._descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._end = os.fstat(self._descriptor).st_size

    def hold(self, allowance: str) -> None:
        """An allowance is about to be reserved in the store."""
        self._write((HOLD, allowance))
        os.fsync(self._descriptor)
        self.left.allowances.add(allowance)

    def drop(self, allowance: str) -> None:
        """It is given back."""
        self._write((DROP, allowance))
        self.left.allowances.discard(allowance)
        self._begin_anew()

    def reserve(self, reserved: Reserved) -> None:
        """An attempt starts; on return it outlives kill -9."""
        self._write((RESERVE, reserved))
        self.left.reserved[reserved.id] = reserved

    def end(self, id: str, charge: ChargePosted | None) -> None:
        """It is over."""
        self.left.ended[id] = charge
        self._write((END, Ended(id, charge)))

    def posted(self, id: str) -> None:
        """The journal has its charge. When it has all of them the file begins anew."""
        self.left.reserved.pop(id, None)
        self.left.ended.pop(id, None)
        self._write((POSTED, id))
        self._begin_anew()

    def _begin_anew(self) -> None:
        if not self.left.reserved and not self.left.allowances:
            os.ftruncate(self._descriptor, 0)
            self._end = 0

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)

    def _write(self, record: tuple[Any, ...]) -> None:
        line = _encode(record) + b"\n"
        try:
            written = os.write(self._descriptor, line)
        except OSError as error:
            raise StoreUnavailable(f"{self._path} cannot be written: {error.strerror or error}") from error
        if written != len(line):
            os.ftruncate(self._descriptor, self._end)  # half a line would join the next one
            raise StoreUnavailable(f"{self._path} cannot be written: the disk is full")
        self._end += len(line)


def _read(path: Path) -> Left:
    left = Left()
    data = path.read_bytes() if path.exists() else b""
    for line in data.split(b"\n")[:-1]:
        kind = _kind.decode(line)[0]
        if kind == RESERVE:
            reserved = _reserved.decode(line)[1]
            left.reserved[reserved.id] = reserved
        elif kind == END:
            ended = _ended.decode(line)[1]
            left.ended[ended.id] = ended.charge
        else:
            name = _named.decode(line)[1]
            if kind == HOLD:
                left.allowances.add(name)
            elif kind == DROP:
                left.allowances.discard(name)
            else:
                left.reserved.pop(name, None)
                left.ended.pop(name, None)
    if data and not data.endswith(b"\n"):
        os.truncate(path, len(data) - len(data.rpartition(b"\n")[2]))
    return left
