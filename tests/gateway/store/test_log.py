from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.ledger.operations import Amounts, Claim, Unit
from gateway.store import log as log_module
from gateway.store.log import LogUnwritable, ReservationLog, segments
from gateway.store.records import BEGAN, RESERVED, Damage, Reserved, RunNoted, framed, scan
from gateway.store.replay import Replayed, replay
from routing.money import NanoUsd
from tests.gateway.store.samples import NOON_S, charge, origin, run


@pytest.fixture
def log(tmp_path: Path) -> Iterator[ReservationLog]:
    opened = ReservationLog(tmp_path)
    yield opened
    opened.close()


def reserve(log: ReservationLog, request: str, money: int = 1_000) -> str:
    log.reserve(f"{request}.1", NOON_S, Amounts(money, 40), None, origin(request))
    return f"{request}.1"


def current(directory: Path) -> Path:
    return segments(directory)[-1][1]


def test_a_reservation_is_in_the_file_when_the_call_returns(log: ReservationLog, tmp_path: Path) -> None:
    reserve(log, "req_1")
    found = replay(tmp_path)
    assert found.pending == {"req_1.1": Reserved("req_1.1", NOON_S, 1_000, 40, None, origin("req_1"))}
    assert found.last_at_s == NOON_S
    assert not found.charges
    assert current(tmp_path).stat().st_mode & 0o777 == 0o600


def test_an_extension_is_in_the_file_when_the_call_returns(log: ReservationLog, tmp_path: Path) -> None:
    log.extend(reserve(log, "req_1"), Amounts(500, 7))
    found = replay(tmp_path).pending["req_1.1"]
    assert (found.money, found.tokens) == (1_500, 47)


def test_settlements_and_releases_go_with_the_next_write(log: ReservationLog, tmp_path: Path) -> None:
    log.settle(reserve(log, "req_1"), charge("req_1"))
    log.release(reserve(log, "req_2"), charge("req_2", 0)._replace(resolution="released"))
    reserve(log, "req_3")
    log.release(reserve(log, "req_4"), None)
    assert log.waiting
    assert set(replay(tmp_path).pending) == {"req_3.1", "req_4.1"}
    log.flush()
    assert not log.waiting
    found = replay(tmp_path)
    assert set(found.pending) == {"req_3.1"}
    assert found.charges == {
        "req_1.1": charge("req_1"),
        "req_2.1": charge("req_2", 0)._replace(resolution="released"),
    }


def test_runs_as_they_were_last(log: ReservationLog, tmp_path: Path) -> None:
    log.run(run("researcher/a"), NOON_S)
    log.run(run("researcher/b", "researcher/a"), NOON_S + 1)
    log.run(run("researcher/a", state="paused"), NOON_S + 2)
    found = replay(tmp_path)
    assert found.runs == {
        "researcher/a": RunNoted(run("researcher/a", state="paused"), NOON_S + 2),
        "researcher/b": RunNoted(run("researcher/b", "researcher/a"), NOON_S + 1),
    }
    assert found.last_at_s == NOON_S + 2


def test_a_carve_is_told_again_until_its_run_is_closed(log: ReservationLog, tmp_path: Path) -> None:
    claims = (Claim("b|org|acme|2026-11", Unit.MONEY, 5_000, 3, "org:acme"),)
    carved = run("researcher/a")._replace(carve=NanoUsd(500))
    log.run(carved, NOON_S, claims, "carve:researcher/root")
    log.run(carved._replace(state="paused"), NOON_S + 2)
    expected = RunNoted(carved._replace(state="paused"), NOON_S + 2, claims, "carve:researcher/root")
    assert replay(tmp_path).runs == {"researcher/a": expected}
    log.rotate()
    assert replay(tmp_path).runs == {"researcher/a": expected}  # though the new file tells how it was opened
    log.forget_carve("researcher/a")
    log.rotate()
    log.remove(list(log.retired))
    assert not replay(tmp_path).runs


def test_a_new_file_begins_with_what_is_pending(log: ReservationLog, tmp_path: Path) -> None:
    log.settle(reserve(log, "req_1"), charge("req_1"))
    log.extend(reserve(log, "req_2"), Amounts(5, 5))
    log.settle(reserve(log, "req_3"), charge("req_3"))
    before = current(tmp_path)
    log.rotate()
    assert log.retired == [before]
    assert not log.waiting
    kept = replay(tmp_path)
    assert set(kept.pending) == {"req_2.1"}
    assert set(kept.charges) == {"req_1.1", "req_3.1"}
    log.remove(list(log.retired))
    assert not log.retired
    assert not before.exists()
    alone = replay(tmp_path)
    assert alone.pending == kept.pending
    assert set(alone.charges) == {"req_3.1"}  # its settlement waited when the new file was begun


