"""The written `storage` section into its settings: which store, and where its servers are."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from gateway.config.models.server import Storage
from gateway.config.problems import YamlPath
from gateway.config.snapshot import StorageSettings
from gateway.config.validate import Tree

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
    return StorageSettings(**{**settings, **urls, "dir": folder / written.dir})


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
