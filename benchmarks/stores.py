"""A real Valkey and a real PostgreSQL on loopback, from the wheels that the tests use."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Shared:
    """Where gateways keep what they share."""

    valkey_url: str
    journal_url: str


@contextlib.contextmanager
def shared_stores(*names: str) -> Iterator[tuple[Shared, ...]]:
    """One Valkey with a keyspace, and one PostgreSQL with a database, for each name."""
    from tests.servers import Postgres, start_valkey

    valkey = start_valkey()
    try:
        postgres = Postgres.start()
        try:
            for name in names:
                postgres.run(f"CREATE DATABASE {name}")
            yield tuple(
                Shared(f"valkey://{valkey.host}:{valkey.port}/{number}", postgres.url(name))
                for number, name in enumerate(names)
            )
        finally:
            postgres.destroy()
    finally:
        valkey.stop()
