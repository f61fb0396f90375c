"""`farebox check`: everything that is wrong with a configuration, or what it comes to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli.configuration import PROBLEMS, USAGE

if TYPE_CHECKING:
    from gateway.config import ConfigError
    from gateway.config.snapshot import Snapshot
    from routing.money import Price


def check(
    config: Annotated[Path, typer.Option("--config", "-c", help="The configuration file.")] = Path("config.yaml"),
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")] = False,
) -> None:
    """Check a configuration: print all its problems and exit with 1, or what it defines and exit with 0.

    A problem is one line: file:line:column: path: message.

    Example: farebox check --config config.yaml
    """
    from gateway.config import ConfigError, load

    if not config.is_file():
        typer.echo(f"farebox check: there is no {config}. `farebox init` writes one; --config names another.", err=True)
        raise typer.Exit(USAGE)
    try:
        snapshot = load(config)
    except ConfigError as error:
        _print_problems(error, as_json=as_json)
        raise typer.Exit(PROBLEMS) from None
    if as_json:
        typer.echo(json.dumps(_summary(snapshot), indent=2))
    else:
        _print_tables(config, snapshot)


def _print_problems(error: ConfigError, *, as_json: bool) -> None:
    if as_json:
        problems = [{**problem._asdict(), "file": str(problem.file)} for problem in error.problems]
        typer.echo(json.dumps({"ok": False, "problems": problems}, indent=2))
        return
    for problem in error.problems:
        typer.echo(str(problem))
    count = len(error.problems)
    typer.echo(f"farebox check: {count} problem{'s' if count > 1 else ''}", err=True)


def _summary(snapshot: Snapshot) -> dict[str, Any]:
    """What a configuration defines. No secrets."""
    return {
        "ok": True,
        "providers": {name: endpoint.base_url for name, endpoint in snapshot.endpoints.items()},
        "models": {
            name: [
                {"deployment": deployment.id, "unpriced": deployment.unpriced, **_rates(deployment.price)}
                for deployment in model.deployments
            ]
            for name, model in snapshot.catalog.models.items()
        },
        "aliases": dict(snapshot.catalog.aliases),
        "wildcards": [wildcard.pattern for wildcard in snapshot.catalog.wildcards],
        "agents": {name: {"team": agent.team, "org": agent.org} for name, agent in snapshot.agents.items()},
        "keys": {key.name: key.agent for key in snapshot.keys},
        "policies": [policy.name for policy in snapshot.policies],
        "left_out": list(snapshot.left_out),
    }


def _rates(price: Price | None) -> dict[str, str]:
    """USD per million tokens, for a short request in the default service tier now."""
    if price is None:
        return {}
    import time

    point = price.at(0, time.time())
    return {"input": _usd(point.input), "cache_read": _usd(point.cache_read), "output": _usd(point.output)}


def _usd(pico_per_token: int) -> str:
    """Pico-USD a token as USD per million tokens, exactly."""
    dollars, millionths = divmod(pico_per_token, 1_000_000)
    return f"{dollars}.{f'{millionths:06d}'.rstrip('0'):0<2}"


def _print_tables(config: Path, snapshot: Snapshot) -> None:
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True)
    console.print(f"{config}: no problems", markup=False)
    tables = [_providers(snapshot), _models(snapshot), _agents(snapshot)]
    for table in tables:
        if table.row_count:
            console.print()
            console.print(table)
    for line in snapshot.left_out:
        console.print(line, markup=False)


def _providers(snapshot: Snapshot) -> Any:
    table = _table("provider", "URL", "proxy")
    for name, endpoint in snapshot.endpoints.items():
        table.add_row(name, endpoint.base_url, "yes" if endpoint.proxy else "")
    return table


def _models(snapshot: Snapshot) -> Any:
    table = _table("model", "deployment", "input", "cached", "output", "also called")
    for name, model in snapshot.catalog.models.items():
        aliases = ", ".join(alias for alias, target in snapshot.catalog.aliases.items() if target == name)
        for number, deployment in enumerate(model.deployments):
            rates = _rates(deployment.price)
            star = "*" if deployment.unpriced else ""
            prices = [f"{rates[kind]}{star}" if rates else "none" for kind in ("input", "cache_read", "output")]
            table.add_row("" if number else name, deployment.id, *prices, "" if number else aliases)
    for wildcard in snapshot.catalog.wildcards:
        table.add_row(wildcard.pattern, f"{wildcard.provider}/{wildcard.upstream_pattern}", "", "", "", "")
    unpriced = any(d.unpriced for model in snapshot.catalog.models.values() for d in model.deployments)
    table.caption = "USD per million tokens" + ("; * the ceiling, for want of a price" if unpriced else "")
    return table


def _agents(snapshot: Snapshot) -> Any:
    table = _table("agent", "team", "org", "keys declared here")
    for name, agent in snapshot.agents.items():
        table.add_row(name, agent.team, agent.org, ", ".join(key.name for key in snapshot.keys if key.agent == name))
    return table


def _table(*columns: str) -> Any:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold", caption_justify="left")
    for column in columns:
        table.add_column(column, justify="right" if column in {"input", "cached", "output"} else "left", no_wrap=True)
    return table
