"""Brings a journal up to this version's schema: `python -m gateway.journal.migrate`, the database's URL on its input.

`Database.open` starts it when it finds an older schema. The migrations run in one transaction under a write lock: two
gateways that start at once migrate once, and one that is killed meanwhile leaves the old schema.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import URL, Connection, make_url
from sqlalchemy.exc import SQLAlchemyError

from gateway.journal.database import begin_immediate, connect_engine, reason
from gateway.journal.postgres import connect_postgres

MIGRATIONS = Path(__file__).parent / "migrations"


def configuration() -> Config:
    """Alembic's settings, which need no alembic.ini."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def upgrade(connection: Connection, version: str = "head") -> None:
    """Run the migrations that `connection`'s database lacks up to `version`, in the transaction that is open on it."""
    config = configuration()
    config.attributes["connection"] = connection
    command.upgrade(config, version)


async def migrate(url: URL) -> None:
    """Bring the database at `url` to the newest schema. Raises CommandError for a schema newer than this code."""
    postgresql = url.get_backend_name() == "postgresql"
    engine = connect_postgres(url, command_timeout_s=None) if postgresql else connect_engine(url)
    try:
        async with begin_immediate(engine) as connection:
            await connection.run_sync(upgrade)
    finally:
        await engine.dispose()


def main() -> int:
    """Read the URL from standard input, migrate, and tell what is wrong in one line on standard error."""
    try:
        asyncio.run(migrate(make_url(sys.stdin.read().strip())))
    except CommandError as error:
        print(f"{error}; was it written by a newer Farebox?", file=sys.stderr)
        return 1
    except (SQLAlchemyError, OSError) as error:
        print(reason(error), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
