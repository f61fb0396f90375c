"""What the log of reservations says after its writer has died."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from gateway.store.log import segments
from gateway.store.records import Began, Damage, Extended, Intended, Record, Released, Reserved, RunNoted, scan
from gateway.telemetry.events import ChargePosted

_log = logging.getLogger("farebox.store")


@dataclass(slots=True)
class Replayed:
    """The end of the log, and the charges that the journal may not have."""

    pending: dict[str, Reserved] = field(default_factory=dict)
    """With their extensions."""
    intents: dict[str, Intended] = field(default_factory=dict)
    """Attempts that nothing governed; most of them are charged in the journal."""
    charges: dict[str, ChargePosted] = field(default_factory=dict)
    """By id: of settled reservations, and entries of zero of released ones."""
    runs: dict[str, RunNoted] = field(default_factory=dict)
    """As they were last, of those that changed in these files, and all that have carved."""
    damage: list[str] = field(default_factory=list)
    """File and offset of what could not be read; a record cut off at the end of the last file is none."""
    last_at_s: float = 0.0
    """The latest time that the store is known to have shown."""


def replay(directory: Path) -> Replayed:
    """Read every file of the log. Raises OSError.

    A damaged stretch is logged and left out: what is known is charged. A reservation whose settlement is lost in it
    becomes an orphan, unless the journal has its charge.
    """
    replayed = Replayed()
    for _, path in segments(directory):
        for record in _read(path, replayed):
            _apply(record, replayed)
    return replayed


def _read(path: Path, replayed: Replayed) -> Iterator[Record]:
    for found in scan(path.read_bytes()):
        if not isinstance(found, Damage):
            yield found
        elif not found.torn:
            place = f"{path}, bytes {found.offset} to {found.end}"
            _log.error("the log of reservations is damaged: %s cannot be read; what else is known is charged", place)
            replayed.damage.append(place)


def _apply(record: Record, replayed: Replayed) -> None:
    pending = replayed.pending
    match record:
        case Began():
            pending.clear()
        case Reserved():
            pending[record.id] = record
            replayed.last_at_s = max(replayed.last_at_s, record.at_s)
        case Extended():
            if (reserved := pending.get(record.id)) is not None:
                reserved.money += record.money
                reserved.tokens += record.tokens
        case RunNoted():
            _note_run(record, replayed)
        case Intended():
            replayed.intents[record.id] = record
        case Released():
            pending.pop(record.id, None)
            replayed.intents.pop(record.id, None)
            if record.charge is not None:
                replayed.charges.setdefault(record.charge.charge_id, record.charge)
        case _:
            pending.pop(record.id, None)
            replayed.charges.setdefault(record.charge.charge_id, record.charge)


def _note_run(record: RunNoted, replayed: Replayed) -> None:
    replayed.last_at_s = max(replayed.last_at_s, record.at_s)
    known = replayed.runs.get(record.run.id)
    if known is None:
        replayed.runs[record.run.id] = record
        return
    if not known.claims:
        known.claims, known.via = record.claims, record.via
    if record.at_s >= known.at_s:
        known.run, known.at_s = record.run, record.at_s