def test_a_new_file_takes_the_place_of_the_old_ones(tmp_path: Path) -> None:
    """What is not in its beginning is not pending, whatever an old file says that could not be cut back."""
    for number, records in enumerate(([(RESERVED, "req_1.1", NOON_S, 5, 5, None, origin())], [(BEGAN, 2)]), start=1):
        (tmp_path / f"reservations-{number}.log").write_bytes(b"".join(map(framed, records)))
    assert not replay(tmp_path).pending


def test_it_is_full_by_size_but_never_by_what_it_began_with(
    log: ReservationLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_module, "ROTATE_AT_BYTES", 2_000)
    log.rotate()
    while not log.full:
        reserve(log, f"req_{len(log._pending)}")
    assert len(log._pending) < 20
    log.rotate()
    assert not log.full
    while not log.full:
        reserve(log, f"req_{len(log._pending)}")
    assert len(log._pending) > 30


def test_numbers_go_on_from_what_is_there(tmp_path: Path) -> None:
    for number in (2, 10):
        (tmp_path / f"reservations-{number}.log").touch()
    (tmp_path / "reservations-old.log").touch()
    opened = ReservationLog(tmp_path)
    assert [number for number, _ in segments(tmp_path)] == [2, 10, 11]
    assert [path.name for path in opened.retired] == ["reservations-2.log", "reservations-10.log"]
    opened.close()
    opened.close()


def test_closing_writes_what_waits(tmp_path: Path) -> None:
    opened = ReservationLog(tmp_path)
    opened.settle(reserve(opened, "req_1"), charge("req_1"))
    opened.close()
    assert set(replay(tmp_path).charges) == {"req_1.1"}


def test_text_that_no_encoding_takes_is_kept_as_near_as_can_be(log: ReservationLog, tmp_path: Path) -> None:
    log.reserve("req_1.1", NOON_S, Amounts(2**80, 1), None, origin("req_1")._replace(user="\ud800"))
    found = replay(tmp_path).pending["req_1.1"]
    assert (found.money, found.origin.user) == (2**63 - 1, "\\ud800")


# A record cut off, a record destroyed.


def recorded(directory: Path) -> tuple[Path, list[int]]:
    """A file with a history of every kind of record, and where its records end."""
    log = ReservationLog(directory)
    path = current(directory)
    ends = []

    def end() -> None:
        log.flush()
        ends.append(path.stat().st_size)

    end()
    for turn in range(3):
        reserve(log, f"req_{turn}a", 1_000 + turn)
        end()
        reserve(log, f"req_{turn}b", 2_000 + turn)
        end()
        log.extend(f"req_{turn}a.1", Amounts(50, 5))
        end()
        log.settle(f"req_{turn}a.1", charge(f"req_{turn}a", 700))
        end()
        log.run(run(f"researcher/r{turn}"), NOON_S + turn)
        end()
        if turn:
            log.release(f"req_{turn}b.1", None)
            end()
    log.close()
    return path, ends


def test_cut_off_at_any_byte_the_whole_records_count(tmp_path: Path) -> None:
    path, ends = recorded(tmp_path)
    data = path.read_bytes()
    expected = Replayed()
    for size in range(len(data) + 1):
        path.write_bytes(data[:size])
        found = replay(tmp_path)
        assert not found.damage
        if size in ends:
            assert found != expected or size == ends[0]
            expected = found
        assert found == expected
    assert set(expected.charges) == {"req_0a.1", "req_1a.1", "req_2a.1"}


def test_a_destroyed_record_is_named_and_the_rest_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path, ends = recorded(tmp_path)
    data = path.read_bytes()
    whole = replay(tmp_path)
    for start, end in pairwise(ends):
        for spoiled in {start, start + 2, start + 6, start + 10, end - 1}:
            path.write_bytes(data[:spoiled] + bytes((data[spoiled] ^ 0x55,)) + data[spoiled + 1 :])
            caplog.clear()
            found = replay(tmp_path)
            if end == ends[-1] and start + 2 <= spoiled < start + 6 and not found.damage:
                continue  # a length that is too long, in the last record: cut off, as far as anyone can tell
            assert found.damage == [f"{path}, bytes {start} to {end}"]
            assert f"bytes {start} to {end}" in caplog.text
            charged_or_pending = found.charges.keys() | found.pending.keys()
            lost = (whole.charges.keys() | whole.pending.keys()) - charged_or_pending
            assert len(lost) <= 1


