"""The written `storage` section into its settings: which store, and where its servers are."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from gateway.config.models.server import Storage
from gateway.config.problems import YamlPath
from gateway.config.snapshot import StorageSettings
from gateway.config.validate import Tree
from gateway.ledger.budgets import Budget

SCHEMES: Final = {
    "valkey_url": ("valkey", "valkeys", "redis", "rediss"),
    "journal_url": ("postgresql", "postgres"),
}


def build_storage(written: Storage, tree: Tree, folder: Path) -> StorageSettings:
    """The settings. What stands against them is reported, never with a URL: it may hold a password."""
    settings = written.model_dump(exclude=set(SCHEMES))
    urls = {name: _url(name, getattr(written, name), tree) for name in SCHEMES}
    if written.store == "valkey":
        missing = [name for name in SCHEMES if not getattr(written, name) and not tree.damaged(("storage", name))]
        if missing:
            names = " and ".join(f"`{name}`" for name in missing)
            tree.complain(
                ("storage", "store"), f"`valkey` needs {names} too: counters there, the journal in PostgreSQL"
            )
    elif urls["journal_url"] is not None:
        tree.warn(("storage", "journal_url"), "not used with `store: memory`, whose journal is in `dir`")
    for number, pattern in enumerate(written.mask):
        try:
            re.compile(pattern)
        except re.error as error:
            tree.complain(("storage", "mask", number), f"is no regular expression: {error}")
    return StorageSettings(**{**settings, **urls, "dir": folder / written.dir, "mask": tuple(written.mask)})


def check_retention(written: Storage, budgets: Iterable[Budget], run_ttl_s: float, tree: Tree) -> None:
    """Charges that a budget or a run still counts must be there: counters are seeded from and verified by them."""
    days = written.keep_charges_days
    if days is None:
        return
    path: YamlPath = ("storage", "keep_charges_days")
    for budget in budgets:
        length = _WINDOW_DAYS.get(budget.window.period, math.ceil(budget.window.length_s / _DAY_S))
        if budget.window.period == "total":
            tree.complain(path, f"the budget `{budget.id}` is for ever, so its charges must be kept: leave this out")
        elif days < length + _MARGIN_DAYS:
            tree.complain(
                path, f"the budget `{budget.id}` needs its charges for {length + _MARGIN_DAYS} days: keep them as long"
            )
    if days < (least := math.ceil(run_ttl_s / _DAY_S) + _MARGIN_DAYS):
        tree.complain(path, f"runs live for `runs.ttl_s` and need their charges: keep them for {least} days")


_DAY_S: Final = 86_400
_MARGIN_DAYS: Final = 2
"""A counter is kept for a day after its window, and can be verified until then; days are whole ones."""
_WINDOW_DAYS: Final = {"hour": 1, "day": 1, "week": 7, "month": 31, "quarter": 92, "year": 366, "total": 0}


def _url(name: str, written: Any, tree: Tree) -> str | None:
    if not written:
        return None
    path: YamlPath = ("storage", name)
    schemes = SCHEMES[name]
    try:
        parts = urlsplit(str(written))
        # a `#` is of a password that was not written as %23: the rest of the URL would be lost
        fine = parts.scheme in schemes and bool(parts.hostname) and (parts.port or 1) > 0 and not parts.fragment
    except ValueError:
        fine = False
    if not fine:
        tree.complain(path, f"what the reference stands for should be a URL such as `{schemes[0]}://host/...`")
        return None
    return str(written)
