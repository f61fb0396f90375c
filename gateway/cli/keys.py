"""`farebox keys`: make, list, revoke and replace keys. Works beside a running gateway, and without one."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from gateway.cli.configuration import PROBLEMS, USAGE, load_or_exit

if TYPE_CHECKING:
    from gateway.config.snapshot import Snapshot
    from gateway.identity.keys import KeyRecord
    from gateway.journal.keystore import KeyStore

Result = TypeVar("Result")

keys = typer.Typer(help="Make, list, revoke and replace the keys of agents.", no_args_is_help=True)

Config = Annotated[Path, typer.Option("--config", "-c", help="The configuration file: it tells where keys are stored.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
KeyId = Annotated[str, typer.Argument(help="The key's public part, such as fb-k3m8q2xw.")]
_DEFAULT_CONFIG = Path("config.yaml")
_DURATION = re.compile(r"(\d+)\s*([smhd])")
_UNIT_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


@keys.command()
def create(
    agent: Annotated[str, typer.Option("--agent", "-a", help="The agent that the key belongs to.")],
    name: Annotated[str, typer.Option(help="What people call the key.")] = "",
    expires: Annotated[str, typer.Option(help="A time from now (30d, 12h), or a date (2026-12-31, UTC).")] = "",
    models: Annotated[str, typer.Option(help="Models it may use, comma-separated; * matches any part.")] = "",
    config: Config = _DEFAULT_CONFIG,
    as_json: Json = False,
) -> None:
    """Make a key and print it: this once, it is stored as a digest only.

    Example: farebox keys create --agent researcher --name laptop --expires 30d
    """
    snapshot = load_or_exit(config)
    if agent not in snapshot.agents:
        known = ", ".join(sorted(snapshot.agents)) or "none"
        _fail(f"there is no agent `{agent}` in {config}; there are: {known}", PROBLEMS)
    expires_at_s = _moment(expires) if expires else None
    allowed = frozenset(filter(None, (model.strip() for model in models.split(",")))) or None
    key, record = _with_store(snapshot, lambda store: store.create(agent, name, allowed, expires_at_s))
    _show_new(key, record, as_json=as_json)


@keys.command("list")
def list_keys(config: Config = _DEFAULT_CONFIG, as_json: Json = False) -> None:
    """List the keys, stored ones and the configuration's own.

    Example: farebox keys list
    """
    snapshot = load_or_exit(config)
    records = [*snapshot.keys, *_with_store(snapshot, lambda store: store.list())]
    if as_json:
        typer.echo(json.dumps([_object(record) for record in records], indent=2))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading in ("key", "agent", "name", "state", "created", "expires"):
        table.add_column(heading, overflow="fold")
    for record in records:
        table.add_row(
            record.id, record.agent, record.name, _state(record), _day(record.created_at_s), _day(record.expires_at_s)
        )
    Console().print(table)


@keys.command()
def revoke(key_id: KeyId, config: Config = _DEFAULT_CONFIG, as_json: Json = False) -> None:
    """Revoke a key. Running gateways refuse it within 5 seconds.

    Example: farebox keys revoke fb-k3m8q2xw
    """
    if not _with_store(load_or_exit(config), lambda store: store.revoke(key_id)):
        _fail(f"no stored key has the id `{key_id}`; `farebox keys list` shows them", PROBLEMS)
    typer.echo(json.dumps({"id": key_id, "revoked": True}) if as_json else f"{key_id} is revoked.")


@keys.command()
def rotate(
    key_id: KeyId,
    overlap: Annotated[str, typer.Option(help="How long the old key still works, such as 1h.")] = "0s",
    config: Config = _DEFAULT_CONFIG,
    as_json: Json = False,
) -> None:
    """Replace a key by a new one of the same agent.

    Example: farebox keys rotate fb-k3m8q2xw --overlap 1h
    """
    overlap_s = _duration_s(overlap)
    if overlap_s is None:
        _fail(f"`{overlap}` is no length of time; write 30m, 1h or 2d", USAGE)
    made = _with_store(load_or_exit(config), lambda store: store.rotate(key_id, overlap_s or 0))
    if made is None:
        _fail(f"no stored key that works has the id `{key_id}`; `farebox keys list` shows them", PROBLEMS)
    else:
        _show_new(*made, as_json=as_json)


def _with_store(snapshot: Snapshot, work: Callable[[KeyStore], Awaitable[Result]]) -> Result:
    from gateway.journal.database import Database, JournalError
    from gateway.journal.keystore import KeyStore

    async def run() -> Result:
        database = await Database.open(snapshot.storage)
        try:
            return await work(KeyStore(database))
        finally:
            await database.close()

    try:
        return asyncio.run(run())
    except JournalError as error:
        _fail(str(error), PROBLEMS)
        raise AssertionError from error  # never reached: _fail leaves the command


def _show_new(key: str, record: KeyRecord, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({**_object(record), "key": key}))
        return
    typer.echo(f"{key}\n")
    typer.echo(
        f"The key of agent {record.agent}. It is shown this once; {record.id} is its name from now on.", err=True
    )


def _object(record: KeyRecord) -> dict[str, Any]:
    return {
        "id": record.id,
        "agent": record.agent,
        "name": record.name,
        "state": _state(record),
        "models": None if record.allowed_models is None else sorted(record.allowed_models),
        "created_at_s": record.created_at_s,
        "expires_at_s": record.expires_at_s,
        "revoked_at_s": record.revoked_at_s,
    }


def _state(record: KeyRecord) -> str:
    if record.revoked_at_s is not None:
        return "revoked"
    if record.expires_at_s is not None and record.expires_at_s <= time.time():
        return "expired"
    return "active"


def _day(at_s: float | None) -> str:
    return "" if not at_s else datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%d")


def _duration_s(text: str) -> int | None:
    match = _DURATION.fullmatch(text.strip())
    return None if match is None else int(match.group(1)) * _UNIT_S[match.group(2)]


def _moment(text: str) -> float:
    """Unix time of `30d` from now, or of a date."""
    duration_s = _duration_s(text)
    if duration_s is not None:
        return time.time() + duration_s
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        _fail(f"`{text}` is neither a length of time (30d, 12h) nor a date (2026-12-31)", USAGE)
        raise
    at_s = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    if at_s <= time.time():
        _fail(f"`{text}` is in the past", USAGE)
    return at_s


def _fail(message: str, status: int) -> None:
    typer.echo(f"farebox: {message}", err=True)
    raise typer.Exit(status)
