"""`farebox keys`: make, list, revoke and replace keys. Works beside a running gateway, and without one.

A key that was made is all that standard output has, so that `KEY=$(farebox keys create ...)` works; what there is to
say about it goes to standard error.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime
from difflib import get_close_matches
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TypeVar

import typer

from gateway.cli.configuration import PROBLEMS, USAGE, load_or_exit

if TYPE_CHECKING:
    from rich.table import Table

    from gateway.config.snapshot import Snapshot
    from gateway.identity.keys import KeyRecord
    from gateway.journal.keystore import KeyStore

Result = TypeVar("Result")

keys = typer.Typer(help="Make, list, revoke and replace the keys of agents.", no_args_is_help=True)

Config = Annotated[Path, typer.Option("--config", "-c", help="The configuration file: it tells where keys are stored.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
KeyId = Annotated[str, typer.Argument(help="The key's public part, such as fb-k3m8q2xw.")]
Expires = Annotated[str, typer.Option(help="A time from now (30d, 12h), or when a day begins (2026-12-31, UTC).")]
_DEFAULT_CONFIG = Path("config.yaml")
_DURATION = re.compile(r"([0-9]{1,9})\s*([smhd])")
_UNIT_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_LATEST_S = datetime(9999, 1, 1, tzinfo=UTC).timestamp()


@keys.command()
def create(
    agent: Annotated[str, typer.Option("--agent", "-a", help="The agent that the key belongs to.")],
    name: Annotated[str, typer.Option(help="What people call the key.")] = "",
    expires: Expires = "",
    models: Annotated[str, typer.Option(help="Models it may use, comma-separated; * matches any part.")] = "",
    config: Config = _DEFAULT_CONFIG,
    as_json: Json = False,
) -> None:
    """Make a key and print it: this once, it is stored as a digest only.

    Example: KEY=$(farebox keys create --agent researcher --name laptop --expires 30d)
    """
    snapshot = load_or_exit(config)
    if agent not in snapshot.agents:
        _fail(f"there is no agent `{agent}` in {config}{_hint(agent, snapshot.agents)}", PROBLEMS)
    if not name.isprintable():
        _fail("a name is a line of plain text", USAGE)
    allowed, expires_at_s = _models(models, snapshot), _moment(expires)
    key, record = _with_store(snapshot, lambda store: store.create(agent, name, allowed, expires_at_s))
    _show_new(key, record, as_json=as_json)


@keys.command("list")
def list_keys(
    config: Config = _DEFAULT_CONFIG,
    as_json: Json = False,
    runs: Annotated[bool, typer.Option("--runs", help="Those that POST /v1/runs made too, one for each run.")] = False,
) -> None:
    """List the keys, stored ones and the configuration's own.

    Example: farebox keys list
    """
    snapshot = load_or_exit(config)
    records = [*snapshot.keys, *_with_store(snapshot, lambda store: store.list(runs=runs))]
    if as_json:
        typer.echo(json.dumps([_object(record, snapshot) for record in records], indent=2))
    elif not records:
        typer.echo("There are no keys. `farebox keys create --agent NAME` makes one.", err=True)
    else:
        _print(_table(records, snapshot))


@keys.command()
def revoke(key_id: KeyId, config: Config = _DEFAULT_CONFIG, as_json: Json = False) -> None:
    """Revoke a key. Running gateways refuse it within 5 seconds.

    Example: farebox keys revoke fb-k3m8q2xw
    """
    snapshot, key_id = load_or_exit(config), _public_part(key_id)
    if not _with_store(snapshot, lambda store: store.revoke(key_id)):
        _fail_unknown(key_id, snapshot, "no stored key")
    typer.echo(json.dumps({"id": key_id, "revoked": True}) if as_json else f"{key_id} is revoked.")


@keys.command()
def rotate(
    key_id: KeyId,
    overlap: Annotated[str, typer.Option(help="How long the old key still works (1h); not at all if left out.")] = "",
    expires: Annotated[str, typer.Option(help="When the new key ends; at the old one's own end, if left out.")] = "",
    config: Config = _DEFAULT_CONFIG,
    as_json: Json = False,
) -> None:
    """Replace a key by a new one of the same agent, name and models, and print that.

    A key that was replaced before still ends with its overlap, whatever comes after it.

    Example: farebox keys rotate fb-k3m8q2xw --overlap 1h
    """
    overlap_s = _duration_s(overlap)
    if overlap and overlap_s is None:
        _fail(f"`{overlap}` is no length of time; write 30m, 1h or 2d", USAGE)
    expires_at_s = _moment(expires)
    snapshot, key_id = load_or_exit(config), _public_part(key_id)
    made = _with_store(snapshot, lambda store: store.rotate(key_id, overlap_s, expires_at_s))
    if made is None:
        _fail_unknown(key_id, snapshot, "no stored key that works")
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


# --- what is printed ---


def _show_new(key: str, record: KeyRecord, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({**_object(record), "key": key}))
        return
    typer.echo(key)
    ends = "" if record.expires_at_s is None else f" It ends on {_minute(record.expires_at_s)} UTC."
    told = f"The key of agent {record.agent}, shown this once. Its name from now on is {record.id}.{ends}"
    typer.echo(told, err=True)


def _table(records: Iterable[KeyRecord], snapshot: Snapshot) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    table.add_column("key", no_wrap=True, overflow="ignore")  # what people copy stays in one piece
    table.add_column("agent", overflow="fold")
    table.add_column("name", overflow="fold")
    for heading in ("state", "created", "expires"):
        table.add_column(heading, no_wrap=True)
    for record in records:
        # Text, since a cell given as a string may hold what rich takes for markup
        cells = (record.id, record.agent, record.name, _state(record, snapshot).replace("_", " "))
        table.add_row(*map(Text, (*cells, _day(record.created_at_s), _day(record.expires_at_s))))
    return table


def _print(table: Table) -> None:
    """A terminal's lines are folded to its width; what goes to a file or another program has a line for each key."""
    from rich.console import Console

    console = Console(highlight=False)
    if not sys.stdout.isatty():
        console.width = max(console.width, console.measure(table, options=console.options.update(width=9999)).maximum)
    console.print(table)


