"""SQLAlchemy's engine is there, its ORM is not."""

from __future__ import annotations

import subprocess
import sys

_PROGRAM = """
import sys
import gateway.app
assert "sqlalchemy" in sys.modules
assert "sqlalchemy.orm" not in sys.modules, "the ORM was imported"
import sqlalchemy.ext.asyncio as whole
from gateway.journal.engine import AsyncConnection, AsyncEngine, create_async_engine
assert whole.AsyncSession is not None
assert (whole.AsyncConnection, whole.AsyncEngine) == (AsyncConnection, AsyncEngine)
assert whole.create_async_engine is create_async_engine
"""


def test_a_gateway_does_not_import_the_orm_and_who_wants_it_gets_it() -> None:
    done = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
