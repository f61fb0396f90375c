"""Written budgets and rate limits into what the ledger counts with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from gateway.config.durations import parse_duration, parse_rate
from gateway.config.models.balancing import Capacity
from gateway.config.models.budgets import Budget as WrittenBudget
from gateway.config.models.budgets import Limit as WrittenLimit
from gateway.config.models.budgets import Quota as WrittenQuota
from gateway.config.models.budgets import Rolling
from gateway.config.problems import YamlPath
from gateway.config.scopes import parse_scope
from gateway.config.validate import Tree
from gateway.ledger.budgets import CAPACITY, Budget, Quota, RateLimit
from gateway.ledger.scopes import Scope
from gateway.ledger.windows import Window
from routing.money import ZERO, parse_usd


def build_budgets(written: Mapping[str, WrittenBudget], tree: Tree) -> tuple[Budget, ...]:
    """The budgets; what stands against one is reported. Their scopes' names are checked elsewhere."""
    return tuple(_budget(name, budget, tree) for name, budget in written.items())


def build_rate_limits(written: Mapping[str, WrittenLimit]) -> tuple[RateLimit, ...]:
    """The rate limits."""
    return tuple(
        RateLimit(
            id=name,
            scope=parse_scope(str(limit.scope)),
            requests=_quota(limit.requests),
            tokens=_quota(limit.tokens),
            concurrency=limit.concurrency,
            enforce=limit.mode == "enforce",
        )
        for name, limit in written.items()
    )


def build_capacity(deployment_id: str, written: Capacity) -> RateLimit:
    """What a deployment can take, as a rate limit of its own."""
    return RateLimit(
        id=CAPACITY,
        scope=Scope("deployment", deployment_id),
        requests=_quota(written.requests),
        tokens=_quota(written.tokens),
        concurrency=written.concurrency,
    )


def limits_version(files: Iterable[Path]) -> int:
    """When the newest of the files was changed, in milliseconds; files that are gone don't count."""
    newest = 0
    for file in files:
        try:
            newest = max(newest, file.stat().st_mtime_ns // 1_000_000)
        except (OSError, ValueError):  # the `.env` file need not be there
            continue
    return newest


def _budget(name: str, written: WrittenBudget, tree: Tree) -> Budget:
    path: YamlPath = ("budgets", name)
    limit = parse_usd(written.limit_usd)
    allowance = ZERO if written.allowance_usd is None else parse_usd(written.allowance_usd)
    if written.on_store_failure == "closed" and written.allowance_usd is not None:
        tree.complain((*path, "allowance_usd"), "only with `on_store_failure: open`: it is for while the store is away")
    elif written.on_store_failure == "open" and not allowance and not tree.damaged((*path, "allowance_usd")):
        tree.complain(
            (*path, "on_store_failure"), "`open` needs an `allowance_usd`: what each gateway may spend in the meantime"
        )
    elif allowance > limit:
        tree.complain((*path, "allowance_usd"), "more than the limit itself")
    return Budget(
        id=name,
        scope=parse_scope(str(written.scope)),
        limit=limit,
        window=_window(path, written, tree),
        enforce=written.mode == "enforce",
        on_exceed=written.on_exceed,
        alert_at=tuple(written.alert_at),
        when_missing=written.when_missing,
        reserve=written.reserve,
        on_store_failure=written.on_store_failure,
        allowance=allowance,
    )


def _window(path: YamlPath, written: WrittenBudget, tree: Tree) -> Window:
    zone = None if written.timezone is None else str(written.timezone)
    at: YamlPath = (*path, "timezone")
    if isinstance(written.window, Rolling):
        if zone is not None:
            tree.complain(at, "a rolling window has no midnights, so no time zone")
        return Window("rolling", length_s=parse_duration(str(written.window.rolling)))
    period = str(written.window)
    if period == "total":
        if zone is not None:
            tree.complain(at, "a window without an end has no midnights, so no time zone")
        return Window("total")
    return Window(period, zone or "UTC")  # type: ignore[arg-type]  # one of the periods, as its model checked


def _quota(written: WrittenQuota | str | None) -> Quota | None:
    if written is None:
        return None
    if isinstance(written, WrittenQuota):
        return Quota(written.limit, float(parse_duration(str(written.per))), written.burst or written.limit)
    count, period_s = parse_rate(str(written))
    return Quota(count, float(period_s), count)
