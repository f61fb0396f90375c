"""The configuration in force, and its replacement when files change or SIGHUP arrives.

A configuration with mistakes never replaces a good one: the old snapshot stays, `stale_reason` says why.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from gateway.config import loader
from gateway.config.compile import TableLoader, is_loopback
from gateway.config.prices import load_table
from gateway.config.problems import ConfigError, Problem
from gateway.config.snapshot import Snapshot
from gateway.config.watching import Watcher
from gateway.telemetry.events import ConfigLoaded

log = logging.getLogger("farebox.config")

_RESTART: dict[str, Callable[[Snapshot], object]] = {
    "server": lambda snapshot: snapshot.server,
    "admin.listen": lambda snapshot: (snapshot.admin.host, snapshot.admin.port),
    "storage": lambda snapshot: snapshot.storage,
    "simulator": lambda snapshot: snapshot.simulator,
    "metrics": lambda snapshot: snapshot.metrics,
    "tracing": lambda snapshot: snapshot.tracing,
}
"""What is read when the process starts, and never again."""
_YAML = frozenset({".yaml", ".yml"})

Listener = Callable[[Snapshot], None]


class SnapshotHolder:
    """Holds the snapshot in force. `current` is a plain attribute, for the request's path.

    Not for several threads: reading files happens in one, but snapshots are exchanged on the loop.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        path: Path,
        on_event: Callable[[ConfigLoaded], None] = lambda event: None,
        *,
        host: str | None = None,
        environ: Mapping[str, str] | None = None,
        table: TableLoader = load_table,
    ) -> None:
        """`host` is where the process listens, which is not `server.host` when the command line says another.

        Raises ConfigError when `snapshot` may not serve there.
        """
        self._host = host
        self.current = self._fit(snapshot)
        self.stale_reason: str | None = None
        """Why the files on disk are not in force; None when they are."""
        self._path = path
        self._on_event = on_event
        self._environ = environ
        self._table = table
        self._listeners: list[Listener] = []
        self._reloading = asyncio.Lock()
        self._watcher: asyncio.Task[None] | None = None

    @property
    def version(self) -> int:
        """Of the snapshot in force; it rises by one with each that replaces another."""
        return self.current.version

    def subscribe(self, listener: Listener) -> None:
        """Call `listener` on the loop with every new snapshot, after it is in force."""
        self._listeners.append(listener)

    async def reload(self) -> bool:
        """Read the files again, in a thread. True when they are in force now; False when refused: why is logged."""
        async with self._reloading:
            try:
                snapshot = await asyncio.to_thread(self._load)
            except ConfigError as error:
                self._refuse(error)
                return False
            self._replace(snapshot)
            return True

    def _load(self) -> Snapshot:
        return self._fit(loader.load(self._path, self._environ, version=self.version + 1, table=self._table))

    def _fit(self, snapshot: Snapshot) -> Snapshot:
        """Nobody may turn `auth` off for an address that others reach, whatever `server.host` says by now."""
        if self._host is not None and not snapshot.auth and not is_loopback(self._host):
            message = f"`off` is for loopback addresses only, and this process listens on {self._host}"
            raise ConfigError([Problem(snapshot.source, 1, 1, "auth", message)])
        return snapshot

    def _refuse(self, error: ConfigError) -> None:
        count = len(error.problems)
        more = f" (and {count - 1} more)" if count > 1 else ""
        self.stale_reason = f"{error.problems[0]}{more}"
        log.error(
            "configuration refused, version %d stays in force: %s",
            self.version,
            self.stale_reason,
            extra={"problems": [str(problem) for problem in error.problems], "config_version": self.version},
        )
        self._on_event(ConfigLoaded(time.time(), False, self.version, self.stale_reason))

    def _replace(self, snapshot: Snapshot) -> None:
        old = self.current
        self.current = snapshot = _never_back(old, snapshot)
        self.stale_reason = None
        log.info("configuration version %d is in force", snapshot.version, extra={"config_version": snapshot.version})
        for name, part in _RESTART.items():
            if part(old) != part(snapshot):
                log.warning("`%s` has changed: that needs a restart", name, extra={"section": name})
        for line in snapshot.left_out:
            if line not in old.left_out:
                log.info("%s", line)
        for line in snapshot.warnings:
            if line not in old.warnings:
                log.warning("%s", line)
        for listener in self._listeners:
            listener(snapshot)
        self._on_event(ConfigLoaded(time.time(), True, snapshot.version, ""))

    async def start(self) -> None:
        """Begin to watch the files."""
        self._watcher = asyncio.create_task(self.watch(), name="configuration watcher")

    async def close(self) -> None:
        """Stop watching. Idempotent."""
        watcher, self._watcher = self._watcher, None
        if watcher is not None:
            watcher.cancel()
            await asyncio.gather(watcher, return_exceptions=True)

    async def watch(self) -> None:
        """Reload whenever a file of the configuration changes, until cancelled.

        Folders are watched rather than files, so that replacing a file by a renamed one, or Kubernetes' exchange of a
        symbolic link, is seen too.
        """
        try:
            while True:
                await self._watch_folders(watched_folders(self.current))
        except OSError as error:  # no more inotify watches, or a folder is gone
            log.error("configuration files are not watched any more (%s); SIGHUP still reloads them", error)  # noqa: TRY400  # no traceback is needed

    async def _watch_folders(self, folders: list[Path]) -> None:
        """Watch until the configuration lies in other folders."""
        with Watcher(folders) as watcher:
            while watched_folders(self.current) == folders:
                changed = await watcher.changed()
                if not any(concerns(self.current, path) for path in changed):
                    continue
                try:
                    await self.reload()
                except Exception:  # the edge of a background task: a mistake of ours must not end the watching
                    log.exception("the configuration could not be read again")


def _never_back(old: Snapshot, new: Snapshot) -> Snapshot:
    """Limits that changed get a higher version, also when an older file was put back or the newest one removed."""
    same = _limits(old) == _limits(new)
    least = old.limits_version if same else old.limits_version + 1
    return new if new.limits_version >= least else replace(new, limits_version=least)


def _limits(snapshot: Snapshot) -> tuple[object, ...]:
    """All that has a counter whose limit a new configuration may change."""
    velocities = {agent.id: agent.velocity for agent in snapshot.agents.values() if agent.velocity is not None}
    return snapshot.budgets, snapshot.rate_limits, velocities


def watched_folders(snapshot: Snapshot) -> list[Path]:
    """The folders that exist now and hold the configuration's files.

    Where a symbolic link leads is watched too, unless that is further down: Kubernetes makes a new folder each time.
    """
    folders = {file.parent.absolute() for file in snapshot.files}
    for file in snapshot.files:
        target = file.resolve()
        if not target.is_relative_to(file.parent.resolve()):
            folders.add(target.parent)
    folders |= {folder.absolute() for folder in snapshot.folders}
    return sorted(folder for folder in folders if folder.is_dir())


def concerns(snapshot: Snapshot, changed: Path) -> bool:
    """Whether a change to this path may change the configuration.

    Its files do, new YAML files beside them, and `..data`, the link that Kubernetes exchanges.
    """
    if changed.suffix in _YAML or changed.name in {".env", "..data"}:
        return True
    return any(changed in (file.absolute(), file.resolve()) for file in snapshot.files)
