"""Whether the servers of `store: valkey` can keep what Farebox tells them. Nothing is written to either.

The functions that look take an open connection; `look` opens both. No message has a URL: it may hold a password.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from gateway.config.document import parse
from gateway.config.problems import Problem

if TYPE_CHECKING:
    from redis import Redis

    from gateway.config.snapshot import Snapshot, StorageSettings

MIN_REDIS_VERSION: Final = 7
"""Functions are kept in the server since Redis 7. Valkey says 7.2 where Redis says its version."""
MIN_POSTGRES_VERSION: Final = 13
TIMEOUT_S: Final = 5.0


def look(snapshot: Snapshot) -> list[Problem]:
    """Connect to both servers and say what is wrong with them. Takes `TIMEOUT_S` for each that does not answer."""
    storage = snapshot.storage
    found = {"valkey_url": _look_at_valkey(storage), "journal_url": asyncio.run(_look_at_postgres(storage))}
    document = parse(snapshot.source.read_text(encoding="utf-8"), snapshot.source)
    return [
        Problem(*document.place(("storage", name)), f"storage.{name}", message)
        for name, messages in found.items()
        for message in messages
    ]


def valkey_faults(client: Redis, storage: StorageSettings) -> list[str]:
    """What keeps this server from holding counters. Raises redis.RedisError when it does not answer."""
    info: dict[str, Any] = client.info()
    faults = []
    version = str(info.get("redis_version", "0"))
    if int(version.partition(".")[0] or 0) < MIN_REDIS_VERSION:
        faults.append(f"the server is of version {version}; it has to be Valkey, or Redis {MIN_REDIS_VERSION} or newer")
    if info.get("role", "master") != "master":
        faults.append("the server is a replica, which takes no writes: name the primary")
    policy = info.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        faults.append(f"`maxmemory-policy` is `{policy}`: set it to `noeviction`, or counters are thrown away")
    if not info.get("aof_enabled"):
        faults.append("`appendonly` is `no`: set it to `yes`, or a restart forgets what was spent")
    elif storage.durability == "power" and (fsync := _setting(client, "appendfsync")) not in {None, "always"}:
        faults.append(f"`appendfsync` is `{fsync}`: `durability: power` needs `always`")
    if info.get("cluster_enabled"):
        faults += _cluster_faults(client, storage.installation)
    return faults


def _cluster_faults(client: Redis, installation: str) -> list[str]:
    """All keys have the installation's hash tag, so one node has them all: it must be this one."""
    from redis.exceptions import ResponseError

    tag = f"{{{installation}}}"
    try:
        client.exists(f"{tag}:meta")
    except ResponseError:  # MOVED, CLUSTERDOWN
        where = f"this node does not serve the hash tag `{tag}`, which all keys have"
        return [f"cluster mode is on, and {where}: name the one that does"]
    return []


def _setting(client: Redis, name: str) -> str | None:
    """A setting of the server; None where the server keeps its settings to itself, as managed ones do."""
    from redis.exceptions import ResponseError

    try:
        settings: dict[Any, Any] = client.config_get(name)
    except ResponseError:
        return None
    value = settings.get(name, settings.get(name.encode()))
    return value.decode() if isinstance(value, bytes) else value


async def postgres_faults(connection: Any) -> list[str]:
    """What keeps this database from holding the journal. `connection` is asyncpg's; raises its errors."""
    faults = []
    version = int(await connection.fetchval("SELECT current_setting('server_version_num')")) // 10_000
    if version < MIN_POSTGRES_VERSION:
        faults.append(f"the server is PostgreSQL {version}; it has to be {MIN_POSTGRES_VERSION} or newer")
    if await connection.fetchval("SELECT pg_is_in_recovery()"):
        faults.append("the server is a standby, which takes no writes: name the primary")
    if await connection.fetchval("SELECT current_setting('synchronous_commit')") == "off":
        faults.append("`synchronous_commit` is `off`: a crash of the server would lose charges that were counted")
    may_create = "SELECT coalesce(has_schema_privilege(current_schema(), 'CREATE'), false)"
    if not await connection.fetchval(may_create):
        faults.append("the user may not make tables in the database's schema")
    return faults


def _look_at_valkey(storage: StorageSettings) -> list[str]:
    from redis import Redis
    from redis.backoff import NoBackoff
    from redis.exceptions import RedisError
    from redis.retry import Retry

    scheme, _, rest = str(storage.valkey_url).partition("://")
    url = f"{'rediss' if scheme in {'valkeys', 'rediss'} else 'redis'}://{rest}"
    try:
        retry = Retry(NoBackoff(), 0)
        with Redis.from_url(url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S, retry=retry) as client:
            return valkey_faults(client, storage)
    except ValueError:  # a database's number that is none
        return ["not a URL that leads to a server"]
    except (RedisError, OSError) as error:
        return [f"the server does not answer as it should: {_one_line(error)}"]


async def _look_at_postgres(storage: StorageSettings) -> list[str]:
    import asyncpg

    try:
        connection = await asyncpg.connect(str(storage.journal_url), timeout=TIMEOUT_S, command_timeout=TIMEOUT_S)
        try:
            return await postgres_faults(connection)
        finally:
            await connection.close(timeout=TIMEOUT_S)
    except ValueError:
        return ["not a URL that leads to a database"]
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
        return [f"the server does not answer as it should: {_one_line(error)}"]


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
