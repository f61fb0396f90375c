"""`farebox verify`: does every counter agree with the journal? Speaks to a running gateway."""

from __future__ import annotations

from typing import Any

import typer

from gateway.cli.configuration import PROBLEMS
from gateway.cli.remote import DEFAULT_CONFIG, AdminKey, Config, Json, Remote, Url, print_json, print_table, table


def verify(url: Url = "", admin_key: AdminKey = "", config: Config = DEFAULT_CONFIG, as_json: Json = False) -> None:
    """Recompute every counter from the journal. Exits with 1 when any differs: no difference is the only pass.

    Example: farebox verify --url http://127.0.0.1:4000
    """
    found = Remote(url, admin_key, config).get("verify")
    if as_json:
        print_json(found)
    else:
        _print(found)
    if not found["ok"]:
        raise typer.Exit(PROBLEMS)


def _print(found: dict[str, Any]) -> None:
    from rich.text import Text

    differences = found["differences"]
    if differences:
        shown = table("counter", "scope", "posted", "journal", "difference", right=frozenset(("posted", "journal")))
        for each in differences:
            cells = (each["key"], each["scope"], each["posted"], each["journal"], each["difference"])
            shown.add_row(*(Text(str(cell)) for cell in cells))
        print_table(shown)
    skipped = found["skipped"]
    for each in skipped:
        typer.echo(f"not compared: {each['key']}: {each['reason']}", err=True)
    moving = f", {found['moving']} of them while they moved" if found["moving"] else ""
    words = "all agree with the journal" if not differences else f"{len(differences)} differ from the journal"
    typer.echo(f"{found['compared']} counters compared{moving}: {words}.", err=bool(differences))
