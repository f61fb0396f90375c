"""The memory store's log: what outlives a kill -9.

A reservation is handed to the operating system before the attempt is sent upstream, by a write of its own. One write
per tick of the loop, with a future for each that waits, was measured against it: the write costs 1.3 µs of processor
time, the future, its callback and the second step of the coroutine 5 µs and more, at any concurrency. So `reserve` and
`extend` are plain calls. Settlements and releases gain nothing by being early: they wait for the next write, or for
`flush` (the store calls it 50 ms after the first). Lost ones make an attempt count as an orphan, at what was reserved.

Files are called `reservations-<n>.log`. A new one begins with everything that is pending and then takes the place of
those before it, which are kept until the journal has the charges that are written in them. See `gateway.store.records`
for the bytes, `gateway.store.recovery` for reading them.

A write that fails leaves nothing behind: the file is cut back to where it was, and if even that fails a new file is
begun. So a full disk refuses admissions one by one, and the first that fits on it again goes through.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from gateway.ledger.claiming import carve_id
from gateway.ledger.operations import Amounts, Claim, Origin, Run
from gateway.store.records import BEGAN, EXTENDED, INTENDED, RELEASED, RESERVED, RUN, SETTLED, framed
from gateway.telemetry.events import ChargePosted

_log = logging.getLogger("farebox.store")

ROTATE_AT_BYTES: Final = 8 * 1024 * 1024
_SNAPSHOT_SHARE: Final = 4
"""A file is at least so many times as long as what it began with, however much is pending."""
_NAME: Final = "reservations-{}.log"


class LogUnwritable(Exception):
    """The log could not be written; what was to be written is not in it."""


def segments(directory: Path) -> list[tuple[int, Path]]:
    """The files of the log, by number, the oldest first."""
    found = []
    for path in directory.glob(_NAME.format("*")):
        number = path.stem.partition("-")[2]
        if number.isdecimal():
            found.append((int(number), path))
    return sorted(found)


class ReservationLog:
    """The open log. Used by one thread."""

    def __init__(self, directory: Path, carved: Iterable[tuple[Run, tuple[Claim, ...], str | None]] = ()) -> None:
        """Begin a file after those that exist; they count as `retired`. Raises LogUnwritable.

        `carved`: what is pending of them, as for `run`.
        """
        self._directory = directory
        self._pending: dict[str, bytes] = {
            carve_id(run.id): framed((RUN, run, run.opened_at_s, claims, via)) for run, claims, via in carved
        }
        self._waiting: list[bytes] = []
        self._descriptor = -1
        self._size = 0
        self._rotate_at = ROTATE_AT_BYTES
        self._broken = False
        existing = segments(directory)
        self._number = existing[-1][0] if existing else 0
        self.retired: list[Path] = [path for _, path in existing]
        """Older files: to be given to `remove` once the journal has every charge that was settled until now."""
        self.generation = 0
        """Counts the files begun: a sync of an older one says nothing of this one."""
        self.rotate()

    @property
    def descriptor(self) -> int:
        """Of the current file, for `fdatasync`."""
        return self._descriptor

    @property
    def waiting(self) -> bool:
        """Whether settlements or releases wait to be written."""
        return bool(self._waiting)

    @property
    def full(self) -> bool:
        """Whether it is time to `rotate`."""
        return self._size >= self._rotate_at or self._broken

    def __contains__(self, reservation: str) -> bool:
        """Whether a reservation is written and pending."""
        return reservation in self._pending

    def reserve(self, reservation: str, at_s: float, charged: Amounts, via: str | None, origin: Origin) -> None:
        """Write a reservation. `charged` is what it costs if its settlement is never written.

        Raises LogUnwritable, and nothing is reserved.
        """
        data = framed((RESERVED, reservation, at_s, *charged, via, origin))
        self._write(data)
        self._pending[reservation] = data

    def intend(self, attempt: str, at_s: float, charged: Amounts, origin: Origin) -> None:
        """Write that an attempt is about to be sent which no reservation governs. Raises LogUnwritable.

        `forget` it as soon as its charge is on its way to the journal: what the journal has is no orphan.
        """
        data = framed((INTENDED, attempt, at_s, *charged, origin))
        self._write(data)
        self._pending[attempt] = data

    def forget(self, attempts: Iterable[str]) -> None:
        """Attempts that were intended are charged: a next file need not begin with them."""
        for attempt in attempts:
            self._pending.pop(attempt, None)

    def extend(self, reservation: str, more: Amounts) -> None:
        """Write that more was reserved. Raises LogUnwritable, and nothing more is."""
        data = framed((EXTENDED, reservation, *more))
        self._write(data)
        self._pending[reservation] += data

    def undo_extension(self, reservation: str, more: Amounts) -> None:
        """Note that an extension which was written does not hold; it is written with what comes next."""
        data = framed((EXTENDED, reservation, *(-amount for amount in more)))
        self._pending[reservation] += data
        self._waiting.append(data)

    def settle(self, reservation: str, charge: ChargePosted) -> None:
        """Note a charge; it is written with what comes next."""
        self._pending.pop(reservation, None)
        self._waiting.append(framed((SETTLED, reservation, charge)))

    def release(self, reservation: str, charge: ChargePosted | None) -> None:
        """Note that a reservation came to nothing; it is written with what comes next."""
        self._pending.pop(reservation, None)
        self._waiting.append(framed((RELEASED, reservation, charge)))

    def run(self, run: Run, at_s: float, claims: tuple[Claim, ...] = (), via: str | None = None) -> None:
        """Write what a run is now; with its opening, where it carved its money. Raises LogUnwritable."""
        data = framed((RUN, run, at_s, claims, via))
        self._write(data)
        if claims:
            self._pending[carve_id(run.id)] = data

    def forget_carve(self, run: str) -> None:
        """A carved run is closed: nothing is reserved for it any more that is worth repeating."""
        self._pending.pop(carve_id(run), None)

    def flush(self) -> None:
        """Write what waits. Raises LogUnwritable: it goes on waiting."""
        if self._waiting:
            self._write(b"")

    def rotate(self) -> None:
        """Begin a new file with what is pending and what waits. Raises LogUnwritable: the old one stays in use."""
        head = b"".join((framed((BEGAN, self._number + 1)), *self._pending.values(), *self._waiting))
        path = self._directory / _NAME.format(self._number + 1)
        # The whole beginning is there before the name is: a file with half of what is pending would lose the rest.
        unnamed = path.with_suffix(".new")
        descriptor = -1
        try:
            descriptor = os.open(unnamed, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o600)
            _write_all(descriptor, head)
            unnamed.rename(path)
        except OSError as error:
            if descriptor >= 0:
                os.close(descriptor)
                unnamed.unlink(missing_ok=True)
            raise LogUnwritable(f"{unnamed}: {error.strerror or error}") from error
        if self._descriptor >= 0:
            self.retired.append(self._directory / _NAME.format(self._number))
            os.close(self._descriptor)
        self._number += 1
        self._waiting.clear()
        self._descriptor, self._size, self._broken = descriptor, len(head), False
        self._rotate_at = max(ROTATE_AT_BYTES, _SNAPSHOT_SHARE * len(head))
        self.generation += 1

    def abandon(self) -> None:
        """Go on in a new file: what this one holds is not certain to be on the disk."""
        self._broken = True

    def remove(self, retired: Sequence[Path]) -> None:
        """Delete files that nothing depends on any more."""
        for path in retired:
            path.unlink(missing_ok=True)
            self.retired.remove(path)

    def close(self) -> None:
        """Write what waits and close the file; what cannot be written is in the journal, or an orphan. Idempotent."""
        if self._descriptor < 0:
            return
        try:
            self.flush()
        except LogUnwritable as error:
            _log.error("the last settlements could not be written to the log of reservations: %s", error)
        os.close(self._descriptor)
        self._descriptor = -1

    def _write(self, data: bytes) -> None:
        if self._broken:
            self.rotate()
        if self._waiting:
            data = b"".join((*self._waiting, data))
        try:
            written = os.write(self._descriptor, data)
            if written < len(data):
                _write_all(self._descriptor, data[written:])
        except OSError as error:
            self._cut_back()
            raise LogUnwritable(f"{_NAME.format(self._number)}: {error.strerror or error}") from error
        self._size += len(data)
        self._waiting.clear()

    def _cut_back(self) -> None:
        """Take back what a failed write may have left, or else never write to this file again."""
        try:
            os.ftruncate(self._descriptor, self._size)
        except OSError:
            self._broken = True


def _write_all(descriptor: int, data: bytes) -> None:
    """A file takes less than it is given only when something is wrong: the next write tells what."""
    rest: Any = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
