"""`farebox breakers`: how providers are, and an operator's word on whom to call. Speaks to a running gateway."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

import typer

from gateway.cli.asking import Asking, Json, Listing, asks, lists_by_default
from gateway.cli.configuration import USAGE
from gateway.cli.remote import Column, clock_s, fail

breakers = typer.Typer(help="See circuit breakers, and force them open or closed.", rich_markup_mode=None)

_COLUMNS = (
    Column("breaker"),
    Column("state"),
    Column("since"),
    Column("tries again", from_width=80),
    Column("parked until", from_width=90),
    Column("failures", right=True),
)


@breakers.command("list")
@asks
def list_breakers(
    asking: Asking,
    state: Annotated[
        str | None, typer.Option(help="Only those that are closed, open, half_open, forced_open or forced_closed.")
    ] = None,
) -> None:
    """List the breakers of providers and deployments: times in UTC, failures of the present window.

    Example: farebox breakers list --state open
    """
    if state not in (None, "closed", "open", "half_open", "forced_open", "forced_closed"):
        fail(f"`{state}` is no state: closed, open, half_open, forced_open or forced_closed", USAGE)
    _list(asking, state)


@breakers.command()
@asks
def force(
    asking: Asking,
    name: Annotated[str, typer.Argument(help="The deployment (provider/model) or the provider.")],
    to: Annotated[str, typer.Argument(help="open, closed, or auto: it decides by itself again.")],
    reason: Annotated[str, typer.Option("--reason", help="Why; it is logged, and kept with the change.")],
) -> None:
    """Force a breaker open (nobody calls) or closed (everybody does), until it is released by `auto`.

    Example: farebox breakers force openai/gpt-5-mini open --reason "maintenance until noon"
    """
    if to not in ("open", "closed", "auto"):
        fail(f"`{to}` is none of open, closed and auto", USAGE)
    body = {"to": to, "reason": reason}
    found = asking.post(f"breakers/{quote(name, safe='/')}/force", body)
    asking.show(found, lambda found: typer.echo(f"{found['id']} is {_words(found['state'])}."))


def _list(asking: Asking, state: str | None = None) -> None:
    found = asking.get("breakers")["data"]
    _LISTING.show(asking, (each for each in found if state is None or each["state"] == state))


def _row(breaker: Json) -> list[str]:
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


_LISTING = Listing("No breakers.", _COLUMNS, _row)
lists_by_default(breakers, "breakers", _list)
