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
    from gateway.ledger.budgets import Budget, Quota, RateLimit
    from routing.money import Price


def check(
    config: Annotated[Path, typer.Option("--config", "-c", help="The configuration file.")] = Path("config.yaml"),
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")] = False,
    offline: Annotated[bool, typer.Option("--offline", help="Connect to no server of `storage`.")] = False,
) -> None:
    """Check a configuration: print all its problems and exit with 1, or what it defines and exit with 0.

    A problem is one line: file:line:column: path: message. Warnings are printed too, and do not fail. With
    `store: valkey`, the Valkey and the PostgreSQL that it names are looked at, unless --offline is given.

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
    if snapshot.storage.store == "valkey" and not offline:
        _check_servers(snapshot, as_json=as_json)
    if as_json:
        typer.echo(json.dumps(_summary(snapshot), indent=2))
    else:
        _print_tables(config, snapshot)


def _check_servers(snapshot: Snapshot, *, as_json: bool) -> None:
    """Exits with 1 when a server cannot keep what it is told."""
    from gateway.cli.check_servers import look
    from gateway.config import ConfigError

    if problems := look(snapshot):
        _print_problems(ConfigError(problems), as_json=as_json)
        raise typer.Exit(PROBLEMS)


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
        "budgets": {budget.id: _budget(budget) for budget in snapshot.budgets},
        "limits": {limit.id: _limit(limit) for limit in snapshot.rate_limits},
        "store": snapshot.storage.store,
        "policies": [policy.name for policy in snapshot.policies],
        "left_out": list(snapshot.left_out),
        "warnings": list(snapshot.warnings),
    }


def _budget(budget: Budget) -> dict[str, str]:
    from routing.money import format_usd

    window = budget.window
    name = f"last {_time(window.length_s)}" if window.period == "rolling" else window.period
    zone = f" ({window.zone})" if window.zone != "UTC" else ""
    mode = "enforce" if budget.enforce else "shadow"
    return {"scope": str(budget.scope), "limit_usd": format_usd(budget.limit), "window": name + zone, "mode": mode}


def _limit(limit: RateLimit) -> dict[str, str]:
    requests, tokens = (_quota(quota) for quota in (limit.requests, limit.tokens))
    concurrency = "" if limit.concurrency is None else str(limit.concurrency)
    mode = "enforce" if limit.enforce else "shadow"
    return {
        "scope": str(limit.scope),
        "requests": requests,
        "tokens": tokens,
        "concurrency": concurrency,
        "mode": mode,
    }


def _quota(quota: Quota | None) -> str:
    if quota is None:
        return ""
    burst = f", {quota.burst} at once" if quota.burst != quota.limit else ""
    return f"{quota.limit} in {_time(int(quota.period_s))}{burst}"


def _time(seconds: int) -> str:
    """In the largest unit that is exact: `6h`, `90s`."""
    for unit, length_s in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds % length_s == 0:
            return f"{seconds // length_s}{unit}"
    return f"{seconds}s"


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
    for line in snapshot.warnings:
        console.print(f"warning: {line}", markup=False)
    tables = [_providers(snapshot), _models(snapshot), _agents(snapshot)]
    tables += [_budgets(snapshot), _limits(snapshot), _policies(snapshot)]
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


def _budgets(snapshot: Snapshot) -> Any:
    table = _table("budget", "scope", "USD", "window", "mode")
    for budget in snapshot.budgets:
        table.add_row(budget.id, *_budget(budget).values())
    return table


def _limits(snapshot: Snapshot) -> Any:
    table = _table("limit", "scope", "requests", "tokens", "at a time", "mode")
    for limit in snapshot.rate_limits:
        table.add_row(limit.id, *_limit(limit).values())
    return table


def _policies(snapshot: Snapshot) -> Any:
    """Those that choose models."""
    table = _table("policy", "tiers", "rules", "claims", "agents")
    for name, policy in snapshot.compiled_policies.items():
        agents = [agent for agent, own in snapshot.agent_policies.items() if own is policy]
        tiers = " < ".join(tier.name for tier in policy.tiers)
        table.add_row(name, tiers, str(len(policy.rules)), ", ".join(sorted(policy.claims)), ", ".join(agents))
    return table


def _table(*columns: str) -> Any:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold", caption_justify="left")
    for column in columns:
        table.add_column(
            column, justify="right" if column in {"input", "cached", "output", "USD"} else "left", no_wrap=True
        )
    return table