def _object(record: KeyRecord, snapshot: Snapshot | None = None) -> dict[str, Any]:
    return {
        "id": record.id,
        "agent": record.agent,
        "name": record.name,
        "state": _state(record, snapshot),
        "run": record.run,
        "models": None if record.allowed_models is None else sorted(record.allowed_models),
        "created_at_s": record.created_at_s,
        "expires_at_s": record.expires_at_s,
        "revoked_at_s": record.revoked_at_s,
    }


def _state(record: KeyRecord, snapshot: Snapshot | None) -> str:
    if record.revoked_at_s is not None:
        return "revoked"
    if record.expires_at_s is not None and record.expires_at_s <= time.time():
        return "expired"
    if snapshot is not None and record.agent not in snapshot.agents:
        return "no_agent"
    return "active"


def _day(at_s: float | None) -> str:
    return "" if not at_s else datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%d")


def _minute(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%d %H:%M")


# --- what is given ---


def _public_part(given: str) -> str:
    """A key's public part, for one who gives the whole key."""
    from gateway.identity.keys import KEY_PREFIX, display_id

    return display_id(given) if given.startswith(KEY_PREFIX) else given


def _models(text: str, snapshot: Snapshot) -> frozenset[str] | None:
    """The names and patterns of `--models`; None when it is not given. One that nothing matches is warned of."""
    if not text:
        return None
    allowed = frozenset(filter(None, (model.strip() for model in text.split(","))))
    if not allowed:
        _fail(f"`{text}` names no model", USAGE)
    from gateway.config.compile import resolve_wildcard

    names = {*snapshot.catalog.models, *snapshot.catalog.aliases}
    for pattern in sorted(allowed):
        if not any(fnmatchcase(name, pattern) for name in names) and resolve_wildcard(snapshot, pattern) is None:
            typer.echo(f"farebox: warning: no model matches `{pattern}`{_hint(pattern, names)}", err=True)
    return allowed


def _duration_s(text: str) -> int | None:
    match = _DURATION.fullmatch(text.strip())
    return None if match is None else int(match.group(1)) * _UNIT_S[match.group(2)]


def _moment(text: str) -> float | None:
    """Unix time of `30d` from now, or of a date; None for none."""
    if not text:
        return None
    duration_s = _duration_s(text)
    if duration_s is not None:
        at_s = time.time() + duration_s
    else:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            _fail(f"`{text}` is neither a length of time (30d, 12h) nor a date (2026-12-31)", USAGE)
        at_s = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    if at_s <= time.time():
        _fail(f"`{text}` is in the past", USAGE)
    if at_s >= _LATEST_S:
        _fail(f"`{text}` is too far away; leave it out for a key that does not end", USAGE)
    return at_s


def _hint(name: str, known: Iterable[str]) -> str:
    nearest = get_close_matches(name, list(known), n=1)
    return f"; did you mean `{nearest[0]}`?" if nearest else ""


def _fail_unknown(key_id: str, snapshot: Snapshot, what: str) -> NoReturn:
    if any(record.id == key_id for record in snapshot.keys):
        _fail(f"the key `{key_id}` is declared in the configuration: change it there", PROBLEMS)
    _fail(f"{what} has the id `{key_id}`; `farebox keys list` shows them", PROBLEMS)


def _fail(message: str, status: int) -> NoReturn:
    typer.echo(f"farebox: {message}", err=True)
    raise typer.Exit(status)