@given(st.binary(max_size=300), st.lists(st.integers(0, 400), max_size=3))
def test_any_bytes_can_be_read(noise: bytes, places: list[int]) -> None:
    data = framed((RESERVED, "req_1.1", NOON_S, 5, 5, None, origin()))
    for place in places:
        data = data[:place] + noise + data[place:]
    offset = 0
    for found in scan(data):
        if isinstance(found, Damage):
            assert offset <= found.offset < found.end <= len(data)
            offset = found.end
    assert list(scan(noise + framed((RESERVED, "req_2.1", NOON_S, 5, 5, None, origin()))))[-1:] != []


# A disk that does not take what it is given.


class Disk:
    """Lets so many more bytes be written to files, then fails as a full disk does."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.free: int | None = None
        self.truncates = True
        self._write = os.write
        self._ftruncate = os.ftruncate
        monkeypatch.setattr(log_module.os, "write", self.write)
        monkeypatch.setattr(log_module.os, "ftruncate", self.ftruncate)

    def write(self, descriptor: int, data: Any) -> int:
        if self.free is None:
            return self._write(descriptor, data)
        if not self.free:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = self._write(descriptor, bytes(data)[: self.free])
        self.free -= written
        return written

    def ftruncate(self, descriptor: int, size: int) -> None:
        if not self.truncates:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        self._ftruncate(descriptor, size)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


@pytest.mark.parametrize("free", [0, 1, 100, 350])
def test_a_full_disk_refuses_and_leaves_nothing_behind(
    log: ReservationLog, tmp_path: Path, disk: Disk, free: int
) -> None:
    log.settle(reserve(log, "req_1"), charge("req_1"))
    before = current(tmp_path).read_bytes()
    disk.free = free
    with pytest.raises(LogUnwritable, match=r"reservations-1\.log: No space left"):
        reserve(log, "req_2")
    assert current(tmp_path).read_bytes() == before
    disk.free = None
    reserve(log, "req_3")
    found = replay(tmp_path)
    assert set(found.pending) == {"req_3.1"}
    assert set(found.charges) == {"req_1.1"}
    assert not found.damage


def test_a_refused_extension_is_none(log: ReservationLog, tmp_path: Path, disk: Disk) -> None:
    reserve(log, "req_1", 100)
    disk.free = 10
    with pytest.raises(LogUnwritable):
        log.extend("req_1.1", Amounts(5, 5))
    disk.free = None
    log.rotate()
    assert replay(tmp_path).pending["req_1.1"].money == 100


def test_a_file_that_cannot_be_cut_back_is_left(log: ReservationLog, tmp_path: Path, disk: Disk) -> None:
    """What the failed write left in it must not come back as a reservation."""
    reserve(log, "req_1")
    whole = len(framed((RESERVED, "req_2.1", NOON_S, 1_000, 40, None, origin("req_2"))))
    log.settle("req_1.1", charge("req_1"))
    disk.free, disk.truncates = whole * 3 // 2, False
    with pytest.raises(LogUnwritable):
        reserve(log, "req_2")
    assert log.full
    with pytest.raises(LogUnwritable, match=r"reservations-2\.new"):
        reserve(log, "req_3")
    disk.free = None
    reserve(log, "req_4")
    assert len(log.retired) == 1
    found = replay(tmp_path)
    assert set(found.pending) == {"req_4.1"}
    assert set(found.charges) == {"req_1.1"}


def test_a_rotation_that_fails_changes_nothing(log: ReservationLog, tmp_path: Path, disk: Disk) -> None:
    reserve(log, "req_1")
    disk.free = 5
    with pytest.raises(LogUnwritable):
        log.rotate()
    disk.free = None
    reserve(log, "req_2")
    assert set(replay(tmp_path).pending) == {"req_1.1", "req_2.1"}
    log.rotate()
    assert set(replay(tmp_path).pending) == {"req_1.1", "req_2.1"}


def test_closing_on_a_full_disk_does_not_fail(tmp_path: Path, disk: Disk, caplog: pytest.LogCaptureFixture) -> None:
    log = ReservationLog(tmp_path)
    log.settle(reserve(log, "req_1"), charge("req_1"))
    disk.free = 0
    log.close()
    assert "No space left" in caplog.text
    assert set(replay(tmp_path).pending) == {"req_1.1"}
