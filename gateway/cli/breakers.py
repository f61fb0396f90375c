"""`farebox breakers`: how providers are, and an operator's word on whom to call. Speaks to a running gateway."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

import typer

from gateway.cli.configuration import USAGE
from gateway.cli.remote import (
    DEFAULT_CONFIG,
    AdminKey,
    Column,
    Config,
    Json,
    Remote,
    Url,
    clock_s,
    fail,
    pass_on,
    print_json,
    print_table,
)

breakers = typer.Typer(help="See circuit breakers, and force them open or closed.", rich_markup_mode=None)

_COLUMNS = (
    Column("breaker"),
    Column("state"),
    Column("since"),
    Column("tries again", from_width=80),
    Column("parked until", from_width=90),
    Column("failures", right=True),
)


@breakers.callback(invoke_without_command=True)
def _show(
    context: typer.Context,
    url: Url = "",
    admin_key: AdminKey = "",
    config: Config = DEFAULT_CONFIG,
    as_json: Json = False,
) -> None:
    """See circuit breakers, and force them open or closed. Without a command: list them.

    Example: farebox breakers --url http://127.0.0.1:4000
    """
    if context.invoked_subcommand is None:
        _list(Remote(url, admin_key, config), None, as_json=as_json)
    else:
        pass_on(context, url=url, admin_key=admin_key, config=config, as_json=as_json)


@breakers.command("list")
def list_breakers(
    state: Annotated[
        str | None, typer.Option(help="Only those that are closed, open, half_open, forced_open or forced_closed.")
    ] = None,
    url: Url = "",
    admin_key: AdminKey = "",
    config: Config = DEFAULT_CONFIG,
    as_json: Json = False,
) -> None:
    """List the breakers of providers and deployments: times in UTC, failures of the present window.

    Example: farebox breakers list --state open
    """
    if state not in (None, "closed", "open", "half_open", "forced_open", "forced_closed"):
        fail(f"`{state}` is no state: closed, open, half_open, forced_open or forced_closed", USAGE)
    _list(Remote(url, admin_key, config), state, as_json=as_json)


@breakers.command()
def force(
    name: Annotated[str, typer.Argument(help="The deployment (provider/model) or the provider.")],
    to: Annotated[str, typer.Argument(help="open, closed, or auto: it decides by itself again.")],
    reason: Annotated[str, typer.Option("--reason", help="Why; it is logged, and kept with the change.")],
    url: Url = "",
    admin_key: AdminKey = "",
    config: Config = DEFAULT_CONFIG,
    as_json: Json = False,
) -> None:
    """Force a breaker open (nobody calls) or closed (everybody does), until it is released by `auto`.

    Example: farebox breakers force openai/gpt-5-mini open --reason "maintenance until noon"
    """
    if to not in ("open", "closed", "auto"):
        fail(f"`{to}` is none of open, closed and auto", USAGE)
    body = {"to": to, "reason": reason}
    found = Remote(url, admin_key, config).post(f"breakers/{quote(name, safe='/')}/force", body)
    if as_json:
        print_json(found)
    else:
        typer.echo(f"{found['id']} is {_words(found['state'])}.")


def _list(remote: Remote, state: str | None, *, as_json: bool) -> None:
    found = [each for each in remote.get("breakers")["data"] if state is None or each["state"] == state]
    if as_json:
        print_json(found)
    elif not found:
        typer.echo("No breakers.", err=True)
    else:
        print_table(_COLUMNS, map(_row, found))


def _row(breaker: dict[str, Any]) -> list[str]:
    return [
        breaker["id"],
        _words(breaker["state"]),
        clock_s(breaker["since"]),
        clock_s(breaker["tries_again_at"]),
        clock_s(breaker["parked_until"]),
        str(breaker["failures"]),
    ]


def _words(state: str) -> str:
    return {"half_open": "half-open", "forced_open": "forced open", "forced_closed": "forced closed"}.get(state, state)
