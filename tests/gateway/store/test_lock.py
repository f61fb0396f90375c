from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.journal.database import JournalError
from gateway.store.lock import FILE_NAME, StorageLock, StorageLocked

HOLDER = """
import sys, signal
from pathlib import Path
from gateway.store.lock import StorageLock
lock = StorageLock.take(Path(sys.argv[1]))
print("held", flush=True)
signal.pause()
"""


def test_a_second_holder_is_told_who_has_it(tmp_path: Path) -> None:
    lock = StorageLock.take(tmp_path)
    with pytest.raises(StorageLocked, match=rf"process {os.getpid()}\).*`storage.dir`"):
        StorageLock.take(tmp_path)
    lock.release()
    lock.release()
    StorageLock.take(tmp_path).release()


def test_the_lock_file_is_private(tmp_path: Path) -> None:
    lock = StorageLock.take(tmp_path)
    assert (tmp_path / FILE_NAME).stat().st_mode & 0o777 == 0o600
    lock.release()


def test_kill_9_lets_it_go(tmp_path: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(StorageLocked, match=f"process {holder.pid}"):
            StorageLock.take(tmp_path)
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.communicate()
    StorageLock.take(tmp_path).release()


def test_a_child_process_does_not_keep_it(tmp_path: Path) -> None:
    lock = StorageLock.take(tmp_path)
    child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    try:
        lock.release()
        StorageLock.take(tmp_path).release()
    finally:
        child.communicate(b"")


def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="cannot be opened"):
        StorageLock.take(tmp_path / "nowhere")
