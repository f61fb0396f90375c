"""`farebox budgets`: what is spent and left, and entries that change it. Speaks to a running gateway."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

import typer

from gateway.cli.asking import Asking, Json, Listing, asks, lists_by_default
from gateway.cli.configuration import USAGE
from gateway.cli.remote import Column, clock, dollars, fail

budgets = typer.Typer(help="See budgets, and adjust or reset what is spent.", rich_markup_mode=None)

Budget = Annotated[str, typer.Argument(help="The budget's name in the configuration.")]
Value = Annotated[
    str | None, typer.Option(help="Which user, tag, run, ...: for a budget that keeps one counter for each.")
]
Why = Annotated[str, typer.Option("--reason", help="Why; it is kept with the entry.")]
EntryId = Annotated[str | None, typer.Option("--id", help="The entry's id: sent twice, it is entered once.")]

_COLUMNS = (
    Column("budget", folds=True),
    Column("scope", folds=True),
    Column("limit", right=True),
    Column("spent", right=True),
    Column("reserved", right=True),
    Column("left", right=True),
    Column("used", right=True, from_width=90),
    Column("burn", right=True),
    Column("projected", right=True, from_width=110),
    Column("resets"),
)


@budgets.command("list")
@asks
def list_budgets(
    asking: Asking,
    budget: Annotated[str | None, typer.Option(help="Only this budget.")] = None,
    scope: Annotated[str | None, typer.Option(help="Only this scope (agent:researcher) or kind (agent).")] = None,
) -> None:
    """List the counters of the present windows: USD, times in UTC. A burn of 1 spends the limit by the window's end.

    Example: farebox budgets list --scope agent:researcher
    """
    _list(asking, budget, scope)


@budgets.command()
@asks
def adjust(
    asking: Asking,
    budget: Budget,
    reason: Why,
    give_back: Annotated[str | None, typer.Option(help="USD that count as spent no more.")] = None,
    spend: Annotated[str | None, typer.Option(help="USD to count as spent.")] = None,
    value: Value = None,
    entry: EntryId = None,
) -> None:
    """Enter an amount in a budget's present window, with a reason. Nothing that was entered before is changed.

    Example: farebox budgets adjust research-monthly --give-back 5.00 --reason "provider credit of 12 November"
    """
    if (give_back is None) == (spend is None):
        fail("give either --give-back or --spend", USAGE)
    amount = spend if give_back is None else give_back
    if amount is None or amount.strip().startswith(("-", "+")):
        fail(f"`{amount}` is no amount such as 5.00; --give-back and --spend say in which direction it goes", USAGE)
    signed = amount.strip() if give_back is None else f"-{amount.strip()}"
    body = {"amount_usd": signed, "reason": reason, "value": value, "id": entry}
    asking.show(asking.post(f"budgets/{quote(budget, safe='')}/adjust", body), _print_entry)


@budgets.command()
@asks
def reset(
    asking: Asking,
    budget: Budget,
    reason: Why,
    value: Value = None,
    entry: EntryId = None,
) -> None:
    """Give back all that is spent in a budget's present window, by one entry with a reason.

    Example: farebox budgets reset research-daily --reason "the incident of this morning"
    """
    body = {"reason": reason, "value": value, "id": entry}
    asking.show(asking.post(f"budgets/{quote(budget, safe='')}/reset", body), _print_entry)


def _list(asking: Asking, budget: str | None = None, scope: str | None = None) -> None:
    _LISTING.show(asking, asking.get("budgets", budget=budget, scope=scope)["data"])


def _row(line: Json) -> list[str]:
    return [
        line["id"] + (" (shadow)" if line["mode"] == "shadow" else ""),
        line["scope"],
        *(dollars(line[f"{amount}_usd"]) for amount in ("limit", "posted", "reserved", "remaining")),
        f"{line['used_ratio']:.0%}",
        "" if line["burn_rate"] is None else f"{line['burn_rate']:.2f}",
        dollars(line["projected_usd"]),
        clock(line["resets_at"]) or line["period"],
    ]


def _print_entry(entry: Json) -> None:
    line = entry["budget"]
    typer.echo(
        f"{entry['id']}: {entry['amount_usd']} USD entered in {line['id']} ({line['scope']}); "
        f"{line['posted_usd']} of {line['limit_usd']} USD are spent, {line['remaining_usd']} left."
    )


_LISTING = Listing("No budgets.", _COLUMNS, _row)
lists_by_default(budgets, "budgets", _list)
