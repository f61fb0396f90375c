"""Writes SQLite's file anew, so that nothing of what was deleted or overwritten is left in it."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final

from gateway.journal.database import BUSY_TIMEOUT_S

MOST_BYTES: Final = 268_435_456
"""A larger file takes longer than a gateway's journal may lag behind: that is for its operator to do."""


def compact(file: Path) -> str:
    """Write the file anew, and empty the log of writes beside it. Returns why that was not done; empty when it was.

    A gateway's writes wait meanwhile, some seconds for the largest file.
    """
    if (size := file.stat().st_size) > MOST_BYTES:
        return f"it has {size / 1e6:.0f} MB"
    connection = sqlite3.connect(file, timeout=BUSY_TIMEOUT_S, isolation_level=None)
    try:
        connection.execute("VACUUM")
        (busy, _, _) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    except sqlite3.Error as error:
        return str(error)
    finally:
        connection.close()
    return "somebody reads it" if busy else ""
